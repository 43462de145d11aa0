"""The batches of an epoch on the device: the same samples in the same order as on the CPU.

An order is drawn on the host, where Fisher and Yates's swaps follow each other faster than on any GPU (0.2 ms for
60,000 samples), and goes over in one asynchronous copy per epoch. Samples that have no room on the device stay on the
host (streaming.py).
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..arguments import Course, Data
from ..entry import call
from ..random import BLOCK
from .clock import Clock
from .memory import checked_allocation, is_on_device
from .module import Module
from .streaming import Streamed, Turns


def draw_order(n, seed, epoch, words, order):
    call("random.draw_order", None, n, seed, epoch, words, order)


class Batches:
    """Device arrays x, y, weight of one batch after another."""

    def __init__(self, rows: int, n_samples: int, shuffle: bool, n_inputs: int, n_outputs: int, dtype: np.dtype):
        self._rows, self._n_inputs, self._n_outputs, self._dtype = rows, n_inputs, n_outputs, dtype
        self._words, self._epoch, self._sent = np.zeros(BLOCK, np.uint64), -1, -1
        self._order = np.zeros(n_samples if shuffle else 0, np.int64)
        self._orders: Turns | None = None  # of samples on the device
        self._gathered: tuple | None = None
        self._streamed: Streamed | None = None

    def restart(self) -> None:
        if self._streamed is not None:
            self._streamed.restart()

    def begin(self, data: Data, course: Course, epoch: int) -> None:
        """Before batches of this epoch are taken: its order is there when kernels launched from here on run."""
        if not course.shuffle:
            return
        if epoch != self._epoch:
            draw_order(data.n_samples, course.seed, epoch, self._words, self._order)
            self._epoch = epoch
        if not is_on_device(data.X):
            return
        if self._orders is None:
            self._orders = Turns(data.n_samples, np.int32)
        if epoch != self._sent:
            self._orders.writable(epoch % 2)[:] = self._order
            self._orders.send(epoch % 2, data.n_samples)
            self._sent = epoch
        self._orders.arrived(epoch % 2)

    def used(self, epoch: int) -> None:
        """After batches of this epoch were taken."""
        if self._orders is not None:
            self._orders.mark_used(epoch % 2)

    def take(
        self, module: Module, clock: Clock, data: Data, course: Course, epoch: int, batch: int, rows: int
    ) -> tuple:
        """(x, y, weight) of the clock's batch, in C order, rows first; epoch and batch are the same as the clock's.

        Of samples on the device, what is launched and returned is the same for every batch of so many rows.
        """
        first = batch * course.batch_size
        if not is_on_device(data.X):
            return self._from_host(data, first, rows, self._order if course.shuffle else None, epoch, batch)
        if not course.shuffle and rows == data.n_samples:
            return self.in_order(data, first, rows)
        if self._gathered is None:
            self._gathered = self._make_buffers()
        x, y, w = self._gathered
        even, odd = self._orders.device if course.shuffle and self._orders is not None else (None, None)
        width = self._n_inputs + self._n_outputs + 1
        module["gather"](
            (min(1024, -(-rows * width // 256)),), 256, clock.array, data.X, data.Y, data.weight, even, odd,
            course.batch_size, rows, x, y, w,
        )  # fmt: skip
        return x, y, w

    def _make_buffers(self) -> tuple:
        shapes = (self._rows, self._n_inputs), (self._rows, self._n_outputs), self._rows
        n_bytes = self._rows * (self._n_inputs + self._n_outputs + 1) * self._dtype.itemsize
        with checked_allocation("the samples of a batch", n_bytes, "Lower batch_size, or use dtype='float32'."):
            return tuple(cupy.empty(shape, self._dtype) for shape in shapes)

    def in_order(self, data: Data, first: int, rows: int) -> tuple:
        """The same for samples as they stand."""
        if not is_on_device(data.X):
            return self._from_host(data, first, rows, None, 0, first // self._rows)
        y = data.Y[first * self._n_outputs :] if data.judged else None
        return data.X[first * self._n_inputs :], y, data.weight[first:] if data.weighted else None

    def _from_host(self, data: Data, *which: Any) -> tuple:
        widths = self._n_inputs, self._n_outputs * data.judged, 1 * data.weighted
        if self._streamed is None or self._streamed.widths != widths:
            self._streamed = Streamed(self._rows, widths, self._dtype)
        return self._streamed.take(data, *which)
