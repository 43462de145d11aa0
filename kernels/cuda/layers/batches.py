"""Batches of nets: samples as they are, or gathered for each net, with inputs as products read them."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...formulas.counter_rng import BLOCK
from ...jit.call import call
from ...structs import PopulationState, Samples, TrainConfig
from ..build.compiled_module import Module
from ..runtime.device_memory import ORDER_BYTES, checked_allocation, is_on_device, to_device
from .passes import PER_BLOCK, Batch, Passes

REMEDY = "Lower batch_size, or use dtype='float32'."


class Batches:
    """Source of batches for the nets of `passes`, whose struct `inputs` says where their samples are."""

    def __init__(self, passes: Passes, n_x: int = 1):
        """Take the passes; the buffers are allocated on first use, or by `allocate`.

        n_x : number of nets for which inputs are gathered; 1 if all nets share them
        """
        self._passes, self._n_x = passes, n_x
        self._n_inputs, self._n_outputs = passes.sizes[0], passes.sizes[-1]
        self._x: Any = None
        self._y: Any = None
        self._weight: Any = None

    def allocate(self, x: bool, y: bool, weight: bool) -> None:
        """Allocate buffers of a batch that is gathered or rounded. One that is there stays: graphs have its address."""
        passes, n, rows = self._passes, len(self._passes.sums), self._passes.max_rows
        if x and self._x is None:
            self._x = cupy.empty((self._n_x, rows, self._n_inputs), passes.operands.dtype)
        if y and self._y is None:
            self._y = cupy.empty((n, rows, self._n_outputs), passes.dtype)
        if weight and self._weight is None:
            self._weight = cupy.empty((n, rows), passes.dtype)

    def in_order(self, module: Module, data: Samples, first: int, rows: int) -> Batch:
        """Return `rows` samples from `first` on, which all nets share."""
        if not is_on_device(data.X):
            return self._from_host(module, data, slice(first, first + rows))
        y = data.Y[first * self._n_outputs :] if data.has_targets else None
        weight = data.weight[first:] if data.has_weights else None
        return Batch(self._as_operands(module, data.X[first * self._n_inputs :], rows), y, 0, weight, 0)

    def gathered(
        self, module: Module, clock: Any, data: Samples, order: Any, first: int, rows: int, shares_inputs: bool = False
    ) -> Batch:
        """Return a batch that is copied for each net.

        The launches are identical for all batches of the clock with the same number of rows.

        clock : array of the clock; if None, the batch begins at sample `first`
        order : numbers of each net's samples; None for their order in the data
        shares_inputs : whether all nets have the same inputs, and there is neither a clock nor an order
        """
        passes = self._passes
        with checked_allocation("a batch", None, REMEDY):
            self.allocate(not shares_inputs, data.has_targets, data.has_weights)
        x = None if shares_inputs else self._x
        y, weight = self._y if data.has_targets else None, self._weight if data.has_weights else None
        if not (x is None and y is None and weight is None):
            module["gather"](
                (passes.blocks(rows * (self._n_inputs + self._n_outputs + 1)), passes.products.n_nets),
                PER_BLOCK,
                clock,
                passes.inputs.array,
                order,
                first,
                rows,
                passes.max_rows,
                x,
                y,
                weight,
            )
        inputs = self._as_operands(module, data.X[first * self._n_inputs :], rows) if x is None else x[:, :rows]
        return Batch(inputs, y, passes.max_rows * self._n_outputs, weight, passes.max_rows)

    def _from_host(self, module: Module, data: Samples, chosen: Any) -> Batch:
        """Return samples that do not fit on the device, which are copied there now.

        chosen : their slice, or their indices
        """
        chosen_of = lambda array: to_device(array.reshape(data.n_samples, -1)[chosen].reshape(-1))
        with checked_allocation("a batch", None, REMEDY):
            x, y = chosen_of(data.X), chosen_of(data.Y) if data.has_targets else None
            weight = chosen_of(data.weight) if data.has_weights else None
        return Batch(self._as_operands(module, x, len(x) // self._n_inputs), y, 0, weight, 0)

    def _as_operands(self, module: Module, X: Any, rows: int) -> Any:
        """Return the first rows of X, the inputs of all nets, as products read them."""
        size = rows * self._n_inputs
        if not self._passes.operands.are_rounded:
            return X[:size].reshape(1, rows, self._n_inputs)
        with checked_allocation("a batch", None, REMEDY):
            self.allocate(True, False, False)
        module["round_inputs"]((self._passes.blocks(size),), PER_BLOCK, X, size, self._x)
        return self._x[:1, :rows]


class LockstepBatches(Batches):
    """Source of batches for nets that share their samples and the order of these, or have their own."""

    def __init__(self, passes: Passes, data: Samples, nets: PopulationState, order: Any = None, clock: Any = None):
        """Take the samples, and allocate the buffers: before steps are recorded, and where memory is checked.

        order : numbers of each net's samples in their order, or None
        clock : array of the clock, if it says which batch is next
        """
        self._data, self._order, self._clock = data, order, clock
        self._shares_inputs = clock is None and not nets.X_stride
        self._shares_all = self._shares_inputs and not (nets.Y_stride or nets.weight_stride)
        super().__init__(passes, 1 if self._shares_inputs else len(passes.sums))
        copies_x = passes.operands.are_rounded or not self._shares_inputs
        self.allocate(copies_x, data.has_targets and not self._shares_all, data.has_weights and not self._shares_all)

    def take(self, module: Module, first: int, rows: int) -> Batch:
        """Return the clock's batch or, without a clock, the one that begins at sample `first`."""
        if self._shares_all:
            return self.in_order(module, self._data, first, rows)
        return self.gathered(module, self._clock, self._data, self._order, first, rows, self._shares_inputs)


