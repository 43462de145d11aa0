"""Early stopping over several epochs per kernel call: finds the best epoch by its records, and returns to it.

Where only the records of training decide when a fit ends, or which epoch was the best, the fit loop calls the kernel
for several epochs at a time. Training repeats itself to the bit, so the parameters after any epoch in between are found
again by replaying from the checkpoint before the call.
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
from . import Hook

# Cost of scoring the records and calling the kernel, 30 us, in multiply-adds of one core. With half of it the folds of
# a cross-validation take 5 % longer, with twice as much 2 % less.
CHECK_COST = 1_000_000


class Checkpoint(NamedTuple):
    """Parameters and optimiser state after `epoch` epochs, from which training can go on."""

    epoch: int
    params: Any
    state: Any
    scalars: np.ndarray

    @classmethod
    def copy_of(cls, train_state: TrainState, epoch: int) -> Checkpoint:
        return cls(epoch, train_state.params.copy(), train_state.state.copy(), train_state.scalars.copy())

    def moved(self, move: Callable[[Any], Any]) -> Checkpoint:
        """Return the checkpoint with its parameters and optimiser state moved from or to a device, or copied."""
        return self._replace(params=move(self.params), state=move(self.state))

    def restore(self, train_state: TrainState) -> None:
        train_state.params[:], train_state.state[:] = self.params, self.state
        train_state.scalars[:] = self.scalars[0]  # all threads have the same, and their number may be another one now


class FinalParams(NamedTuple):
    """Parameters to end a fit with: `params`, or the parameters `n_epochs` epochs after `checkpoint`."""

    params: Any = None
    checkpoint: Checkpoint | None = None
    n_epochs: int = 0

    def moved(self, move: Callable[[Any], Any]) -> FinalParams:
        """Return the same with its arrays moved, as Checkpoint.moved does."""
        if self.checkpoint is None:
            return self._replace(params=move(self.params))
        return self._replace(checkpoint=self.checkpoint.moved(move))


class ScoredEpochs(NamedTuple):
    """Result of scoring the first `n_epochs` epochs: the best value, its epoch (-1 without one), the final parameters.

    Published in one assignment, so that an interruption finds either the old or the new result, never half of one.
    """

    n_epochs: int = 0
    value: float = inf
    epoch: int = -1
    final: FinalParams | None = None

    def moved(self, move: Callable[[Any], Any]) -> ScoredEpochs:
        """Return the same with its arrays moved, as Checkpoint.moved does."""
        return self if self.final is None else self._replace(final=self.final.moved(move))


class EndByRecords(Hook):
    """End of a fit by its records: by early stopping, or once a rule of convergence is met.

    net : engine, whose parameters become those of the best epoch at the end of the fit
    """

    def __init__(self, net: OneNet):
        task = net.task
        self._net, self._converged, rule = net, task.converged, task.early_stopping
        self._best = None if rule is None else Best(rule, task.monitored or "")
        self.checkpoint: Checkpoint | None = None  # at the beginning of the present stretch, if it has several epochs
        self.scored = ScoredEpochs()
        self.ended_by = ""  # why records have ended the fit, or the one that it goes on from
        self._next = 0  # number of epochs at the end of the present stretch
        # Parameters after an epoch in between are found again by replaying. Not so with an optimiser state, which the
        # next fit goes on from, nor on blocks.
        is_recorded_by_kernels = task.held_out is None and not task.metrics
        self._may_replay = is_recorded_by_kernels and not task.optimizer_states and isinstance(task.rows, InMemory)
        self._relative_cost = CHECK_COST / (net.n_batches * (task.batch_size * task.network.layout.products + STEP))

    def limit(self, n: int) -> int:
        net = self._net
        is_unscored = net.at_epoch_end and net.epochs_done > self.scored.n_epochs  # of a fit that goes on from a state
        if is_unscored and not self.ended_by:
            self._score(net.epochs_done, is_current=True)
        if self.ended_by:
            self.reason = self.ended_by
            return 0
        if net.at_epoch_end and net.epochs_done >= self._next:
            n_epochs = self._epochs_ahead(n)
            self._next = min(net.epochs_done + n_epochs, net.n_epochs)
            self.checkpoint = Checkpoint.copy_of(net.state, net.epochs_done) if n_epochs > 1 else None
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
        if not net.at_epoch_end or net.epochs_done == self.scored.n_epochs:
            return ""
        self._next = net.epochs_done  # also where another hook has cut the stretch
        return self._score(net.epochs_done, is_current=True)

    def _score(self, last: int, is_current: bool) -> str:
        """Score the epochs up to `last`; return why the fit ends, or "".

        is_current : whether the present parameters are those after epoch last - 1
        """
        net, best, first = self._net, self._best, self.scored.n_epochs
        improved, reason, end = self._find(net.records.publish(last), first, last)
        final = self.scored.final
        if improved is not None:
            n_epochs = improved + self._epochs_to_params(reason)
            if n_epochs == last and is_current:
                final = FinalParams(net.state.params.copy())
            elif self.checkpoint is None:
                final = FinalParams(net.guard.before_call.copy())
            else:
                final = FinalParams(checkpoint=self.checkpoint, n_epochs=n_epochs - first)
        value, epoch = (self.scored.value, self.scored.epoch) if best is None else (best.value, best.epoch)
        self.scored = ScoredEpochs(end, value, epoch, final)
        net.records.best_epoch = epoch if epoch >= 0 else None
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
        is_in_stretch = self.checkpoint is not None and self.checkpoint.epoch == self.scored.n_epochs < n
        if not self.ended_by and is_in_stretch:
            reason = self._score(n, is_current=False) or reason
        if self.ended_by:
            reason = self.ended_by
        elif reason != "divergence":  # epochs that were not scored do not count
            net.n_final = self.scored.n_epochs
        self._restore()
        return reason

    def _restore(self) -> None:
        final, net = self.scored.final, self._net
        if final is None:
            return
        if final.checkpoint is None:
            net.set_params(final.params)
            return
        final.checkpoint.restore(net.state)
        if final.n_epochs:  # never more than a call has
            n_batches = net.n_batches
            net.call_kernel(net.plan.n_threads, final.checkpoint.epoch * n_batches, final.n_epochs * n_batches)

    def go_on_from(self, scored: ScoredEpochs, stretch: Checkpoint | None, ended_by: str) -> None:
        """Begin where a fit of the same net, rows and settings was."""
        self.scored, self.checkpoint, self.ended_by = scored, stretch, ended_by
        if self._best is not None:
            self._best.value, self._best.epoch = scored.value, scored.epoch
        self._net.records.best_epoch = scored.epoch if scored.epoch >= 0 else None
        self._next = self._net.epochs_done + (not self._net.at_epoch_end)
