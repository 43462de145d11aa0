"""Launches of nets trained in lockstep (population/batched.cu): batches, batched products and passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy
import numpy as np
from cupy_backends.cuda.libs import cublas

from ...structs import NetSpec, PopulationState, Samples
from ..build.module import Module
from ..build.operands import Operands
from ..build.structs import ChunkSum
from ..runtime.cublas import library, with_float32_sums
from ..runtime.gemm import GEMM_DEFAULT, KINDS, Products

FEWEST_IN_CHUNK, MOST_CHUNKS = 32, 128  # of each net; as in single_net/layerwise.py: few nets must fill a card too
PER_BLOCK = 256
MOST_BLOCKS = 1024  # of one net in one pass
NUMBERS_PER_THREAD = 4  # minimum of numbers per thread in one net's pass, if there are that many; an estimate
STEP_NUMBERS = 16  # of the struct Step in population/batched.cu, rounded up


def blocks_for(n: int) -> int:
    """Return the number of blocks of one net in a pass over n of its numbers."""
    return min(MOST_BLOCKS, -(-n // (PER_BLOCK * NUMBERS_PER_THREAD)))


class Stack(NamedTuple):
    """A matrix for each net, `stride` elements apart; with a stride of 0 all nets share one."""

    data: Any  # start of the first matrix
    shape: tuple[int, int]
    stride: int
    dtype: np.dtype

    @classmethod
    def of(cls, array: Any, start: int, shape: tuple[int, int], stride: int) -> Stack:
        return cls(array.reshape(-1)[start:].data, shape, stride, array.dtype)


class BatchedProducts(Products):
    """Batched products of stacks, for their first `n_nets` matrices."""

    def __init__(self, dtype: np.dtype, precision: str, n_nets: int):
        super().__init__(dtype, precision)
        self.n_nets = n_nets
        single = dtype == np.float32
        if self._handle is None:
            self._gemm = cublas.sgemmStridedBatched if single else cublas.dgemmStridedBatched
            self._gemm_ex = with_float32_sums(cublas.gemmStridedBatchedEx)
        else:
            found = library()
            self._gemm = found.cublasSgemmStridedBatched if single else found.cublasDgemmStridedBatched
            self._gemm_ex = found.cublasGemmStridedBatchedEx

    def _multiply(self, ta: int, tb: int, m: int, n: int, k: int, A: Any, lda: int, B: Any, ldb: int, C: Any) -> None:
        handle, one, zero = self._bound_handle(), self._one.ctypes.data, self._zero.ctypes.data
        a, b, c = A.data.ptr, B.data.ptr, C.data.ptr
        if self._compute is None:
            self._gemm(
                handle, ta, tb, m, n, k, one, a, lda, A.stride, b, ldb, B.stride, zero, c, m, C.stride, self.n_nets
            )
            return
        self._gemm_ex(
            handle,
            ta,
            tb,
            m,
            n,
            k,
            one,
            a,
            KINDS[A.dtype],
            lda,
            A.stride,
            b,
            KINDS[B.dtype],
            ldb,
            B.stride,
            zero,
            c,
            KINDS[C.dtype],
            m,
            C.stride,
            self.n_nets,
            self._compute,
            GEMM_DEFAULT,
        )


class Batch(NamedTuple):
    """Inputs, targets and weights of a batch for every net; with a stride of 0 all nets share them."""

    x: Stack
    y: Any
    y_stride: int
    weight: Any
    weight_stride: int


class Batches:
    """Source of batches for all nets: each net has its own order and, if given, its own samples."""

    def __init__(self, data: Samples, nets: PopulationState, passes: Passes, n_nets: int, has_clock: bool):
        """Allocate the buffers of gathered batches.

        passes : which take the batches
        has_clock : whether a clock says where the batch begins
        """
        self._data, self._passes, sizes = data, passes, passes.sizes
        self._inputs_stand = not has_clock and not nets.X_stride
        self._all_stand = self._inputs_stand and not (nets.Y_stride or nets.weight_stride)
        empty = lambda width, kind: cupy.empty(n_nets * passes.max_rows * width, kind)
        self._x = None if self._inputs_stand else empty(sizes[0], passes.operands.dtype)
        self._y = empty(sizes[-1], data.X.dtype) if data.has_targets and not self._all_stand else None
        self._weight = None if self._all_stand else empty(1, data.X.dtype)

    def take(self, module: Module, job: Any, clock: Any, n_nets: int, first: int, rows: int) -> Batch:
        """Return the batch of `rows` samples at the clock.

        first : without a clock, the first sample
        """
        passes, data = self._passes, self._data
        n_in, n_out, max_rows = passes.sizes[0], passes.sizes[-1], passes.max_rows
        if self._all_stand:
            y = data.Y[first * n_out :] if data.has_targets else None
            weight = data.weight[first:] if data.has_weights else None
            return Batch(passes.inputs(module, data.X, first, rows), y, 0, weight, 0)
        if self._y is not None or self._x is not None:
            blocks = blocks_for(rows * (n_in + n_out + 1))
            module["gather"](
                (blocks, n_nets), PER_BLOCK, job, clock, first, rows, max_rows, self._x, self._y, self._weight
            )
        if self._x is None:
            x = passes.inputs(module, data.X, first, rows)
        else:
            x = Stack.of(self._x, 0, (rows, n_in), max_rows * n_in)
        return Batch(x, self._y, max_rows * n_out, self._weight, max_rows)


class Passes:
    """Activations and partial sums of n_nets for batches of up to `max_rows` samples each, and the launches on them."""

    def __init__(self, net: NetSpec, precision: str, params: Any, grads: Any, max_rows: int):
        """Allocate the buffers.

        params, grads : (n_nets, n_padded); grads is None where nothing is trained
        max_rows : maximum number of samples in a batch
        """
        n, stride = params.shape
        dtype = params.dtype
        sizes = [int(size) for size in net.sizes]
        top, learns = net.n_layers - 1, grads is not None
        self.net, self.sizes, self.max_rows, self.top = net, sizes, max_rows, top
        self.products = BatchedProducts(dtype, precision, n)
        self.operands = operands = Operands.of(net, dtype, precision)
        self.drops = [bool(rate > 0.0) and learns for rate in net.dropout]
        layer = lambda k, kind: cupy.empty(n * max_rows * sizes[k + 1], kind)
        self.a = [layer(k, operands.dtype if k < top else dtype) for k in range(top + 1)]
        # One array for both if f' needs only the output.
        keeps = [bool(of_z) or drops for of_z, drops in zip(net.derivative_needs_z, self.drops, strict=True)]
        self.z = [layer(k, self.a[k].dtype) if keeps[k] or k == top else self.a[k] for k in range(top + 1)]
        self.delta = [layer(k, operands.dtype) if learns or k == top else None for k in range(top + 1)]
        self.mask = [layer(k, dtype) if self.drops[k] else None for k in range(top + 1)]
        # Inputs of all nets and the nets' weights as products read them; None if these are the samples and parameters.
        self._x = cupy.empty(max_rows * sizes[0], operands.dtype) if operands.are_rounded else None
        self.W = cupy.empty((n, operands.n_weights), operands.dtype) if operands.are_rounded else None
        self.chunk = max(FEWEST_IN_CHUNK, -(-max_rows // MOST_CHUNKS))
        self.most_chunks = self.chunks_of(max_rows)
        self.sums = cupy.zeros((n, self.most_chunks, len(ChunkSum)))
        self.bias_parts = cupy.zeros(n * self.most_chunks * sum(sizes[1:]), dtype) if learns else None
        stacks = lambda arrays: [
            Stack.of(x, 0, (max_rows, sizes[k + 1]), max_rows * sizes[k + 1]) if x is not None else None
            for k, x in enumerate(arrays)
        ]
        weights = lambda flat, starts, stride: [
            Stack.of(flat, int(starts[k]), (sizes[k], sizes[k + 1]), stride) for k in range(top + 1)
        ]
        self._a, self._z, self._delta = stacks(self.a), stacks(self.z), stacks(self.delta)
        self._dW = weights(grads, net.weight_offsets, stride) if learns else []
        if self.W is None:
            self._W = weights(params, net.weight_offsets, stride)
        else:
            self._W = weights(self.W, operands.weights_at, operands.n_weights)

    @staticmethod
    def bytes_each(net: NetSpec, max_rows: int, learns: bool, dtype: np.dtype, precision: str) -> int:
        """Return the maximum number of bytes that a net needs, with its batches and without its parameters."""
        operands, itemsize = Operands.of(net, dtype, precision), np.dtype(dtype).itemsize
        n_in, n_out, units = int(net.sizes[0]), int(net.sizes[-1]), int(net.sizes[1:].sum())
        chunks = min(MOST_CHUNKS, -(-max_rows // FEWEST_IN_CHUNK))
        # y, weight, mask; z and a of the outputs
        of_row = n_out + 1 + units * learns + 2 * n_out * operands.are_rounded
        numbers = max_rows * of_row + chunks * units * learns + STEP_NUMBERS
        of_products = max_rows * (n_in + 3 * units) + operands.n_weights
        return numbers * itemsize + of_products * operands.dtype.itemsize + 32 * chunks

    def chunks_of(self, rows: int) -> int:
        return -(-rows // self.chunk)

    def inputs(self, module: Module, X: Any, first: int, rows: int) -> Stack:
        """Return rows of X, from `first` on, as products read them: the same for all nets."""
        n_in = self.sizes[0]
        if self._x is None:
            return Stack.of(X, first * n_in, (rows, n_in), 0)
        size = rows * n_in
        module["round_inputs"]((blocks_for(size),), PER_BLOCK, X[first * n_in :], size, self._x)
        return Stack.of(self._x, 0, (rows, n_in), 0)

    def round_weights(self, module: Module, job: Any) -> None:
        """Round the weights of parameters that no update has written, or that have another slot since."""
        if self.W is not None:
            grid = blocks_for(self.operands.n_weights), self.products.n_nets
            module["round_weights"](grid, PER_BLOCK, job, self.W)

    def forward(self, module: Module, job: Any, clock: Any, x: Stack, rows: int) -> None:
        """Compute the outputs of all layers, except the last layer's activation, which loss_and_output_delta adds.

        Without a clock, no dropout is applied.
        """
        below, n_nets = x, self.products.n_nets
        for k in range(self.top + 1):
            self.products.times(below, self._W[k], self._z[k], rows)
            if k == self.top:
                break
            blocks = blocks_for(rows * self.sizes[k + 1])
            module["activate"](
                (blocks, n_nets),
                PER_BLOCK,
                job,
                clock,
                k,
                rows,
                self.max_rows,
                clock is not None and self.drops[k],
                self.z[k],
                self.mask[k],
                self.a[k],
            )
            below = self._a[k]

    def loss_and_output_delta(
        self,
        module: Module,
        job: Any,
        clock: Any,
        batch: Batch,
        rows: int,
        starts: bool = False,
        has_targets: bool = True,
    ) -> None:
        """Compute outputs, losses and output deltas.

        starts : without a clock, whether sums begin with this batch
        """
        top = self.top
        module["loss_and_output_delta"](
            (self.chunks_of(rows), self.products.n_nets),
            PER_BLOCK,
            job,
            clock,
            rows,
            self.max_rows,
            self.chunk,
            self.most_chunks,
            batch.y,
            batch.y_stride,
            batch.weight,
            batch.weight_stride,
            1.0 / (rows * self.net.loss_width),
            starts,
            has_targets,
            self.z[top],
            self.a[top],
            self.delta[top],
            self.sums,
            self.bias_parts,
        )

    def backward(self, module: Module, x: Stack, rows: int) -> None:
        for k in range(self.top, -1, -1):
            self.products.transposed_times(x if k == 0 else self._a[k - 1], self._delta[k], self._dW[k], rows)
            if k == 0:
                break
            self.products.times_transposed(self._delta[k], self._W[k], self._delta[k - 1], rows)
            drops = self.drops[k - 1]
            stored = self.z[k - 1] if drops or self.net.derivative_needs_z[k - 1] else self.a[k - 1]
            module["backward"](
                (-(-self.sizes[k] // 32), self.chunks_of(rows), self.products.n_nets),
                PER_BLOCK,
                k - 1,
                rows,
                self.max_rows,
                self.chunk,
                self.most_chunks,
                drops,
                stored,
                self.mask[k - 1],
                self.delta[k - 1],
                self.bias_parts,
            )
