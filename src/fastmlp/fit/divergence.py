"""Divergence of a fit: the check that all parameters are finite, the return to the last ones that were, the warning."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from ..errors import DivergenceWarning
from ..execution.plan import Plan
from ..interface.user_warnings import warn_user
from ..kernels.structs import DIVERGED, STEPS_DONE, TrainState
from ..optimizers.base import Optimizer

SMALL = 10_000  # parameters up to which a fit can be so short that np.errstate would take a notable part of it


def are_finite(params: Any, to_host: Callable[[Any], np.ndarray]) -> bool:
    """Return whether all parameters are finite.

    params : (n,)     NumPy or device array
    to_host : function that returns params as a NumPy array

    A finite sum (of squares for small NumPy arrays, since np.vdot does not warn of an overflow) means that all elements
    are finite. Only if the sum is not finite are the elements checked one by one.
    """
    if type(params) is np.ndarray and params.size <= SMALL:
        total = np.vdot(params, params)
    else:
        with np.errstate(all="ignore"):
            total = params.sum()
    return isfinite(float(total)) or bool(np.isfinite(to_host(params)).all())


class DivergenceGuard:
    """Guard of a fit against divergence: keeps parameters at which the loss was finite, and restores them.

    plan : has the buffers for them, which later fits use again
    train_state : TrainState     state of the fit; its parameters are restored in place

    Each kernel call stands between begin_call and, if parameters and loss are finite after it, end_call. An
    interruption may come between any two lines.
    """

    def __init__(self, plan: Plan, train_state: TrainState):
        self._plan, self._train_state = plan, train_state
        # The last parameters with a finite loss, and the parameters before a call: equal until the second call.
        self._last_finite = self.before_call = self._spare_buffer = plan.get_or_make(
            "last_finite", train_state.params.copy
        )
        self._first_step = 0  # of the present call
        self.params_overflowed = False  # whether the parameters stopped being finite while the loss was

    def begin_call(self, first_step: int) -> Any:
        """Keep the parameters before a call that begins with step `first_step`, and return them."""
        self._first_step = first_step
        before_call = self.before_call = self._spare_buffer
        before_call[:] = self._train_state.params
        return before_call

    def end_call(self) -> None:
        """Make the parameters before the call the last finite ones."""
        replaced, self._last_finite = self._last_finite, self.before_call
        if replaced is self.before_call:
            replaced = self._plan.get_or_make("spare", self._train_state.params.copy)
        self._spare_buffer = replaced

    def is_finite(self) -> bool:
        """Whether the loss has been finite, and all parameters are."""
        train_state = self._train_state
        return not train_state.scalars[0, DIVERGED] and are_finite(train_state.params, self._plan.backend.to_host)

    def restore(self) -> None:
        """Restore the last finite parameters, after a call that ended with a loss or parameters that are not finite."""
        scalars = self._train_state.scalars[0]
        self.params_overflowed = not scalars[DIVERGED]
        has_steps = scalars[STEPS_DONE] > self._first_step
        self._train_state.params[:] = self.before_call if has_steps else self._last_finite


def warn_of_divergence(epoch: int, epochs: int, optimizer: Optimizer) -> None:
    """Warn that a fit has diverged, and say what helps.

    epoch : int     epoch of the divergence, counted from 1
    epochs : int     epochs that the fit was to train
    """
    clipping = f"lower clip_norm (it is {optimizer.clip_norm:g})" if optimizer.clip_norm else "set clip_norm=1.0"
    warn_user(
        f"The loss or the parameters stopped being finite in epoch {epoch} of {epochs}; training ended and the last "
        f"finite parameters were restored. Lower the learning rate (it is {optimizer.learning_rate:g}), {clipping}, "
        "or make the net with standardize=True.",
        DivergenceWarning,
    )
