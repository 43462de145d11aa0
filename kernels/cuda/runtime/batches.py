"""Batches of an epoch on the device: the same samples in the same order as on the CPU.

If the samples are on the device, their order is also drawn there (include/permutation.cuh). Samples that do not fit are
gathered on the host (host_streaming.py), in an order drawn on the host.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...formulas.counter_rng import BLOCK
from ...jit.call import call
from ...structs import Samples, TrainConfig
from ..build.module import Module
from .device_memory import checked_allocation, is_on_device
from .host_streaming import StreamedBatches
from .step_counter import StepCounter

PER_BLOCK = 256
ORDER_BYTES = 12  # per sample, of their order and of the lists by which it is drawn
REMEDY = "Lower batch_size, or use dtype='float32'."


class Batches:
    """Source of batches: device arrays x, y and weight.

    dtype : of the samples
    operand_dtype : of x; if it is another one, as in build/operands.py, inputs are rounded to it
    """

    def __init__(self, rows: int, n_inputs: int, n_outputs: int, dtype: np.dtype, operand_dtype: np.dtype):
        self._rows, self._n_inputs, self._n_outputs, self._dtype = rows, n_inputs, n_outputs, dtype
        self._operand_dtype = operand_dtype
        self._epoch = -1
        self._order: Any = None  # order of that epoch, on the same side as the samples
        self._lists: Any = None
        self._x: Any = None  # inputs of a batch that is gathered or rounded, allocated on first use
        self._targets: tuple | None = None  # targets and weights of a batch that is gathered
        self._streamed: StreamedBatches | None = None

    def restart(self) -> None:
        if self._streamed is not None:
            self._streamed.restart()

    def begin(self, module: Module, data: Samples, config: TrainConfig, epoch: int) -> None:
        """Prepare an epoch: draw the order of its samples."""
        if not config.shuffle or epoch == self._epoch:
            return
        self._epoch = -1  # until the order is complete: if this is interrupted, no epoch has an order
        self._draw_order(module, data, config.seed, epoch)
        self._epoch = epoch

    def _draw_order(self, module: Module, data: Samples, seed: int, epoch: int) -> None:
        n = data.n_samples
        if not is_on_device(data.X):
            self._order = np.zeros(n, np.int64) if self._order is None else self._order
            call("formulas.counter_rng.draw_order", None, n, seed, epoch, np.zeros(BLOCK, np.uint64), self._order)
            return
        if self._order is None:
            with checked_allocation(
                "the order of the samples", ORDER_BYTES * n, "Use fewer samples, or shuffle=False."
            ):
                self._order, self._lists = cupy.empty(n, np.int32), cupy.empty((2, n), np.int32)
        heads, nexts = self._lists
        heads.fill(0)
        grid = (-(-n // PER_BLOCK),)
        module["list_steps"](grid, PER_BLOCK, n, seed, epoch, heads, nexts)
        module["order_samples"](grid, PER_BLOCK, n, seed, epoch, heads, nexts, self._order)

    def take(
        self, module: Module, clock: StepCounter, data: Samples, config: TrainConfig, epoch: int, batch: int, rows: int
    ) -> tuple:
        """Return (x, y, weight) of the clock's batch, row by row.

        epoch, batch : numbers of the clock's batch
        rows : number of samples in the batch

        For samples on the device, launches and results are identical for all batches with the same number of rows.
        """
        first = batch * config.batch_size
        if not is_on_device(data.X):
            order = self._order if config.shuffle else None
            return self._rounded(module, rows, *self._from_host(data, first, rows, order, epoch, batch))
        if not config.shuffle and rows == data.n_samples:
            return self.in_order(module, data, first, rows)
        x, (y, w) = self._input_buffer(), self._target_buffers()
        width = self._n_inputs + self._n_outputs + 1
        module["gather"](
            (min(1024, -(-rows * width // PER_BLOCK)),),
            PER_BLOCK,
            clock.array,
            data.X,
            data.Y,
            data.weight,
            self._order if config.shuffle else None,
            config.batch_size,
            rows,
            x,
            y,
            w,
        )
        return x, y, w

    def _input_buffer(self) -> Any:
        if self._x is None:
            n_bytes = self._rows * self._n_inputs * self._operand_dtype.itemsize
            with checked_allocation("the samples of a batch", n_bytes, REMEDY):
                self._x = cupy.empty((self._rows, self._n_inputs), self._operand_dtype)
        return self._x

    def _target_buffers(self) -> tuple:
        if self._targets is None:
            n_bytes = self._rows * (self._n_outputs + 1) * self._dtype.itemsize
            with checked_allocation("the targets of a batch", n_bytes, REMEDY):
                self._targets = (
                    cupy.empty((self._rows, self._n_outputs), self._dtype),
                    cupy.empty(self._rows, self._dtype),
                )
        return self._targets

    def in_order(self, module: Module, data: Samples, first: int, rows: int) -> tuple:
        """Return (x, y, weight) of `rows` samples from `first` on, in the order of the data."""
        if not is_on_device(data.X):
            return self._rounded(module, rows, *self._from_host(data, first, rows, None, 0, first // self._rows))
        y = data.Y[first * self._n_outputs :] if data.has_targets else None
        x, weight = data.X[first * self._n_inputs :], data.weight[first:] if data.has_weights else None
        return self._rounded(module, rows, x, y, weight)

    def _rounded(self, module: Module, rows: int, x: Any, y: Any, weight: Any) -> tuple:
        """Return (x, y, weight) with inputs as products read them."""
        if self._operand_dtype == self._dtype:
            return x, y, weight
        size, rounded = rows * self._n_inputs, self._input_buffer()
        module["round_inputs"]((min(1024, -(-size // PER_BLOCK)),), PER_BLOCK, x, size, rounded)
        return rounded, y, weight

    def _from_host(self, data: Samples, *which: Any) -> tuple:
        widths = self._n_inputs, self._n_outputs * data.has_targets, 1 * data.has_weights
        if self._streamed is None or self._streamed.widths != widths:
            self._streamed = StreamedBatches(self._rows, widths, self._dtype)
        return self._streamed.take(data, *which)
