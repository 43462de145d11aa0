"""Records of epochs: scores them for early stopping and convergence, and writes them into the history.

The history's records are published in one step, so that an interruption between any two lines finds all of them of one
length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..callbacks import Best
from ..convergence import Converged
from ..history import History
from ..kernels.structs import METRIC_NONE, TrainState


class Verdict(NamedTuple):
    """Result of scoring some epochs: the new best epoch, and whether and when training ends.

    improved : int or None     the new best epoch, counted from 0
    reason : str     "early_stopping" or "converged" if training ends, else ""
    end : int     number of epochs after which training ends, or the number of epochs scored
    """

    improved: int | None
    reason: str
    end: int


def score_epochs(best: Best | None, goal: Converged | None, history: History, first: int, last: int) -> Verdict:
    """Return the verdict on epochs first <= e < last by their records, and update `best`.

    best : Best or None     best value so far, for early stopping
    goal : Converged or None     convergence rule
    history : History     has the records of the first `last` epochs
    """
    values = history.record(best.monitor)[first:last].tolist() if best is not None else ()
    reached = None
    if goal is not None:
        accuracy = None if history.accuracy is None else history.accuracy[first:last]
        reached = goal.first_reached(history.loss[first:last], accuracy)
    reached = None if reached is None else first + reached
    improved, reason, end = None, "", last
    for epoch, value in enumerate(values, start=first):
        assert best is not None
        if best.improves(epoch, value):
            improved = epoch
        if epoch == reached:
            break
        if best.is_late(epoch):
            reason, end, reached = "early_stopping", epoch + 1, None
            break
    if reached is not None:
        reason, end, improved = "converged", reached + 1, reached
    return Verdict(improved, reason, end)


def write_records(
    history: History,
    n: int,
    memory: TrainState,
    metric: int,
    validated: np.ndarray,
    validated_metric: int | None,
    best_epoch: int | None,
    others: dict[str, Any],
) -> None:
    """Set the history's records to those of the first n epochs, all at once.

    memory : TrainState     has the loss and the accuracy of the training samples for each epoch
    metric : int     METRIC_* code of the training samples
    validated : (epochs, 2)     loss and accuracy of the held-out samples after each epoch
    validated_metric : int or None     METRIC_* code of the held-out samples; None without any
    others : dict     further attributes of the history
    """
    records: dict[str, Any] = {"loss": memory.epoch_loss[:n], "best_epoch": best_epoch, **others}
    if metric != METRIC_NONE:
        records["accuracy"] = memory.epoch_right[:n]
    if validated_metric is not None:
        records["validation_loss"] = validated[:n, 0]
        if validated_metric != METRIC_NONE:
            records["validation_accuracy"] = validated[:n, 1]
    vars(history).update(records)  # one call, so that no signal handler runs in between
