"""Conversion of inputs to arrays of finite numbers: dtype, memory layout and device.

In this package, "array" means a NumPy array or, on a GPU, a CuPy array.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import cache
from math import isfinite
from typing import Any

import numpy as np

from ..devices import as_device_array, device_context, device_of
from ..errors import counted, is_number
from ..runtime.memory_limits import check_array

# Cells that NumPy converts to numbers: dates and durations to whole numbers, complex ones to their real parts.
CONVERTED = np.datetime64, np.timedelta64, np.complexfloating
MAX_BLAS_CHECK = 8192  # elements up to which a dot product of BLAS is the fastest check that all are finite
ANYWHERE = "anywhere"  # device of as_numbers
ENCODE = "Encode text first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."


def as_numbers(values: Any, name: str, device: str | None = None) -> Any:
    """Return values as an array of numbers.

    values : array, list, data frame or sparse matrix
    name : str     name of the argument, for messages
    device : str or None     device whose arrays stay there and are returned as CuPy arrays; arrays on other devices are
        copied to the host. ANYWHERE: arrays stay where they are

    Raises
    ------
    ValueError
        If the values are text, ragged or otherwise not numbers.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return values
    source_device = device_of(values)
    if _has_masked_entries(values):
        raise ValueError(f"{name} has masked entries, which a net cannot learn from. Impute or drop them first.")
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        check_array(values.shape, values.dtype.itemsize, f"{name} as a dense array", "Choose fewer columns or rows.")
        values = values.toarray()
    only_dlpack = hasattr(values, "__dlpack__") and not hasattr(values, "__array__")
    try:
        if source_device is not None:
            array = as_device_array(values)
        else:
            array = np.from_dlpack(values) if only_dlpack else np.asarray(values)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise ValueError(f"{name} must be an array of numbers, but it cannot be made one: {error}") from None
    if array.dtype == object:
        array = _objects_as_float64(array, name, type(values).__name__)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold numbers, but its dtype is {array.dtype}. "
            + ("Pass real and imaginary parts as columns of their own." if array.dtype.kind == "c" else ENCODE)
        )
    return array if device in (source_device, ANYWHERE) else on_host(array)


def _has_masked_entries(values: Any) -> bool:
    """Return whether values are a masked array of NumPy with masked entries.

    NumPy imports its masked arrays when they are first asked for, in 10 ms. Who has made one has imported them.
    """
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(values, masked.MaskedArray) and bool(masked.is_masked(values))


def on_host(array: Any) -> np.ndarray:
    """Return an array as a NumPy array; a CuPy array is copied to the host."""
    return array if isinstance(array, np.ndarray) else array.get()


def _objects_as_float64(array: np.ndarray, name: str, type_name: str) -> np.ndarray:
    """Return an array of Python objects as float64."""
    if array.ndim == 0:
        given = "None" if array.item() is None else f"a {type_name}"
        raise ValueError(f"{name} must be an array of numbers, but it is {given}.")
    refuse_converted(array, name)
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise beyond_float64(name) from None
    except (ValueError, TypeError):
        index, cell = next((index, cell) for index, cell in np.ndenumerate(array) if not is_number(cell))
    raise _no_number(name, cell, index)


def refuse_converted(array: np.ndarray, name: str) -> None:
    """Raise ValueError if an array of Python objects holds one of CONVERTED."""
    if any(issubclass(kind, CONVERTED) for kind in set(map(type, array.flat))):
        index, cell = next((index, cell) for index, cell in np.ndenumerate(array) if isinstance(cell, CONVERTED))
        raise _no_number(name, cell, index)


def _no_number(name: str, cell: object, index: tuple[int, ...]) -> ValueError:
    return ValueError(f"{name} must hold numbers, but it holds {cell!r} at {index}. Impute missing values. {ENCODE}")


def beyond_float64(name: str) -> ValueError:
    """Return the error for an argument that holds a whole number beyond float64, such as one of 400 digits."""
    return ValueError(f"{name} must hold numbers that fit into float64, but it holds a larger one.")


def contiguous(array: Any, dtype: np.dtype) -> Any:
    """Return an array as aligned, writeable and C-contiguous, the only memory layout that kernels are compiled for."""
    if not isinstance(array, np.ndarray):
        return as_device_array(array, dtype)
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ["C", "A", "W"])


@cache
def empty_array(dtype: np.dtype) -> np.ndarray:
    """Return an array without elements, one per dtype: it stands for absent targets or weights."""
    return np.empty(0, dtype)


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
    is_plain = type(array) is np.ndarray and array.flags.c_contiguous and array.flags.aligned
    if is_plain and array.size <= MAX_BLAS_CHECK:
        return float(np.vdot(array, array))  # np.dot would warn of an overflow
    is_on_host = isinstance(array, np.ndarray)
    with np.errstate(over="ignore", invalid="ignore"), nullcontext() if is_on_host else device_context(array):
        return float(array.sum())
