"""Copies between host and device memory, and the error message when device memory is exhausted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from ...structs import Samples
from ..build.structs import Struct

SHARE_FOR_DATA = 0.7  # fraction of free memory that samples may take; batches of larger data are copied
ORDER_BYTES = 12  # per sample, of a shuffled order and of the lists by which it is drawn
# Bytes up to which CuPy may copy an array through page-locked memory. It locks as many bytes, rounded up to a power of
# two, and keeps them locked: large data would need twice the host memory.
MOST_PINNED = 2**26


def free_memory() -> tuple[int, int]:
    """Return (free bytes, total bytes) on the current device.

    Free memory includes free blocks of CuPy's pool, and excludes what would exceed the pool's limit.
    """
    free, total = cupy.cuda.Device().mem_info
    pool = cupy.get_default_memory_pool()
    free, limit = free + pool.free_bytes(), pool.get_limit()
    return (min(free, limit - pool.used_bytes()), min(total, limit)) if limit else (free, total)


@contextmanager
def checked_allocation(what: str, n_bytes: int | None, remedy: str) -> Iterator[None]:
    """Turn CuPy's out-of-memory error into a MemoryError with a complete message.

    what : name of the arrays, for the message
    n_bytes : total bytes that the block allocates; None to report the size of the array that did not fit
    remedy : sentence that says what the user can do

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
    """Return the array on the current device; without a copy if it is already there."""
    if not is_on_device(array):
        return cupy.asarray(array) if array.nbytes <= MOST_PINNED else _staged(array)
    if array.device == cupy.cuda.Device():
        return array
    with array.device:  # work on the array's own device is not ordered with this device's stream
        cupy.cuda.get_current_stream().synchronize()
    return array.copy()  # allocated on the current device


def _staged(array: np.ndarray) -> Any:
    """Copy an array to the device through the driver's small buffers for pageable memory, as to_device does."""
    there, stream = cupy.empty(array.shape, array.dtype), cupy.cuda.get_current_stream()
    there.set(array, stream=stream)
    stream.synchronize()  # a GPU that can read pageable host memory may still be reading the array
    return there


def to_host(array: Any) -> np.ndarray:
    return cupy.asnumpy(array) if is_on_device(array) else array


def _bytes_to_come(data: Samples) -> int:
    return sum(array.nbytes for array in (data.X, data.Y, data.weight) if not is_on_device(array))


def has_room_for_samples(n_bytes: int) -> bool:
    """Whether the current device has room for samples of so many bytes; larger data is streamed."""
    return n_bytes <= SHARE_FOR_DATA * free_memory()[0]


def fits(data: Samples) -> bool:
    """Whether the inputs are on the device, or all samples fit there."""
    return is_on_device(data.X) or has_room_for_samples(_bytes_to_come(data))


def whole_data(data: Samples) -> Samples:
    """Return all samples on the device, for kernels that iterate over them without the host.

    Raises
    ------
    MemoryError
        If they do not fit.
    """
    with checked_allocation("the samples", _bytes_to_come(data), "Use fewer samples, or device='cpu'."):
        return data._replace(X=to_device(data.X), Y=to_device(data.Y), weight=to_device(data.weight))


def device_data(data: Samples) -> Samples:
    """Return the samples on the device, or unchanged if they do not fit."""
    return whole_data(data) if fits(data) else data


class DeviceStruct:
    """One struct at a fixed device address; pass `array` to kernels that take a pointer to it.

    So the arguments of launches never change, while what kernels read does.
    """

    def __init__(self, struct: Struct):
        self.array = cupy.zeros(8 * len(struct.types), np.uint8)
        self._struct = struct
        self._in_use: tuple = ()

    def set(self, **values: Any) -> None:
        """Write all fields, asynchronously, on the current stream; those that are not given are 0."""
        host = np.frombuffer(self._struct.pack(**values), np.uint8)
        self.array.set(host, stream=cupy.cuda.get_current_stream())
        self._in_use = (values, host)  # kept alive: kernels and the copy have only their addresses
