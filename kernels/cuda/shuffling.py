"""The batches of an epoch on the device: the same samples in the same order as on the CPU.

An order is drawn on the host, where Fisher and Yates's swaps follow each other faster than on any GPU (0.2 ms for
60,000 samples), and goes over in one asynchronous copy per epoch. Inputs that have no room on the device stay on the
host: a batch's rows are collected into pinned memory and copied while the batch before is trained.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np

from ..arguments import Course, Data
from ..entry import call
from ..random import BLOCK
from .clock import Clock
from .memory import checked_allocation, is_on_device
from .module import Module


def draw_order(n, seed, epoch, words, order):
    call("random.draw_order", None, n, seed, epoch, words, order)


def pinned(n: int, dtype: Any) -> np.ndarray:
    """Host memory that copies to the device without waiting."""
    memory = cupy.cuda.alloc_pinned_memory(max(n, 1) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, n)


class Turns:
    """Two buffers in turn, each with the event after which it may be written again."""

    def __init__(self, n: int, dtype: Any):
        self.host = [pinned(n, dtype), pinned(n, dtype)]
        n_bytes = 2 * n * np.dtype(dtype).itemsize
        with checked_allocation("two buffers in turn", n_bytes, "Lower batch_size, or use fewer samples."):
            self.device = [cupy.empty(n, dtype), cupy.empty(n, dtype)]
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


class Batches:
    """Device arrays x, y, weight of one batch after another."""

    def __init__(self, rows: int, n_samples: int, shuffle: bool, n_inputs: int, n_outputs: int, dtype: np.dtype):
        self._rows, self._n_inputs, self._n_outputs, self._dtype = rows, n_inputs, n_outputs, dtype
        self._words, self._epoch = np.zeros(BLOCK, np.uint64), -1
        self._order = np.zeros(n_samples if shuffle else 0, np.int64)
        self._orders = Turns(n_samples, np.int32) if shuffle else None
        self._stream: Turns | None = None
        self._in_use = -1  # the turn of the batch that was given out last
        self._ready = -1  # the batch, counted over all epochs, that is on its way or here
        self._gathered = self._make_buffers() if shuffle else None

    def restart(self) -> None:
        self._ready = -1

    def begin(self, data: Data, course: Course, epoch: int) -> None:
        """Before batches of this epoch are taken: its order is on the device when kernels launched from here on run."""
        if not course.shuffle:
            return
        assert self._orders is not None
        if epoch != self._epoch:
            self._epoch = epoch
            draw_order(data.n_samples, course.seed, epoch, self._words, self._order)
            self._orders.writable(epoch % 2)[:] = self._order
            self._orders.send(epoch % 2, data.n_samples)
        self._orders.arrived(epoch % 2)

    def used(self, epoch: int) -> None:
        """After batches of this epoch were taken."""
        if self._orders is not None:
            self._orders.mark_used(epoch % 2)

    def take(
        self, module: Module, clock: Clock, data: Data, course: Course, epoch: int, batch: int, rows: int
    ) -> tuple:
        """(x, y, weight) of the clock's batch, in C order, rows first; epoch and batch are the same as the clock's.

        Of inputs on the device, what is launched and returned is the same for every batch of so many rows.
        """
        first, on_device = batch * course.batch_size, is_on_device(data.X)
        if not course.shuffle and (not on_device or rows == data.n_samples):
            return self.in_order(data, first, rows)
        if self._gathered is None:
            self._gathered = self._make_buffers()
        x, y, w = self._gathered
        even, odd = self._orders.device if course.shuffle else (None, None)
        width = (self._n_inputs if on_device else 0) + self._n_outputs + 1
        if not on_device:
            x = self._streamed(data, first, rows, self._order, epoch, batch)
        module["gather"](
            (min(1024, -(-rows * width // 256)),), 256, clock.array, data.X if on_device else None, data.Y,
            data.weight, even, odd, course.batch_size, rows, x if on_device else None, y, w,
        )  # fmt: skip
        return x, y, w

    def _make_buffers(self) -> tuple:
        shapes = (self._rows, self._n_inputs), (self._rows, self._n_outputs), self._rows
        n_bytes = self._rows * (self._n_inputs + self._n_outputs + 1) * self._dtype.itemsize
        with checked_allocation("the samples of a batch", n_bytes, "Lower batch_size, or use dtype='float32'."):
            return tuple(cupy.empty(shape, self._dtype) for shape in shapes)

    def in_order(self, data: Data, first: int, rows: int) -> tuple:
        """The same for samples as they stand."""
        y = data.Y[first * self._n_outputs :] if data.judged else None
        weight = data.weight[first:] if data.weighted else None
        if is_on_device(data.X):
            return data.X[first * self._n_inputs :], y, weight
        return self._streamed(data, first, rows, None, 0, first // self._rows), y, weight

    def _streamed(self, data: Data, first: int, rows: int, order: np.ndarray | None, epoch: int, batch: int) -> Any:
        """Inputs of a batch from the host; the next batch of the same epoch is sent off too."""
        if self._stream is None:
            self._stream = Turns(self._rows * self._n_inputs, self._dtype)
        if self._in_use >= 0:
            self._stream.mark_used(self._in_use)  # by what was launched since
        self._in_use = batch % 2
        if self._ready != (epoch, batch):
            self._send(data, first, rows, order, batch % 2)
        x = self._stream.arrived(batch % 2)
        following = first + self._rows
        if following < data.n_samples:
            self._send(data, following, min(self._rows, data.n_samples - following), order, 1 - batch % 2)
            self._ready = (epoch, batch + 1)
        return x

    def _send(self, data: Data, first: int, rows: int, order: np.ndarray | None, turn: int) -> None:
        assert self._stream is not None
        n, X = rows * self._n_inputs, data.X.reshape(data.n_samples, self._n_inputs)
        room = self._stream.writable(turn)[:n].reshape(rows, self._n_inputs)
        chosen = slice(first, first + rows) if order is None else order[first : first + rows]
        room[:] = X[chosen]
        self._stream.send(turn, n)
