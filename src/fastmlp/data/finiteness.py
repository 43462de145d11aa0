"""Whether all parameters of a net are finite, without a warning of NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from math import isfinite
from typing import Any

import numpy as np

SMALL = 10_000  # parameters of a net whose fit is so short that a context in which NumPy does not warn would count


def are_finite(params: Any, to_host: Callable[[Any], np.ndarray]) -> bool:
    """params : (n,), of NumPy's or on a device. to_host : what makes a NumPy array of them

    A sum, of the squares where NumPy would warn of a sum that overflows, says yes for nearly all; only if it is not
    finite is each number looked at.
    """
    if type(params) is np.ndarray and params.size <= SMALL:
        total = np.vdot(params, params)
    else:
        with np.errstate(over="ignore", invalid="ignore") if type(params) is np.ndarray else nullcontext():
            total = params.sum()
    return isfinite(float(total)) or bool(np.isfinite(to_host(params)).all())
