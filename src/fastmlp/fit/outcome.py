"""Outcome of a fit: what training writes for each net, from which the PopulationResult is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..history import History
from ..kernels.jit.compile_time import Stopwatch
from ..kernels.structs import (
    ALL_EPOCHS,
    CONVERGED,
    FULL_ACCURACY,
    KEPT_CLOCK,
    KEPT_POWER1,
    KEPT_POWER2,
    METRIC_NONE,
    N_KEPT_NUMBERS,
    NONE_SUSPENDED,
    RUNNING,
    UNCHECKED,
    SuspendedNets,
)
from ..nets.nets_evaluation import evaluate_nets
from ..network.net_settings import PER_NET
from ..optimizers.base import shared_text
from ..population_result import PopulationResult
from ..population_result.recorded_epochs import recorded_epochs
from ..population_result.stopped_by import CODES, OUT_OF_TIME
from .task import FitTask

if TYPE_CHECKING:
    from ..nets.population_base import PopulationBase

STATUS = {**CODES, "time_limit": RUNNING}  # until the whole fit has ended

POWERS, NUMBERS = [KEPT_POWER1, KEPT_POWER2], slice(KEPT_POWER2 + 1, KEPT_CLOCK)  # as in SuspendedNets


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


class KeptNets(NamedTuple):
    """What nets in lanes that have trained all their epochs need to go on to more: a row for each net of a population.

    Their results and final parameters are in the outcome and in the population. Here are the rest: parameters of the
    last epoch, which are others with early stopping, optimiser state, and the numbers of SuspendedNets.
    """

    vectors: np.ndarray  # (n_nets, 2 + n_state, n_params), parameters, safe parameters, optimiser state
    numbers: np.ndarray  # float64 (n_nets, N_KEPT_NUMBERS)

    @classmethod
    def empty(cls, n_nets: int, n_state: int, n_params: int, dtype: np.dtype) -> KeptNets:
        """Return rows of zeros, which take no memory until they are written to."""
        return cls(np.zeros((n_nets, 2 + n_state, n_params), dtype), np.zeros((n_nets, N_KEPT_NUMBERS)))

    def ended(self, outcome: Outcome, params: np.ndarray) -> SuspendedNets:
        """Return copies of the nets that have ended with their last epoch, as nets in the middle of their training.

        params : (n_nets, n_params)     final ones; with early stopping, those of the best epoch
        """
        nets = np.flatnonzero((outcome.status == ALL_EPOCHS) & (self.numbers[:, KEPT_CLOCK] > 0))
        if not len(nets):
            return NONE_SUSPENDED
        vectors, numbers, watches = self.vectors, self.numbers[nets], bool(outcome.best_epochs.size)
        return SuspendedNets(
            net_index=nets,
            epochs=outcome.epochs[nets],
            best_epochs=outcome.best_epochs[nets] if watches else np.zeros(len(nets), np.int64),
            clock=numbers[:, KEPT_CLOCK].astype(np.int64),
            params=vectors[nets, 0],  # contiguous, so that a file is written without another copy
            state=vectors[nets, 2:].reshape(len(nets), -1),
            safe_params=vectors[nets, 1],
            best_params=params[nets] if watches else np.empty((len(nets), 0), params.dtype),
            powers=numbers[:, POWERS],
            numbers=numbers[:, NUMBERS],
        )

    def take(self, suspended: SuspendedNets) -> None:
        """Write nets to their rows, one or more, as `ended` has returned them."""
        nets = suspended.net_index
        self.vectors[nets, 0], self.vectors[nets, 1] = suspended.params, suspended.safe_params
        self.vectors[nets, 2:] = suspended.state.reshape(len(nets), -1, self.vectors.shape[2])
        self.numbers[nets, KEPT_CLOCK] = suspended.clock
        self.numbers[nets, : KEPT_POWER2 + 1] = suspended.powers
        self.numbers[nets, NUMBERS] = suspended.numbers


@dataclass
class Outcome:
    """What training writes for each net: arrays (n_nets,), as in PopulationState of kernels/structs.py.

    A state is copied while nets are trained, and takes the status first: nets write theirs last.
    """

    status: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    best_value: np.ndarray  # the lowest: of an accuracy, the negative
    all_correct: np.ndarray  # whether all samples are correct at the end; empty with a convergence rule
    record_epochs: np.ndarray  # (n_records,)
    records: np.ndarray  # (n_records, n_nets)
    restarts: np.ndarray  # int64
    spent: np.ndarray  # int64, epochs of earlier attempts; empty without restarts
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
        restarts = np.zeros(n_nets, np.int64)
        spent = restarts[:0] if task.restart_after is None else np.zeros_like(restarts)
        arrays = loss, accuracy, best, all_correct, record_epochs, records, restarts, spent
        return cls(status, epochs, best_epochs, *arrays)

    @property
    def all_epochs(self) -> np.ndarray:
        """Epochs of each net, with those of its earlier attempts."""
        return self.epochs + self.spent if self.spent.size else self.epochs

    def arrays(self) -> dict[str, Any]:
        """Return all arrays by name, but for those of `kept`."""
        return {name: array for name, array in vars(self).items() if name != "kept"}

    def copy(self) -> Outcome:
        return Outcome(**{name: array.copy() for name, array in self.arrays().items()})

    def part(self, nets: slice) -> Outcome:
        """Return the outcome of some nets, as views."""
        arrays = self.arrays().items()
        return Outcome(**{name: a if name == "record_epochs" else a[..., nets] for name, a in arrays})

    def put(self, nets: slice, part: Outcome) -> None:
        """Write the outcome of some nets."""
        for name, array in self.part(nets).arrays().items():
            if name != "record_epochs":
                array[...] = getattr(part, name)

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
            value = history.record(task.monitored)[history.best_epoch]
            self.best_value[net] = -value if task.monitored.endswith("accuracy") else value
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
            evaluated = task.network, task.device, task.params, task.rows.data, task.rows.strides, task.precision
            _, accuracy = evaluate_nets(*evaluated, unknown)
            outcome.all_correct[unknown] = accuracy >= FULL_ACCURACY
        done &= outcome.all_correct.astype(bool)
    return done


def result_of(
    pop: PopulationBase, task: FitTask, outcome: Outcome, interrupted: bool, watch: Stopwatch
) -> PopulationResult:
    """Return the result of a fit of a population, whose time ends here."""
    monitor = task.monitored
    settings = {**task.optimizer.settings, **{name: getattr(pop, name) for name in PER_NET}}
    per_net = {name: value for name, value in settings.items() if isinstance(value, np.ndarray)}
    epochs, converged = outcome.all_epochs, converged_nets(task, outcome)
    seconds, compile_seconds = watch.read()
    text = shared_text(task.optimizer)
    judged_by = "all right" if task.checks_final_accuracy else "finite loss" if task.converged is None else "rule"
    return PopulationResult(
        converged=converged,
        epochs=epochs,
        loss=outcome.loss,
        accuracy=outcome.accuracy if task.rows.metric != METRIC_NONE else None,
        monitor=monitor,
        best_value=None if monitor is None else outcome.best_value * (-1.0 if monitor.endswith("accuracy") else 1.0),
        best_epoch=np.maximum(outcome.best_epochs, 0) - 1 if monitor is not None else None,
        restarts=outcome.restarts,
        status=outcome.status,
        record_epochs=outcome.record_epochs,
        records=outcome.records,
        seconds=seconds,
        compile_seconds=compile_seconds,
        interrupted=interrupted,
        settings=per_net,
        judged_by=judged_by,
        arguments=task.description(text),
    )
