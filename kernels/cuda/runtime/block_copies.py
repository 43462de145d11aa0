"""Copies of blocks of rows on the device: kernels train on one block while the next one is copied.

There are two buffers on the device. A thread that has read a block copies it on a stream of its own, by way of two
small buffers of page-locked memory in turn: copies from other memory would wait for the host, and large blocks would
lock much of it. Events order the streams: a buffer is written when the kernels that use it are done, and kernels that
are launched after `arrived` wait for its copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import cupy
import numpy as np

from .device_memory import ORDER_BYTES, SHARE_FOR_DATA, checked_allocation, free_memory

REMEDY = "Lower batch_size, or use fewer samples."
STAGED_BYTES = 2**24  # of a page-locked buffer
BUFFERS = 2


def block_copies(sizes: Sequence[int], dtype: np.dtype, n_shuffled: int) -> BlockCopies | None:
    """Return buffers for blocks of arrays of these lengths.

    n_shuffled : rows of a block whose order is drawn, 0 without shuffling

    None if the device has no room for two blocks and the order, or the host none to lock.
    """
    n_bytes = BUFFERS * sum(sizes) * np.dtype(dtype).itemsize + ORDER_BYTES * n_shuffled
    if n_bytes > SHARE_FOR_DATA * free_memory()[0]:
        return None
    with suppress(MemoryError):
        return BlockCopies(sizes, dtype)
    return None


def pinned(n: int, dtype: np.dtype) -> np.ndarray:
    """Return page-locked host memory, from which copies to the device are asynchronous."""
    n_bytes = max(n, 1) * dtype.itemsize
    try:
        memory = cupy.cuda.alloc_pinned_memory(n_bytes)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(f"The host has no {n_bytes:,} bytes to pin for copies to the GPU. {REMEDY}") from error
    return np.frombuffer(memory, dtype, n)


class BlockCopies:
    """Two buffers for blocks on the device, block k being in buffer k % 2.

    `send` is for one thread, and `arrived` for the one that launches kernels. Before block k is sent, block k - 1 must
    have arrived: kernels that were launched before that are those that use block k - 2.

    sizes : largest number of elements of each array of a block
    """

    def __init__(self, sizes: Sequence[int], dtype: np.dtype):
        n_bytes, dtype = BUFFERS * sum(sizes) * np.dtype(dtype).itemsize, np.dtype(dtype)
        with checked_allocation("two blocks of rows", n_bytes, REMEDY):
            self._there = [[cupy.empty(size, dtype) for size in sizes] for _ in range(BUFFERS)]
        self._staged = [pinned(max(1, min(max(sizes), STAGED_BYTES // dtype.itemsize)), dtype) for _ in range(2)]
        self._turn = 0  # of the page-locked buffers
        events = lambda: [cupy.cuda.Event(), cupy.cuda.Event()]
        self._left, self._arrived, self._used = events(), events(), events()
        self._device, self._stream = cupy.cuda.Device(), cupy.cuda.Stream(non_blocking=True)
        self._in_use: int | None = None
        # The device memory may have had another owner, whose kernels are still running on the current stream.
        for event in self._used:
            event.record(cupy.cuda.get_current_stream())

    def __del__(self) -> None:
        """Wait for pending copies: the next owner of the memory must not receive them."""
        for event in getattr(self, "_arrived", ()):
            with suppress(Exception):  # at process exit the CUDA runtime may already be gone
                event.synchronize()

    def send(self, k: int, arrays: Sequence[np.ndarray]) -> None:
        """Start copying block k. Its arrays may be changed afterwards.

        arrays : flat arrays in the host's memory, of the dtype and at most the sizes of the buffers
        """
        with self._device:
            self._stream.wait_event(self._used[k % BUFFERS])
            for array, there in zip(arrays, self._there[k % BUFFERS], strict=True):
                self._send(array, there)
            self._arrived[k % BUFFERS].record(self._stream)

    def _send(self, array: np.ndarray, there: Any) -> None:
        step = len(self._staged[0])
        for first in range(0, len(array), step):
            n, turn = min(step, len(array) - first), self._turn
            self._turn = 1 - turn
            self._left[turn].synchronize()  # what was staged here before has been copied
            self._staged[turn][:n] = array[first : first + n]
            there[first : first + n].set(self._staged[turn][:n], stream=self._stream)
            self._left[turn].record(self._stream)

    def arrived(self, k: int, sizes: Sequence[int]) -> list[Any]:
        """Return the arrays of block k, of these lengths; kernels launched from now on wait for them.

        Kernels that use the block before it must have been launched.
        """
        stream = cupy.cuda.get_current_stream()
        if self._in_use is not None:
            self._used[self._in_use].record(stream)
        self._in_use = k % BUFFERS
        stream.wait_event(self._arrived[self._in_use])
        return [there[:size] for there, size in zip(self._there[self._in_use], sizes, strict=True)]
