"""Early stopping over several epochs per kernel call: finds the best epoch by its records, and returns to it.

Where only the records of training decide when a fit ends, or which epoch was the best, the fit loop calls the kernel
for several epochs at a time. Training repeats itself to the bit, so the parameters after any epoch in between are found
again by replaying from a snapshot before the call.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np

from ...callbacks import Best
from ...kernels.structs import TrainState
from ..one_net import STEP, OneNet
from ..rows import InMemory
from .hook import Fit, Hook

# Cost of scoring the records and calling the kernel, 30 us, in multiply-adds of one core. With half of it the folds of
# a cross-validation take 5 % longer, with twice as much 2 % less.
CHECK_COST = 1_000_000
ENDS = "", "early_stopping", "converged"  # why records have ended a fit, as numbers in a state


class Snapshot(NamedTuple):
    """Parameters and optimiser state after `epoch` epochs, from which training can go on."""

    epoch: int
    params: Any
    state: Any
    scalars: np.ndarray

    @classmethod
    def copy_of(cls, train_state: TrainState, epoch: int) -> Snapshot:
        return cls(epoch, train_state.params.copy(), train_state.state.copy(), train_state.scalars.copy())

    def arrays(self, prefix: str, copied: Callable[[Any], np.ndarray]) -> dict[str, np.ndarray]:
        """Return the snapshot as arrays in the host's memory, by names with a prefix."""
        arrays = {"params": copied(self.params), "state": copied(self.state), "scalars": self.scalars.copy()}
        return {f"{prefix}.epoch": np.array([self.epoch])} | {f"{prefix}.{name}": a for name, a in arrays.items()}

    @classmethod
    def from_arrays(
        cls, prefix: str, arrays: dict[str, np.ndarray], to_device: Callable[[Any], Any]
    ) -> Snapshot | None:
        """Return the snapshot of what `arrays` has returned; None if there is none."""
        if f"{prefix}.epoch" not in arrays:
            return None
        epoch, params, state, scalars = (arrays[f"{prefix}.{name}"] for name in cls._fields)
        return cls(int(epoch[0]), to_device(params), to_device(state), scalars)

    def restore(self, train_state: TrainState) -> None:
        train_state.params[:], train_state.state[:] = self.params, self.state
        train_state.scalars[:] = self.scalars[0]  # all threads have the same, and their number may be another one now


