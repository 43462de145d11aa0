"""Samples that have no room on the device: a batch's rows are collected in pinned memory and copied while the batch
before is trained. Two buffers take turns.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np

from ...structs import Samples
from .device_memory import checked_allocation

ALIGNED = 64  # numbers to whose multiples each part of a batch starts
REMEDY = "Lower batch_size, or use fewer samples."


def pinned(n: int, dtype: Any) -> np.ndarray:
    """Host memory that copies to the device without waiting."""
    n_bytes = max(n, 1) * np.dtype(dtype).itemsize
    try:
        memory = cupy.cuda.alloc_pinned_memory(n_bytes)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise MemoryError(f"The host has no {n_bytes:,} bytes to pin for copies to the GPU. {REMEDY}") from error
    return np.frombuffer(memory, dtype, n)


class DoubleBuffer:
    """Two buffers in turn, each with the event after which it may be written again."""

    def __init__(self, n: int, dtype: Any):
        n_bytes = 2 * n * np.dtype(dtype).itemsize
        with checked_allocation("two buffers in turn", n_bytes, REMEDY):  # before the host's memory is locked
            self.device = [cupy.empty(n, dtype), cupy.empty(n, dtype)]
        self.host = [pinned(n, dtype), pinned(n, dtype)]
        self._copied = [cupy.cuda.Event(), cupy.cuda.Event()]
        self._used = [cupy.cuda.Event(), cupy.cuda.Event()]
        self._stream = cupy.cuda.Stream(non_blocking=True)
        # The buffers may have been somebody else's, whose kernels are still under way on the current stream.
        for turn in range(2):
            self.mark_used(turn)

    def __del__(self) -> None:
        """Whoever gets the buffers next must not find a copy under way into them."""
        for copied in getattr(self, "_copied", ()):
            with suppress(Exception):  # at the end of a process there may be no runtime any more
                copied.synchronize()

    def writable(self, turn: int) -> np.ndarray:
        """The host buffer, once its last copy has left it."""
        self._copied[turn].synchronize()
        return self.host[turn]

    def send(self, turn: int, n: int) -> None:
        """Copy the first n numbers, once kernels that were launched before mark_used are done with the device's."""
        self._stream.wait_event(self._used[turn])
        self.device[turn][:n].set(self.host[turn][:n], stream=self._stream)
        self._copied[turn].record(self._stream)

    def arrived(self, turn: int) -> Any:
        """The device buffer; what is launched from here on waits for its copy."""
        cupy.cuda.get_current_stream().wait_event(self._copied[turn])
        return self.device[turn]

    def mark_used(self, turn: int) -> None:
        self._used[turn].record(cupy.cuda.get_current_stream())


class Streamed:
    """Batches of up to `rows` samples from the host. widths : numbers of a sample in X, Y and weight, 0 for none"""

    def __init__(self, rows: int, widths: tuple[int, int, int], dtype: np.dtype):
        self._rows, self.widths = rows, widths
        sizes = [-(-rows * width // ALIGNED) * ALIGNED for width in widths]
        self._starts = [0, sizes[0], sizes[0] + sizes[1]]
        self._turns = DoubleBuffer(sum(sizes), dtype)
        self._in_use = -1  # the turn of the batch that was given out last
        self._ready: tuple[int, int] | None = None  # the epoch and batch that is on its way or here

    def restart(self) -> None:
        """What is on its way is not wanted."""
        self._ready = None

    def take(self, data: Samples, first: int, rows: int, order: np.ndarray | None, epoch: int, batch: int) -> tuple:
        """(x, y, weight) of the samples, or of those that an order has from there on, None for what data have not; the
        next batch of the same epoch is sent off too.
        """
        if self._in_use >= 0:
            self._turns.mark_used(self._in_use)  # by what was launched since
        self._in_use = batch % 2
        if self._ready != (epoch, batch):
            self._send(data, first, rows, order, batch % 2)
        room = self._turns.arrived(batch % 2)
        following = first + self._rows
        if following < data.n_samples:
            self._send(data, following, min(self._rows, data.n_samples - following), order, 1 - batch % 2)
            self._ready = (epoch, batch + 1)
        there = [room[start : start + rows * width] for start, width in zip(self._starts, self.widths, strict=True)]
        return there[0], there[1] if data.has_targets else None, there[2] if data.has_weights else None

    def _send(self, data: Samples, first: int, rows: int, order: np.ndarray | None, turn: int) -> None:
        room, end = self._turns.writable(turn), 0
        chosen = slice(first, first + rows) if order is None else order[first : first + rows]
        for array, start, width in zip((data.X, data.Y, data.weight), self._starts, self.widths, strict=True):
            if width:
                end = start + rows * width
                room[start:end].reshape(rows, width)[:] = array.reshape(data.n_samples, width)[chosen]
        self._turns.send(turn, end)
