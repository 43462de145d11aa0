"""Refusal of NaN and infinity in X, y and weights."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np

from ..devices import device_context
from ..errors import counted
from .arrays import on_host

# Elements up to which a dot product of BLAS is the fastest check that all are finite, and from which a kernel is.
MAX_BLAS_CHECK, MIN_KERNEL_CHECK = 8192, 65_536


def checked_finite(array: Any, name: str, original: Any = None) -> Any:
    """Return the array, or raise ValueError if an element is not finite.

    original : the array before its conversion to the net's dtype, to tell an overflow of the conversion from bad input
    """
    if isfinite(_finite_check_sum(array)):  # one pass and no temporary array; elements are checked only if this fails
        return array
    bad = ~np.isfinite(on_host(array))
    if not bad.any():
        return array  # the sum overflowed, but all elements are finite
    index = tuple(int(k) for k in np.argwhere(bad)[0])
    if original is not None and np.isfinite(original_value := on_host(original)[index]):
        raise ValueError(
            f"{name} must fit into {array.dtype}, but it holds {original_value:g} at {index}, which is too large. Use "
            "dtype='float64', or scale it."
        )
    raise ValueError(
        f"{name} must be finite in {array.dtype}, but {int(bad.sum())} of its {counted(array.size, 'value')} "
        f"{'is' if bad.sum() == 1 else 'are'} NaN or infinite, the first at {index}. Impute, drop or rescale them."
    )


def _finite_check_sum(array: Any) -> float:
    """Return the sum of the elements or of their squares, whichever is faster; not finite if an element is not."""
    if type(array) is np.ndarray and (flags := array.flags).c_contiguous and flags.aligned:
        if array.size <= MAX_BLAS_CHECK:
            return float(np.vdot(array, array))  # np.dot would warn of an overflow
        if array.size >= MIN_KERNEL_CHECK and array.dtype in (np.float32, np.float64):
            from ..kernels.jit.call import call

            out = np.empty(1)
            call("simd.finite_sum.sum_to", array.dtype, array.reshape(-1), array.size, out)
            return float(out[0])
    with np.errstate(over="ignore", invalid="ignore"), device_context(array):
        return float(array.sum())
