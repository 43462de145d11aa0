"""Outcome of a fit: what training writes for each net, from which the PopulationResult is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..history import History
from ..kernels.structs import ALL_EPOCHS, CONVERGED, DIVERGED_NET, FULL_ACCURACY, RUNNING, STOPPED_EARLY, UNCHECKED
from ..nets.nets_evaluation import evaluate_nets
from ..population_result.recorded_epochs import recorded_epochs
from ..population_result.stopped_by import BY_CALLBACK, OUT_OF_TIME
from .kept_nets import KeptNets
from .task import FitTask

STATUS = {
    "converged": CONVERGED,
    "divergence": DIVERGED_NET,
    "early_stopping": STOPPED_EARLY,
    "epochs": ALL_EPOCHS,
    "callback": BY_CALLBACK,
    "interrupt": RUNNING,
    "time_limit": RUNNING,
}


def joined_records(before: np.ndarray, now: np.ndarray, n_done: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which recorded epochs of a fit to keep, and the epochs to record if it goes on, perhaps to more epochs.

    Losses of epochs that are done cannot be recorded any more, so up to n_done the epochs are those of the fit as it
    was begun. If there were then more records than in the longer of both lists, some of these are left out.

    before, now : int64     epochs that are recorded by the fit as it was begun, and by one of the present length
    n_done : int     epochs that are done
    """
    kept, later = np.flatnonzero(before <= n_done), now[now > n_done]
    room = max(len(before), len(now)) - len(later)
    if len(kept) > room:
        kept = kept[np.linspace(0, len(kept) - 1, room).round().astype(np.int64)]
    return kept, np.concatenate([before[kept], later])


@dataclass
class Outcome:
    """What training writes for each net: arrays (n_nets,), as in PopulationState of kernels/structs.py."""

    status: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    best_value: np.ndarray
    all_correct: np.ndarray  # whether all samples are correct at the end; empty with a convergence rule
    record_epochs: np.ndarray  # (n_records,)
    records: np.ndarray  # (n_records, n_nets)
    kept: KeptNets | None = None  # of nets in lanes, for checkpoints

    @classmethod
    def empty(cls, task: FitTask) -> Outcome:
        """Return the outcome of nets that have not been trained. Zeros take no memory until they are written to."""
        record_epochs = recorded_epochs(min(task.epochs, task.restart_after or task.epochs), task.whole.n_nets).copy()
        n_nets, n_best = task.n_nets, task.n_nets if task.monitored is not None else 0
        n_checked = n_nets if task.checks_final_accuracy else 0
        status, epochs = np.zeros((2, n_nets), np.int64)  # RUNNING
        loss, accuracy = np.full((2, n_nets), np.nan)
        best_epochs, best = np.full(n_best, -1), np.full(n_best, np.nan)
        all_correct = np.full(n_checked, UNCHECKED, np.int8)
        records = np.full((len(record_epochs), n_nets), np.nan, task.dtype)
        return cls(status, epochs, best_epochs, loss, accuracy, best, all_correct, record_epochs, records)

    def forget(self, members: Any) -> None:
        """Reset the outcome of these nets to that of nets that have not been trained."""
        self.status[members], self.epochs[members] = RUNNING, 0
        self.loss[members] = self.accuracy[members] = np.nan
        self.records[:, members] = np.nan
        if self.best_value.size:
            self.best_epochs[members], self.best_value[members] = -1, np.nan

    def record(self, task: FitTask, net: int, history: History) -> None:
        """Write the results of a net that was trained by itself."""
        n = self.epochs[net] = history.epochs
        if n:
            self.loss[net] = history.loss[-1]
            self.accuracy[net] = np.nan if history.accuracy is None else history.accuracy[-1]
            reached = self.record_epochs <= n
            with np.errstate(over="ignore"):
                self.records[reached, net] = history.loss[self.record_epochs[reached] - 1]
        if history.stopped_by == "divergence":
            self.loss[net] = np.nan
        if task.monitored is not None and history.best_epoch is not None:
            self.best_epochs[net] = history.best_epoch + 1
            self.best_value[net] = history.record(task.monitored)[history.best_epoch]
        self.status[net] = STATUS[history.stopped_by]  # last, since until then the net counts as interrupted


def converged_nets(task: FitTask, outcome: Outcome) -> np.ndarray:
    """Return which nets count as converged, bool (n_nets,).

    With a convergence rule, these are the nets that met it. Without one, they are the nets whose training ended with a
    finite loss and, for classification, that have all samples correct.
    """
    if task.converged is not None:
        return outcome.status == CONVERGED
    done = np.isfinite(outcome.loss) & ~np.isin(outcome.status, (RUNNING, OUT_OF_TIME))
    if task.checks_final_accuracy:
        unknown = np.flatnonzero(done & (outcome.all_correct == UNCHECKED))
        if unknown.size:
            given = task.network, task.device, task.params, task.rows.data, task.rows.strides, task.precision
            _, accuracy = evaluate_nets(*given, unknown)
            outcome.all_correct[unknown] = accuracy >= FULL_ACCURACY
        done &= outcome.all_correct.astype(bool)
    return done
