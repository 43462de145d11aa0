"""Batches of an epoch of one net: the same samples in the same order as on the CPU.

If the samples are on the device, their order is also drawn there (include/permutation.cuh). Samples that do not fit are
gathered on the host (runtime/host_streaming.py), in an order drawn on the host.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...formulas.counter_rng import BLOCK
from ...jit.call import call
from ...structs import Samples, TrainConfig
from ..build.compiled_module import Module
from ..layers.batches import Batches
from ..layers.passes import PER_BLOCK, Batch, Passes
from ..runtime.device_memory import ORDER_BYTES, checked_allocation, is_on_device
from ..runtime.host_streaming import StreamedBatches


class EpochBatches(Batches):
    """Source of the batches of one net."""

    def __init__(self, passes: Passes):
        super().__init__(passes)
        self._epoch = -1
        self._order: Any = None  # order of that epoch, on the same side as the samples
        self._lists: Any = None
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

    def take(self, module: Module, data: Samples, config: TrainConfig, epoch: int, batch: int, rows: int) -> Batch:
        """Return the clock's batch.

        epoch, batch : numbers of the clock's batch
        rows : number of samples in the batch

        For samples on the device, launches and results are identical for all batches with the same number of rows.
        """
        order, first = self._order if config.shuffle else None, batch * config.batch_size
        if not is_on_device(data.X):
            return self._from_host(module, data, first, rows, order, epoch, batch)
        if not config.shuffle and rows == data.n_samples:
            return super().in_order(module, data, first, rows)
        return self.gathered(module, self._passes.clock.array, data, order, first, rows)

    def in_order(self, module: Module, data: Samples, first: int, rows: int) -> Batch:
        """Return `rows` samples from `first` on, in the order of the data."""
        if not is_on_device(data.X):
            return self._from_host(module, data, first, rows, None, 0, first // self._passes.max_rows)
        return super().in_order(module, data, first, rows)

    def _from_host(self, module: Module, data: Samples, first: int, rows: int, *which: Any) -> Batch:
        """Return a streamed batch; `which` as in StreamedBatches.take."""
        widths = self._n_inputs, self._n_outputs * data.has_targets, 1 * data.has_weights
        if self._streamed is None or self._streamed.widths != widths:
            self._streamed = StreamedBatches(self._passes.max_rows, widths, self._passes.dtype)
        x, y, weight = self._streamed.take(data, first, rows, *which)
        return Batch(self._as_operands(module, x, rows), y, 0, weight, 0)
