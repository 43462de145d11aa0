"""Batches of nets: samples as they are, or gathered for each net, with inputs as products read them."""

from __future__ import annotations

from typing import Any

import cupy

from ...structs import Samples
from ..build.compiled_module import Module
from ..runtime.device_memory import checked_allocation
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
        """Return `rows` samples on the device from `first` on, which all nets share."""
        y = data.Y[first * self._n_outputs :] if data.has_targets else None
        weight = data.weight[first:] if data.has_weights else None
        return Batch(self._as_operands(module, data.X[first * self._n_inputs :], rows), y, 0, weight, 0)

    def gathered(
        self, module: Module, clock: Any, data: Samples, order: Any, first: int, rows: int, shares_inputs: bool = False
    ) -> Batch:
        """Return a batch that is copied for each net.

        The launches are identical for all batches of the clock with the same number of rows.

        clock : array of the clock; if None, the batch begins at sample `first`
        order : of each net's samples; None for that of the data
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

    def _as_operands(self, module: Module, X: Any, rows: int) -> Any:
        """Return the first rows of X, the inputs of all nets, as products read them."""
        size = rows * self._n_inputs
        if not self._passes.operands.are_rounded:
            return X[:size].reshape(1, rows, self._n_inputs)
        with checked_allocation("a batch", None, REMEDY):
            self.allocate(True, False, False)
        module["round_inputs"]((self._passes.blocks(size),), PER_BLOCK, X, size, self._x)
        return self._x[:1, :rows]
