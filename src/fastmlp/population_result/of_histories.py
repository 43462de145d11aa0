"""Result of a population whose nets were trained one after another, each with a history of its own."""

from __future__ import annotations

import numpy as np

from ..history import History
from . import PopulationResult
from .recorded_epochs import recorded_epochs
from .stopped_by import CODES


def result_of_histories(
    histories: list[History], interrupted: bool, monitor: str | None, seconds: float, compile_seconds: float
) -> PopulationResult:
    """Return the records of several fits of one net as the result of a population.

    histories : History of each net, one or more; empty for nets that have not begun
    monitor : the record that early stopping looked at, or None without early stopping
    seconds, compile_seconds : time of all fits, and its part for compiling; fits at the same time share them
    """
    epochs = np.array([history.epochs for history in histories])
    best = np.array([history.epochs - 1 if history.best_epoch is None else history.best_epoch for history in histories])
    longest = max(1, int(epochs.max()))
    record_epochs = recorded_epochs(longest, len(histories))
    records = np.full((len(record_epochs), len(histories)), np.nan)
    for k, history in enumerate(histories):
        reached = record_epochs <= history.epochs
        records[reached, k] = history.loss[record_epochs[reached] - 1]
    value_at = lambda values, epoch: values[epoch] if len(values) else np.nan  # without a finished epoch
    has_diverged = np.array([history.stopped_by == "divergence" for history in histories])
    loss = np.where(has_diverged, np.nan, [value_at(history.loss, -1) for history in histories])
    was_cut_short = np.array([history.stopped_by in ("interrupt", "time_limit") for history in histories])
    with_accuracy = any(history.accuracy is not None for history in histories)
    accuracies = [() if history.accuracy is None else history.accuracy for history in histories]
    best_value = None
    if monitor is not None:
        watched = [history.record(monitor) if history.epochs else () for history in histories]
        best_value = np.array([value_at(values, epoch) for values, epoch in zip(watched, best, strict=True)])
    return PopulationResult(
        converged=np.isfinite(loss) & ~was_cut_short,
        epochs=epochs,
        loss=loss,
        accuracy=np.array([value_at(values, -1) for values in accuracies]) if with_accuracy else None,
        monitor=monitor,
        best_value=best_value,
        best_epoch=None if monitor is None else best,
        restarts=np.zeros(len(histories), np.int64),
        status=np.array([CODES.get(history.stopped_by, CODES["epochs"]) for history in histories]),
        record_epochs=record_epochs,
        records=records,
        seconds=seconds,
        interrupted=interrupted,
        settings={},
        judged_by="finite loss",
        compile_seconds=compile_seconds,
        arguments=vars(histories[0])["settings"],  # not formatted yet
    )
