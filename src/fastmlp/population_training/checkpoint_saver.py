"""Saver of a population's fit: says when a state is due, and puts it together from what the nets give."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from ..kernels.structs import ALL_EPOCHS, RUNNING, SuspendedNets
from ..runtime.checkpoint_interval import Timer
from ..training.fit_state import FitState
from .fit_state import OUTCOME, SOME, PopulationFitState
from .kept_nets import KeptNets
from .task_and_outcome import PopulationOutcome, PopulationTask


class PopulationSaver:
    """Saver of one fit of a population.

    timer : Timer     of the file
    write : function of a PopulationFitState that writes it, and restarts the timer
    start : PopulationFitState or None     state to start from
    """

    def __init__(
        self, timer: Timer, write: Callable[[PopulationFitState], None], start: PopulationFitState | None = None
    ):
        self.timer, self.write, self.start = timer, write, start
        self._on_workers = SOME if start is not None and start.on_workers else ""
        self._parts: Callable[[], dict[str, Any]] = dict
        self._slots: dict[int, NetSlot] = {}  # nets in training, one by one
        self._ended: dict[int, FitState] = {}  # nets that have ended with their last epoch, one by one
        self._lock = Lock()
        self.epochs = 0  # of the calls that train nets together
        self._collecting = False  # whether a state is due, and nets have not given theirs yet

    def begin(
        self, task: PopulationTask, outcome: PopulationOutcome, restarts: np.ndarray, spent: np.ndarray, attempt: int
    ) -> None:
        """Take what belongs to the state in this attempt; the arrays change while nets are trained."""
        if self.start is not None and attempt > self.start.attempt:  # their nets have been restarted
            self.start.fits.clear()
        self._ended.clear()

        def parts() -> dict[str, Any]:
            results = {name: getattr(outcome, name).copy() for name in OUTCOME}  # the status first
            arrays = {"params": task.params.copy(), "restarts": restarts.copy(), "spent": spent.copy()}
            ended = ended_nets(results, arrays["params"], outcome.kept)
            numbers = {"attempt": attempt, "on_workers": self._on_workers}
            return {"outcome": results, "ended": ended, **numbers, **arrays}

        self._parts = parts

    # ---- nets that are trained together

    def save(self, suspended: SuspendedNets | None = None) -> None:
        """Write the state.

        suspended : SuspendedNets or None     nets in training
        """
        parts = self._parts()
        fits = self._fits_of_ended(parts["outcome"]["status"])
        self.write(PopulationFitState(**parts, suspended=suspended or SuspendedNets.none(), fits=fits))

    # ---- nets that are trained one by one, several at a time

    def slot(self, net: int, params: np.ndarray) -> NetSlot:
        """Return the saver of a net whose training begins.

        params : (n_params,)     initial parameters
        """
        with self._lock:
            fits = {} if self.start is None else self.start.fits
            self._slots[net] = found = NetSlot(self, params.copy(), fits.get(net))
            fits.pop(net, None)  # only now: Ctrl-C may come at any line, and the state must not be lost
        return found

    def end(self, net: int, by_last_epoch: bool) -> None:
        """Take the end of a net, whose results are in the outcome.

        by_last_epoch : whether it could go on with more epochs
        """
        with self._lock:
            state = self._slots[net].state
            if by_last_epoch and state is not None:
                self._ended[net] = state
            del self._slots[net]  # only now, as in `slot`
            self._write_if_collected()

    def wants_states(self) -> bool:
        """Whether nets in training are to give their states."""
        if not self._collecting and self.timer.seconds_are_over():
            with self._lock:
                for slot in self._slots.values():
                    slot.has_given = False
                self._collecting = True
        return self._collecting

    def collect(self, slot: NetSlot) -> None:
        """Write the states of all nets, once each has given its own since a state is due."""
        with self._lock:
            slot.has_given = True
            self._write_if_collected()

    def collect_one(self) -> None:
        """Write the states of all nets, after one of them has given its own by the number of its epochs."""
        with self._lock:
            self.save_slots()

    def _write_if_collected(self) -> None:
        if self._collecting and all(slot.has_given for slot in self._slots.values()):
            self._collecting = False
            self.save_slots()

    def save_slots(self) -> None:
        """Write the state with the states that nets have given."""
        parts = self._parts()
        status = parts["outcome"]["status"]
        fits = self._fits_of_ended(status)
        for net, slot in self._slots.items():
            if status[net] == RUNNING:
                parts["params"][net] = slot.params
            if slot.state is not None and status[net] in (RUNNING, ALL_EPOCHS):  # the slot of the latter ends soon
                fits[net] = slot.state
        if self.start is not None:  # nets that have not gone on yet
            fits = {**self.start.fits, **fits}
        self.write(PopulationFitState(**parts, fits=fits))

    def _fits_of_ended(self, status: np.ndarray) -> dict[int, FitState]:
        """Return the states of nets that have ended with their last epoch, by this fit or before it."""
        before = {} if self.start is None else self.start.fits
        return {net: state for net, state in {**before, **self._ended}.items() if status[net] == ALL_EPOCHS}


class CallSaver:
    """Saver of the nets that a run trains together, asked between its kernel calls.

    suspended : function that returns the run's nets in training
    waiting : SuspendedNets     nets that go on after these
    """

    def __init__(self, saver: PopulationSaver, suspended: Callable[[], SuspendedNets], waiting: SuspendedNets):
        self._saver, self._suspended, self._waiting = saver, suspended, waiting

    def most_epochs(self, n_epochs: int) -> int:
        """Return n_epochs, or fewer if a state will be due before: the number of epochs of the next call."""
        return min(n_epochs, self._saver.timer.epochs_left(self._saver.epochs) or n_epochs)

    def after_call(self, n_epochs: int) -> None:
        """Write the state if it is due after a call of n_epochs epochs."""
        self._saver.epochs += n_epochs
        if self._saver.timer.is_due(self._saver.epochs):
            self.save()

    def save(self) -> None:
        nets, waiting = self._suspended(), self._waiting
        parts = [part for part in (nets, waiting) if len(part.net_index)]
        self._saver.save(SuspendedNets.joined(parts) if parts else None)
        self._saver.timer.restart(self._saver.epochs)


class NetSlot:
    """Saver of one net, which a fit of one net takes; the last state that the net has given."""

    def __init__(self, saver: PopulationSaver, params: np.ndarray, state: FitState | None):
        self.params, self.state, self.start = params, state, state
        self.has_given = True  # a net that begins has nothing to lose
        self._saver = saver
        self._last_epoch = 0 if state is None else len(state.loss)

    def is_due(self, epochs_done: int) -> bool:
        if (n := self._saver.timer.interval.epochs) is not None:
            return epochs_done - self._last_epoch >= n
        return self._saver.wants_states() and not self.has_given

    def epochs_left(self, epochs_done: int) -> int | None:
        n = self._saver.timer.interval.epochs
        return None if n is None else max(1, self._last_epoch + n - epochs_done)

    def save(self, state: FitState, epochs_done: int) -> None:
        counts_epochs = self._saver.timer.interval.epochs is not None and self.is_due(epochs_done)
        self.state, self._last_epoch = state, epochs_done
        if counts_epochs:
            self._saver.collect_one()
        elif not self.has_given:
            self._saver.collect(self)


def ended_nets(outcome: dict[str, np.ndarray], params: np.ndarray, kept: KeptNets | None) -> SuspendedNets:
    """Return the nets trained together that have ended with their last epoch, from which they can go on.

    outcome : arrays of the PopulationOutcome by name
    params : (n_nets, n_params)     final ones of nets that have ended; with early stopping, those of the best epoch
    kept : what else these nets need; None of nets trained one by one
    """
    if kept is None:
        return SuspendedNets.none()
    nets = np.flatnonzero((outcome["status"] == ALL_EPOCHS) & kept.are_written)
    if not len(nets):
        return SuspendedNets.none()
    watches = bool(outcome["best_epochs"].size)
    best_epochs = outcome["best_epochs"][nets] if watches else np.zeros(len(nets), np.int64)
    best_params = params[nets] if watches else np.empty((len(nets), 0), params.dtype)
    return kept.rows_of(nets, outcome["epochs"][nets], best_epochs, best_params)