class EpochBatches(Batches):
    """Source of the batches of one net: the same samples in the same order as on the CPU.

    If the samples are on the device, their order is also drawn there (include/permutation.cuh).
    """

    _epoch = -1
    _order: Any = None  # order of that epoch, on the same side as the samples
    _lists: Any = None

    def begin(self, module: Module, data: Samples, config: TrainConfig, epoch: int) -> None:
        """Prepare an epoch: draw the order of its samples."""
        if not config.shuffle or epoch == self._epoch:
            return
        self._epoch = -1  # until the order is complete: if this is interrupted, no epoch has an order
        n, seed = data.n_samples, config.seed
        if not is_on_device(data.X):
            self._order = np.zeros(n, np.int64) if self._order is None else self._order
            call("formulas.counter_rng.draw_order", None, n, seed, epoch, np.zeros(BLOCK, np.uint64), self._order)
        else:
            if self._order is None:
                remedy = "Use fewer samples, or shuffle=False."
                with checked_allocation("the order of the samples", ORDER_BYTES * n, remedy):
                    self._order, self._lists = cupy.empty(n, np.int32), cupy.empty((2, n), np.int32)
            heads, nexts = self._lists
            heads.fill(0)
            grid = (-(-n // PER_BLOCK),)
            module["list_steps"](grid, PER_BLOCK, n, seed, epoch, heads, nexts)
            module["order_samples"](grid, PER_BLOCK, n, seed, epoch, heads, nexts, self._order)
        self._epoch = epoch

    def take(self, module: Module, data: Samples, config: TrainConfig, batch: int, rows: int) -> Batch:
        """Return the clock's batch, with its number in the epoch and its number of rows.

        For samples on the device, launches and results are identical for all batches with the same number of rows.
        """
        order, first = self._order if config.shuffle else None, batch * config.batch_size
        if not is_on_device(data.X) and order is not None:
            return self._from_host(module, data, order[first : first + rows])
        if not is_on_device(data.X) or (order is None and rows == data.n_samples):
            return self.in_order(module, data, first, rows)
        return self.gathered(module, self._passes.clock.array, data, order, first, rows)
