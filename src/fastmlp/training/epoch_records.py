"""Records of epochs: scores them for early stopping and convergence, and writes them into the history.

The history's records are published in one step, so that an interruption between any two lines finds records of equal
length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import Best
from ..history import History
from ..kernels.structs import METRIC_NONE, TrainState

if TYPE_CHECKING:
    from ..convergence import Converged


class StopDecision(NamedTuple):
    """Result of scoring some epochs: the new best epoch, and whether and when training ends.

    improved : int or None     the new best epoch, counted from 0
    reason : str     "early_stopping" or "converged" if training ends, else ""
    end : int     number of epochs after which training ends, or the number of epochs scored
    """

    improved: int | None
    reason: str
    end: int


def score_epochs(
    best: Best | None, criteria: Converged | None, history: History, first: int, last: int
) -> StopDecision:
    """Return the verdict on epochs first <= e < last by their records, and update `best`.

    best : Best or None     best value so far, for early stopping
    criteria : Converged or None     convergence rule
    history : History     has the records of the first `last` epochs
    """
    values = history.record(best.monitor)[first:last].tolist() if best is not None else ()
    end_epoch = None
    if criteria is not None:
        accuracy = None if history.accuracy is None else history.accuracy[first:last]
        end_epoch = criteria.first_reached(history.loss[first:last], accuracy)
    end_epoch = None if end_epoch is None else first + end_epoch
    improved, reason, end = None, "", last
    for epoch, value in enumerate(values, start=first):
        assert best is not None
        if best.improves(epoch, value):
            improved = epoch
        if epoch == end_epoch:
            break
        if best.is_late(epoch):
            reason, end, end_epoch = "early_stopping", epoch + 1, None
            break
    if end_epoch is not None:
        reason, end, improved = "converged", end_epoch + 1, end_epoch
    return StopDecision(improved, reason, end)


def write_records(
    history: History,
    n: int,
    state: TrainState,
    metric: int,
    validation_records: np.ndarray,
    validation_metric: int | None,
    best_epoch: int | None,
    other_records: dict[str, Any],
) -> None:
    """Set the history's records to those of the first n epochs, all at once.

    state : TrainState     has the loss and the accuracy of the training samples for each epoch
    metric : int     METRIC_* code of the training samples
    validation_records : (epochs, 2)     loss and accuracy of the held-out samples after each epoch
    validation_metric : int or None     METRIC_* code of the held-out samples; None without any
    other_records : dict     further attributes of the history
    """
    records: dict[str, Any] = {"loss": state.epoch_loss[:n], "best_epoch": best_epoch, **other_records}
    if metric != METRIC_NONE:
        records["accuracy"] = state.epoch_accuracy[:n]
    if validation_metric is not None:
        records["validation_loss"] = validation_records[:n, 0]
        if validation_metric != METRIC_NONE:
            records["validation_accuracy"] = validation_records[:n, 1]
    vars(history).update(records)  # one call, so that no signal handler runs in between
