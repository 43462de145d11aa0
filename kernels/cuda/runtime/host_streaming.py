"""Streaming of samples that do not fit into device memory.

The rows of a batch are gathered in pinned host memory and copied to the device while the previous batch is trained
(double buffering).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np

from ...structs import Samples
from .device_memory import checked_allocation

ALIGNED = 64  # elements; X, Y and weight of a batch start at multiples of this
REMEDY = "Lower batch_size, or use fewer samples."


def pinned(n: int, dtype: Any) -> np.ndarray:
    """Return page-locked host memory, from which copies to the device are asynchronous."""
    n_bytes = max(n, 1) * np.dtype(dtype).itemsize
    try:
        memory = cupy.cuda.alloc_pinned_memory(n_bytes)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(f"The host has no {n_bytes:,} bytes to pin for copies to the GPU. {REMEDY}") from error
    return np.frombuffer(memory, dtype, n)


class DoubleBuffer:
    """Two pairs of host and device buffers, used alternately; an event tells when a buffer may be written again."""

    def __init__(self, n: int, dtype: Any):
        n_bytes = 2 * n * np.dtype(dtype).itemsize
        with checked_allocation("two buffers in turn", n_bytes, REMEDY):  # checked before host memory is locked
            self.device = [cupy.empty(n, dtype), cupy.empty(n, dtype)]
        self.host = [pinned(n, dtype), pinned(n, dtype)]
        self._copied = [cupy.cuda.Event(), cupy.cuda.Event()]
        self._used = [cupy.cuda.Event(), cupy.cuda.Event()]
        self._stream = cupy.cuda.Stream(non_blocking=True)
        # The device memory may have had another owner, whose kernels are still running on the current stream.
        for buffer_index in range(2):
            self.mark_used(buffer_index)

    def __del__(self) -> None:
        """Wait for pending copies: the next owner of the buffers must not receive them."""
        for copied in getattr(self, "_copied", ()):
            with suppress(Exception):  # at process exit the CUDA runtime may already be gone
                copied.synchronize()

    def writable(self, buffer_index: int) -> np.ndarray:
        """Return the host buffer after its last copy has finished."""
        self._copied[buffer_index].synchronize()
        return self.host[buffer_index]

    def send(self, buffer_index: int, n: int) -> None:
        """Start copying the first n numbers, once kernels launched before mark_used have finished."""
        self._stream.wait_event(self._used[buffer_index])
        self.device[buffer_index][:n].set(self.host[buffer_index][:n], stream=self._stream)
        self._copied[buffer_index].record(self._stream)

    def arrived(self, buffer_index: int) -> Any:
        """Return the device buffer; kernels launched from now on wait for its copy."""
        cupy.cuda.get_current_stream().wait_event(self._copied[buffer_index])
        return self.device[buffer_index]

    def mark_used(self, buffer_index: int) -> None:
        self._used[buffer_index].record(cupy.cuda.get_current_stream())


class StreamedBatches:
    """Batches of up to `rows` samples, streamed from the host.

    widths : number of elements per sample in X, Y and weight; 0 for an absent array
    """

    def __init__(self, rows: int, widths: tuple[int, int, int], dtype: np.dtype):
        self._rows, self.widths = rows, widths
        sizes = [-(-rows * width // ALIGNED) * ALIGNED for width in widths]
        self._starts = [0, sizes[0], sizes[0] + sizes[1]]
        self._buffers = DoubleBuffer(sum(sizes), dtype)
        self._in_use = -1  # index of the buffer with the current batch
        self._ready: tuple[int, int] | None = None  # epoch and batch that has been sent ahead

    def restart(self) -> None:
        """Discard the batch that has been sent ahead."""
        self._ready = None

    def take(self, data: Samples, first: int, rows: int, order: np.ndarray | None, epoch: int, batch: int) -> tuple:
        """Return (x, y, weight) of a batch on the device, and start sending the next batch of the epoch.

        y or weight is None if the data has none.

        first : position of the batch's first sample, in the data or in `order`
        rows : number of samples in the batch
        order : permutation of the samples, or None for their order in the data
        epoch, batch : numbers that identify the batch
        """
        if self._in_use >= 0:
            self._buffers.mark_used(self._in_use)  # by the kernels launched since
        self._in_use = batch % 2
        if self._ready != (epoch, batch):
            self._send(data, first, rows, order, batch % 2)
        buffer = self._buffers.arrived(batch % 2)
        following = first + self._rows
        if following < data.n_samples:
            self._send(data, following, min(self._rows, data.n_samples - following), order, 1 - batch % 2)
            self._ready = (epoch, batch + 1)
        there = [buffer[start : start + rows * width] for start, width in zip(self._starts, self.widths, strict=True)]
        return there[0], there[1] if data.has_targets else None, there[2] if data.has_weights else None

    def _send(self, data: Samples, first: int, rows: int, order: np.ndarray | None, buffer_index: int) -> None:
        buffer, end = self._buffers.writable(buffer_index), 0
        chosen = slice(first, first + rows) if order is None else order[first : first + rows]
        for array, start, width in zip((data.X, data.Y, data.weight), self._starts, self.widths, strict=True):
            if width:
                end = start + rows * width
                buffer[start:end].reshape(rows, width)[:] = array.reshape(data.n_samples, width)[chosen]
        self._buffers.send(buffer_index, end)
