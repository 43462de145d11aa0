"""Arrays on their way to the device, and what is said when there is no room for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from ...structs import Samples

SHARE_FOR_DATA = 0.7  # of free memory that samples may take; larger data stay on the host and stream
# Bytes of an array up to which CuPy may copy it by way of page-locked memory. It locks as many, rounded up to a power
# of two, and keeps them locked: large data would need twice the host's memory.
MOST_PINNED = 2**26


def free_memory() -> tuple[int, int]:
    """(bytes that can be had, bytes in all) on the current device. What CuPy's pool keeps ready can be had too; what
    would pass the pool's limit cannot.
    """
    free, total = cupy.cuda.Device().mem_info
    pool = cupy.get_default_memory_pool()
    free, limit = free + pool.free_bytes(), pool.get_limit()
    return (min(free, limit - pool.used_bytes()), min(total, limit)) if limit else (free, total)


@contextmanager
def checked_allocation(what: str, n_bytes: int | None, remedy: str) -> Iterator[None]:
    """Turns CuPy's error into a sentence.

    n_bytes : of all that is made inside; None says what the one array had that found no room

    Raises
    ------
    MemoryError
        With the bytes wanted and free, and the setting that lowers them.
    """
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as error:
        free, total = free_memory()
        wanted = f"about {n_bytes:,}" if n_bytes is not None else f"{error._size:,}"
        raise MemoryError(
            f"The GPU has no room for {what}: {wanted} bytes are wanted, {free:,} of {total:,} are free. {remedy}"
        ) from error


def is_on_device(array: Any) -> bool:
    return isinstance(array, cupy.ndarray)


def to_device(array: Any) -> Any:
    """The array on the current device; one that is there already is not copied."""
    if not is_on_device(array):
        return cupy.asarray(array) if array.nbytes <= MOST_PINNED else _staged(array)
    if array.device == cupy.cuda.Device():
        return array
    with array.device:  # what computes it there is not in this device's order
        cupy.cuda.get_current_stream().synchronize()
    return array.copy()  # to the current device


def _staged(array: np.ndarray) -> Any:
    """The same through the few buffers that the driver has for pageable memory."""
    there, stream = cupy.empty(array.shape, array.dtype), cupy.cuda.get_current_stream()
    there.set(array, stream=stream)
    stream.synchronize()  # a GPU that reads the host's memory by itself may not be done with the array
    return there


def to_host(array: Any) -> np.ndarray:
    return cupy.asnumpy(array) if is_on_device(array) else array


def _bytes_to_come(data: Samples) -> int:
    return sum(array.nbytes for array in (data.X, data.Y, data.weight) if not is_on_device(array))


def fits(data: Samples) -> bool:
    """Whether the inputs are on the device, or all samples have room there."""
    return is_on_device(data.X) or _bytes_to_come(data) <= SHARE_FOR_DATA * free_memory()[0]


def whole_data(data: Samples) -> Samples:
    """All samples on the device, for kernels that walk through them by themselves.

    Raises
    ------
    MemoryError
        If there is no room for them.
    """
    with checked_allocation("the samples", _bytes_to_come(data), "Use fewer samples, or device='cpu'."):
        return data._replace(X=to_device(data.X), Y=to_device(data.Y), weight=to_device(data.weight))


def device_data(data: Samples) -> Samples:
    """Samples on the device, or all of them on the host if there is no room."""
    return whole_data(data) if fits(data) else data
