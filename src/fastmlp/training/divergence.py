"""Divergence of a fit: the check that all parameters are finite, and the warning that they are not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from math import isfinite
from typing import Any

import numpy as np

from ..errors import DivergenceWarning
from ..user_warnings import warn_user

SMALL = 10_000  # parameters up to which a fit can be so short that entering np.errstate would take a notable part of it


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
        with np.errstate(over="ignore", invalid="ignore") if type(params) is np.ndarray else nullcontext():
            total = params.sum()
    return isfinite(float(total)) or bool(np.isfinite(to_host(params)).all())


def warn_of_divergence(epoch: int, epochs: int, learning_rate: float) -> None:
    """Warn that a fit has diverged, and say what helps.

    epoch : int     epoch of the divergence, counted from 1
    epochs : int     epochs that the fit was to train
    """
    warn_user(
        f"The loss or the parameters stopped being finite in epoch {epoch} of {epochs}; training ended and the last "
        f"finite parameters were restored. Lower the learning rate (it is {learning_rate:g}), set clip_norm=1.0, or "
        "scale the inputs and targets.",
        DivergenceWarning,
    )
