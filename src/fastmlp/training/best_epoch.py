"""Early stopping over several epochs per kernel call: finds the best epoch by its records, and returns to it.

Where only the records of training decide when a fit ends, or which epoch was the best, the fit loop calls the kernel
for several epochs at a time. Training repeats itself to the bit, so the parameters after any epoch in between are found
again by replaying from the checkpoint before the call.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ..callbacks import Best
from ..history import History
from ..kernels.structs import TrainState
from .epoch_records import score_epochs
from .fit_options import Options


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


class BestEpoch:
    """Search for the best epoch of one fit, and for the epoch at which early stopping or convergence ends it.

    options : options of the fit, of which `early_stopping` and `converged` count
    validates : whether the fit has validation samples; early stopping then monitors their loss by default
    n_batches : number of batches in an epoch
    """

    def __init__(self, options: Options, validates: bool, n_batches: int):
        rule, default = options.early_stopping, "validation_loss" if validates else "loss"
        self._best = None if rule is None else Best(rule, rule.monitor or default)
        self._converged, self._n_batches = options.converged, n_batches
        self.checkpoint: Checkpoint | None = None  # before the present call, if it has several epochs
        self.scored = ScoredEpochs()

    @property
    def may_stop_early(self) -> bool:
        """Whether records may end the fit."""
        return self._best is not None or self._converged is not None

    @property
    def epoch(self) -> int | None:
        """Best epoch so far, counted from 0."""
        return self.scored.epoch if self.scored.epoch >= 0 else None

    def score(
        self, history: History, train_state: TrainState, before_call: Any, first: int, last: int, is_current: bool
    ) -> tuple[str, int]:
        """Score epochs first <= e < last by the records in `history`.

        before_call : parameters before the last kernel call
        is_current : whether the parameters in `train_state` are those after epoch last - 1

        Returns
        -------
        Why training ends ("early_stopping", "converged", or "" if it continues), and after how many epochs.
        """
        best, scored = self._best, self.scored
        if best is not None:
            best.value, best.epoch = scored.value, scored.epoch  # where an earlier call of this was interrupted
        improved, reason, end = score_epochs(best, self._converged, history, first, last)
        final = scored.final
        if improved is not None:
            n_epochs = improved + self._epochs_to_params(reason)
            if n_epochs == last and is_current:
                final = FinalParams(train_state.params.copy())
            elif self.checkpoint is None:
                final = FinalParams(before_call.copy())
            else:
                final = FinalParams(checkpoint=self.checkpoint, n_epochs=n_epochs - first)
        value, epoch = (scored.value, scored.epoch) if best is None else (best.value, best.epoch)
        self.scored = ScoredEpochs(end, value, epoch, final)
        return reason, end

    def _epochs_to_params(self, reason: str) -> int:
        """Epochs from the beginning of an epoch to the parameters that its record describes: a full batch's loss is
        that of the parameters before the epoch's only step.
        """
        describes_after = self._best is not None and self._best.monitor not in ("loss", "accuracy")
        describes_start = self._n_batches == 1 and (not describes_after or reason == "converged")
        return 0 if describes_start else 1

    def restore(self, train_state: TrainState, replay: Callable[[int, int], None]) -> None:
        """Write the final parameters into `train_state`.

        replay : trains n_steps from step `first` on, called as replay(first, n_steps); never for more than a call has
        """
        final = self.scored.final
        if final is None:
            return
        if final.checkpoint is None:
            train_state.params[:] = final.params
            return
        final.checkpoint.restore(train_state)
        if final.n_epochs:
            replay(final.checkpoint.epoch * self._n_batches, final.n_epochs * self._n_batches)

    def forget(self) -> None:
        """Forget the best epoch: its parameters cannot be restored."""
        self.scored = self.scored._replace(epoch=-1)
