"""Conversion of inputs to arrays of numbers: dtype, memory layout and device.

In this package, "array" means a NumPy array or, on a GPU, a CuPy array.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from ..devices import as_device_array, device_of
from ..errors import is_number
from ..runtime.memory_check import check_array

# Cells that NumPy converts to numbers: dates and durations to whole numbers, complex ones to their real parts.
CONVERTED = np.datetime64, np.timedelta64, np.complexfloating
ENCODE = "Encode text first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."


def as_numbers(values: Any, name: str, device: str | None = None) -> Any:
    """Return values as an array of numbers.

    values : array, list, data frame or sparse matrix
    name : str     name of the argument, for messages
    device : str or None     device whose arrays stay there and are returned as CuPy arrays; arrays on other devices are
        copied to the host

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
    return array if source_device == device else on_host(array)


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
        raise ValueError(f"{name} must be an array of numbers, but it is a {type_name}.")
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
