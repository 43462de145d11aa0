"""Batches of nets: samples as they are, or gathered for each net, with inputs as products read them."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...structs import Samples
from ..build.module import Module
from ..runtime.device_memory import checked_allocation
from .passes import PER_BLOCK, Batch, Passes

REMEDY = "Lower batch_size, or use dtype='float32'."


class Batches:
    """Source of batches for the nets of `passes`, whose struct `inputs` says where their samples are."""

    def __init__(self, passes: Passes):
        self._passes = passes
        self._n_inputs, self._n_outputs = passes.sizes[0], passes.sizes[-1]
        # Buffers of a batch that is gathered or rounded, allocated on first use.
        self._x: Any = None
        self._targets: tuple | None = None

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
        passes, n = self._passes, len(self._passes.sums)
        x = None if shares_inputs else self._input_buffer(n)
        y, weight = self._target_buffers(n)
        if not data.has_targets:
            y = None
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
        x = self._input_buffer(1)
        module["round_inputs"]((self._passes.blocks(size),), PER_BLOCK, X, size, x)
        return x[:1, :rows]

    def _input_buffer(self, n: int) -> Any:
        """Return room for the inputs of n nets."""
        if self._x is None or len(self._x) < n:
            shape, dtype = (n, self._passes.max_rows, self._n_inputs), self._passes.operands.dtype
            with checked_allocation("the samples of a batch", int(np.prod(shape)) * dtype.itemsize, REMEDY):
                self._x = cupy.empty(shape, dtype)
        return self._x

    def _target_buffers(self, n: int) -> tuple:
        if self._targets is None:
            rows, width, dtype = self._passes.max_rows, self._n_outputs, self._passes.dtype
            with checked_allocation("the targets of a batch", n * rows * (width + 1) * dtype.itemsize, REMEDY):
                self._targets = cupy.empty((n, rows, width), dtype), cupy.empty((n, rows), dtype)
        return self._targets