class EndByRecords(Hook):
    """End of a fit by its records: by early stopping, or once a rule of convergence is met.

    The engine's parameters become those of the best epoch at the end of the fit.
    """

    def __init__(self, fit: Fit):
        self._net: OneNet = fit.engine
        net, task = self._net, fit.engine.task
        self._converged, rule = task.converged, task.early_stopping
        self._best = None if rule is None else Best(rule, task.monitored or "")
        self._snapshot: Snapshot | None = None  # at the beginning of the present stretch, if it has several epochs
        self.n_scored = 0  # number of epochs that are scored
        # Parameters to end the fit with: these, or those of so many epochs after a snapshot.
        self._params: Any = None
        self._replayed: Snapshot | None = None
        self._n_replayed = 0
        self.ended_by = ""  # why records have ended the fit, or the one that it goes on from
        self._next = 0  # number of epochs at the end of the present stretch
        # Parameters after an epoch in between are found again by replaying. Not so with an optimiser state, which the
        # next fit goes on from, nor on blocks.
        is_recorded_by_kernels = task.held_out is None and not task.metrics
        self._may_replay = is_recorded_by_kernels and not task.optimizer_states and isinstance(task.rows, InMemory)
        self._relative_cost = CHECK_COST / (task.work + net.n_batches * STEP)

    def limit(self, n: int) -> int:
        net = self._net
        is_unscored = net.at_epoch_end and net.epochs_done > self.n_scored  # of a fit that goes on from a state
        if is_unscored and not self.ended_by:
            self._score(net.epochs_done, is_current=True)
        if self.ended_by:
            return 0
        if net.at_epoch_end and net.epochs_done >= self._next:
            n_epochs = self._epochs_ahead(n)
            self._next = min(net.epochs_done + n_epochs, net.n_epochs)
            self._snapshot = Snapshot.copy_of(net.train_state, net.epochs_done) if n_epochs > 1 else None
        return min(n, net.steps_to(self._next))

    def _epochs_ahead(self, n_steps: int) -> int:
        """Return the number of epochs until records are scored next, of which a call trains n_steps.

        It is the number with the least expected cost: epochs trained beyond the end, and epochs that are replayed,
        against the checks themselves.
        """
        if not self._may_replay:
            return 1
        cost = self._relative_cost
        return max(1, min(int(sqrt(cost * (self._net.epochs_done + cost))), n_steps // self._net.n_batches))

    def after(self) -> str:
        net = self._net
        if not net.at_epoch_end or net.epochs_done == self.n_scored:
            return ""
        self._next = net.epochs_done  # also where another hook has cut the stretch
        return self._score(net.epochs_done, is_current=True)

    def _score(self, last: int, is_current: bool) -> str:
        """Score the epochs up to `last`; return why the fit ends, or "".

        is_current : whether the present parameters are those after epoch last - 1
        """
        net, first = self._net, self.n_scored
        improved, reason, end = self._find(net.records.publish(last), first, last)
        if improved is not None:
            n_epochs = improved + self._epochs_to_params(reason)
            self._params, self._replayed = None, None
            if n_epochs == last and is_current:
                self._params = net.train_state.params.copy()
            elif self._snapshot is None:
                self._params = net.guard.before_call.copy()
            else:
                self._replayed, self._n_replayed = self._snapshot, n_epochs - first
        self.n_scored = end
        net.records.best_epoch = self._best_epoch
        if reason:
            net.n_final, self.ended_by = end, reason
        net.records.publish(end)
        return reason

    def _find(self, history: Any, first: int, last: int) -> tuple[int | None, str, int]:
        """Return the new best epoch among first <= e < last or None, why training ends, and after how many epochs."""
        best, values, end_epoch = self._best, list[float](), None
        if self._converged is not None:
            accuracy = None if history.accuracy is None else history.accuracy[first:last]
            end_epoch = self._converged.first_reached(history.loss[first:last], accuracy)
            end_epoch = None if end_epoch is None else first + end_epoch
        improved, reason, end = None, "", last
        if best is not None:
            values = history.record(best.monitor)[first:last].tolist()
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
        return improved, reason, end

    def _epochs_to_params(self, reason: str) -> int:
        """Epochs from the beginning of an epoch to the parameters that its record describes: a full batch's loss is
        that of the parameters before the epoch's only step.
        """
        describes_after = self._best is not None and self._best.monitor not in ("loss", "accuracy")
        describes_start = self._net.n_batches == 1 and (not describes_after or reason == "converged")
        return 0 if describes_start else 1

    # ---- end of the fit

    def end(self, reason: str) -> str:
        """Score finished epochs that are not scored yet, in the middle of a stretch, and return to the best one."""
        net, n = self._net, self._net.n_finite_epochs
        is_in_stretch = self._snapshot is not None and self._snapshot.epoch == self.n_scored < n
        if not self.ended_by and is_in_stretch:
            reason = self._score(n, is_current=False) or reason
        if self.ended_by:
            reason = self.ended_by
        elif reason != "divergence":  # epochs that were not scored do not count
            net.n_final = self.n_scored
        self._restore()
        return reason

    def _restore(self) -> None:
        net, replayed = self._net, self._replayed
        if self._params is not None:
            net.set_params(self._params)
        if replayed is not None:
            replayed.restore(net.train_state)
            if self._n_replayed:  # never more than a call has
                n_batches = net.n_batches
                net.call_kernel(net.plan.choice.n_threads, replayed.epoch * n_batches, self._n_replayed * n_batches)

    @property
    def _best_epoch(self) -> int | None:
        return None if self._best is None or self._best.epoch < 0 else self._best.epoch

    # ---- state

    def state(self) -> dict[str, Any]:
        """Return N_SCORED numbers (state.py) as "scored", and the parameters and snapshots that there are."""
        best, net, copied = self._best, self._net, self._net.copied
        value, epoch = (inf, -1) if best is None else (best.value, best.epoch)
        ended_by = ENDS.index(self.ended_by)
        arrays = {"scored": np.array([self.n_scored, value, epoch, ended_by, net.n_final or 0, self._n_replayed])}
        if self._params is not None:
            arrays["best_params"] = copied(self._params)
        for prefix, snapshot in (("replay", self._replayed), ("stretch", self._snapshot)):
            if snapshot is not None:
                arrays |= snapshot.arrays(prefix, copied)
        return arrays

    def go_on_from(self, state: dict[str, Any], n_epochs: int) -> None:
        net = self._net
        n_scored, value, epoch, ended_by, n_final, n_replayed = state["scored"].tolist()
        self.n_scored, self._n_replayed, self.ended_by = int(n_scored), int(n_replayed), ENDS[int(ended_by)]
        if self.ended_by:
            net.n_final = int(n_final)
        if "best_params" in state:
            self._params = net.to_device(state["best_params"])
        self._replayed, self._snapshot = (
            Snapshot.from_arrays(name, state, net.to_device) for name in ("replay", "stretch")
        )
        if self._best is not None:
            self._best.value, self._best.epoch = value, int(epoch)
        net.records.best_epoch = self._best_epoch
        self._next = net.epochs_done + (not net.at_epoch_end)
