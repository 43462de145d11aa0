"""Checkpoints of a fit: a hook of each engine that says when a state is due, and the saver that puts the file together.

The identity of the fit in the file (checkpoint_identity.py) says what must be the same for a fit to go on from it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np

from ...kernels.structs import ALL_EPOCHS, DIVERGED_NET, NONE_SUSPENDED, RUNNING, SuspendedNets
from ...runtime.checkpoint_interval import Timer
from ..lanes import Lanes
from ..one_net import OneNet
from ..outcome import Outcome
from ..rows import InMemory
from ..state import Arrays, FitState, go_on, state_of_net
from ..task import FitTask
from .hook import Fit, Hook


class Saver:
    """Saver of one fit.

    timer : Timer     interval between two files
    write : function (state, epochs) that writes a FitState; epochs : that this fit has trained, of all nets
    start : state to start from, or None
    """

    def __init__(self, timer: Timer, write: Callable[[FitState, int], None], start: FitState | None = None):
        self.timer, self._write, self.start = timer, write, start
        self._states: dict[int, Arrays] = {} if start is None else start.nets
        self._initial: dict[int, np.ndarray] = {}  # parameters with which nets in training have begun
        self._asked: set[int] = set()  # nets in training whose states the next file waits for
        self._lock, self._attempt = Lock(), 0 if start is None else start.attempt
        self.epochs = 0  # that this fit has trained, of all nets
        self._is_new = False  # whether there are states of nets that the file does not have
        self._is_kept: Callable[[int], bool] = lambda status: status in (RUNNING, ALL_EPOCHS)

    def begin(self, task: FitTask, outcome: Outcome, attempt: int) -> None:
        """Take the nets of this attempt, whose arrays change while they are trained."""
        if task.optimizer_states:  # which the next fit goes on from
            self._is_kept = lambda status: status != DIVERGED_NET
        if attempt > self._attempt:  # the nets have been restarted
            self._states.clear()
        self._task, self._outcome, self._attempt = task, outcome, attempt

    def state(self, suspended: SuspendedNets = NONE_SUSPENDED) -> FitState:
        """Return the state of all nets; suspended : nets in lanes that are in training"""
        outcome, kept = self._outcome.copy(), self._outcome.kept
        params = self._task.params.copy()
        ended = NONE_SUSPENDED if kept is None else kept.ended(outcome, params)
        for net, initial in self._initial.items():
            if outcome.status[net] == RUNNING:
                params[net] = initial
        nets = {net: state for net, state in self._states.items() if self._is_kept(outcome.status[net])}
        return FitState(params, outcome, self._attempt, suspended, ended, nets)

    def save(self, suspended: SuspendedNets = NONE_SUSPENDED) -> None:
        self._is_new = False
        self._write(self.state(suspended), self.epochs)

    def write(self, state: FitState) -> None:
        """Write a state that was put together elsewhere."""
        self._write(state, self.epochs)

    def save_if_new(self) -> None:
        """Write the state of a net that has ended, unless the file has it."""
        if self._is_new:
            self.save()

    # ---- nets that are trained one by one, several at a time

    def begin_net(self, number: int, params: np.ndarray) -> Arrays | None:
        """Take a net whose training begins, with its initial parameters; return the state that it goes on from."""
        with self._lock:
            self._initial[number] = params.copy()
        return self._states.get(number)

    def is_asked(self, number: int) -> bool:
        """Whether a net is to give its state, since a checkpoint is due."""
        if not self._asked and self.timer.seconds_left() <= 0.0:
            with self._lock:
                self._asked = set(self._initial)
        return number in self._asked

    def give(self, number: int, state: Arrays, is_asked: bool) -> None:
        """Take the state of a net for the next file, which is written once it has those of all that were asked."""
        with self._lock:
            self._states[number], self._is_new = state, True
            if is_asked:
                self._asked.discard(number)
                if not self._asked:
                    self.save()

    def end_net(self, number: int, status: int) -> None:
        """Take the end of a net, whose results are in the outcome."""
        with self._lock:
            self._is_new = True
            if not self._is_kept(status):
                self._states.pop(number, None)
            if status != RUNNING:
                del self._initial[number]
            if number in self._asked:
                self._asked.discard(number)
                if not self._asked:
                    self.save()


class SaveNet(Hook):
    """Gives the state of a net that is trained by itself; the last of its hooks."""

    def __init__(self, fit: Fit):
        self._saver, self._hooks = fit.saver, fit.hooks
        self._net: OneNet = fit.engine
        net, n_params = self._net, self._net.task.network.layout.n_params
        start = self._saver.begin_net(net.number, net.host_params[:n_params])
        self._last = 0 if start is None else len(start["loss"])
        self._given: tuple[int, ...] = ()  # where the net was when it gave its state
        # Epochs are counted for each of the nets that are in training, or for all nets one after another.
        self._counts_all = not isinstance(net.task.rows, InMemory)
        if start is not None:
            go_on(net, fit.hooks, start)

    def _is_due(self) -> bool:
        every, n = self._saver.timer.interval.epochs, self._net.epochs_done - self._last
        if every is None:
            return self._saver.is_asked(self._net.number)
        return self._saver.timer.is_due(self._saver.epochs + n) if self._counts_all else n >= every

    def limit(self, n: int) -> int:
        net, every = self._net, self._saver.timer.interval.epochs
        if every is not None:
            new = net.epochs_done - self._last
            left = self._saver.timer.epochs_left(self._saver.epochs + new) if self._counts_all else every - new
            return min(n, net.steps_to(net.epochs_done + (left or every)))
        is_on_device = not net.plan.device.is_host  # which gives no state within an epoch
        return min(n, net.steps_to(net.epochs_done + 1)) if is_on_device and self._is_due() else n

    def after(self) -> str:
        net = self._net
        if net.is_complete and self._is_due():
            self._give(True)
        elif self._counts_all and not net.plan.device.is_host and net.steps_left == 0:
            self._give(False)  # a device gives no state within the next block
        return ""

    def end(self, reason: str) -> str:
        if reason not in ("divergence", "error") and self._net.has_block and self._net.is_complete:
            self._give(False)
        return reason

    def _give(self, is_asked: bool) -> None:
        net = self._net
        here = net.epochs_done, net.steps_in_block, net.position.n_blocks
        if here == self._given:
            return
        self._saver.epochs += net.epochs_done - self._last
        self._last, self._given = net.epochs_done, here
        self._saver.give(net.number, state_of_net(net, self._hooks), is_asked)


class SaveLanes(Hook):
    """Gives the states of nets that are trained together."""

    def __init__(self, fit: Fit):
        self._saver = fit.saver
        self._lanes: Lanes = fit.engine

    def limit(self, n: int) -> int:
        return min(n, self._saver.timer.epochs_left(self._saver.epochs) or n)

    def after(self) -> str:
        self._saver.epochs += self._lanes.last_call[1]
        if self._saver.timer.is_due(self._saver.epochs):
            self._saver.save(self._lanes.suspended())
        return ""
