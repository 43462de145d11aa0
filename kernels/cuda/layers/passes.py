"""Passes of nets through their layers: a product per layer and direction, and the kernels of passes.cu around it.

A pass takes n_nets nets at a time: one large net (single_net/layerwise.py), or those of a population in lockstep
(population/batched.py). The gradient of nets of L layers is 5 L - 2 launches, however many nets there are: L products
and L - 1 activations; loss_and_output_delta; L products for weights, L - 1 for deltas and L - 1 backward passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy
import numpy as np

from ...structs import NO_UPDATE, NetSpec
from ..build.compiled_module import Module, compiled, source
from ..build.net_constants import Architecture, Operands
from ..build.structs import CLOCK, NET_INPUTS, ChunkSum
from ..runtime.device_memory import DeviceStruct
from ..runtime.gemm import Products

FILES = (
    "include/bfloat16.cuh",
    "include/layout.cuh",
    "include/reductions.cuh",
    "include/permutation.cuh",
    "include/outputs.cuh",
    "include/gradient_clipping.cuh",
    "layers/passes.cu",
)
FEWEST_IN_CHUNK = 32  # rows that one block sums: all of its warps have some if several threads share a row
# Chunks of a net at the most, however large the batch: two for each multiprocessor of an H100, and as many on any other
# card, so that sums have the same order. An estimate: the loss of a large batch would take more, but the update adds up
# one number per chunk for each bias, one after the other.
MOST_CHUNKS = 264
PER_BLOCK = 256
MOST_BLOCKS = 1024  # of one net in one pass
NUMBERS_PER_THREAD = 4  # minimum in a pass of several nets, if a net has that many; an estimate


def chunk_of(max_rows: int) -> int:
    """Return the number of rows that one block sums, of batches of up to max_rows.

    The same for one net and for nets in lockstep: few of them must fill a card, too, and their number changes no bit.
    """
    return FEWEST_IN_CHUNK * max(1, -(-max_rows // (FEWEST_IN_CHUNK * MOST_CHUNKS)))


def header_of(architecture: Architecture, operands: Operands, rule: int, params_stride: int, **switches: int) -> str:
    """Return the constants, types and structs that passes.cu reads.

    rule : code of the update rule, or NO_UPDATE
    params_stride : number of elements from one net's parameters to the next one's
    switches : ONE_NET, LAYERED, and constants of other files
    """
    header = architecture.header(rule, params_stride, PARAMS_STRIDE=params_stride, **switches)
    return header + operands.source() + CLOCK.source + NET_INPUTS.source


# Header of an evaluation -> source for training, whose module has the same passes, and may have been compiled already.
_of_training: dict[str, str] = {}


def _header_of_evaluation(architecture: Architecture, operands: Operands, params_stride: int, one_net: bool) -> str:
    return header_of(architecture, operands, NO_UPDATE, params_stride, ONE_NET=one_net, LAYERED=False, CLIPPED=False)


def training_module(
    architecture: Architecture,
    operands: Operands,
    params_stride: int,
    *files: str,
    rule: int,
    structs: str = "",
    **switches: int,
) -> Module:
    """Return the compiled passes and the kernels of `files`; arguments as for header_of"""
    header = header_of(architecture, operands, rule, params_stride, **switches)
    text = source(architecture, header + structs, *FILES, *files)
    evaluation = _header_of_evaluation(architecture, operands, params_stride, bool(switches["ONE_NET"]))
    _of_training[evaluation] = text
    return compiled(text)


def evaluation_module(
    architecture: Architecture, operands: Operands, params_stride: int, *files: str, ONE_NET: bool
) -> Module:
    """Return a module with the passes, the one that has been compiled for training if there is one."""
    header = _header_of_evaluation(architecture, operands, params_stride, ONE_NET)
    return compiled(_of_training.get(header) or source(architecture, header, *FILES, *files))


class Batch(NamedTuple):
    """Inputs, targets and weights of a batch for every net.

    x : (n_nets, rows, n_inputs), or (1, rows, n_inputs) for all nets; as products read them
    y, weight : None if there are none
    y_stride, weight_stride : number of elements from one net to the next one; 0 if all nets share them
    """

    x: Any
    y: Any
    y_stride: int
    weight: Any
    weight_stride: int


class Passes:
    """Activations and partial sums of n_nets for batches of up to `max_rows` samples each, and the launches on them.

    `products.n_nets` is the number of nets that are launched; at first, all.
    """

    def __init__(self, net: NetSpec, n_nets: int, max_rows: int, dtype: np.dtype, precision: str, learns: bool = True):
        """Allocate the buffers.

        max_rows : maximum number of samples in a batch
        learns : whether gradients are computed, too
        """
        sizes, top = [int(size) for size in net.sizes], net.n_layers - 1
        self.sizes, self.top, self.max_rows, self.dtype = sizes, top, max_rows, np.dtype(dtype)
        self.products = Products(self.dtype, precision, n_nets)
        self.operands = operands = Operands.of(net, dtype, precision)
        self.drops = [bool(rate > 0.0) and learns for rate in net.dropout]
        layer = lambda k, kind: cupy.empty((n_nets, max_rows, sizes[k + 1]), kind)
        self.a = [layer(k, operands.dtype if k < top else dtype) for k in range(top + 1)]
        # One array for both if f' needs only the output.
        self._keeps_z = [bool(any(reasons)) for reasons in zip(net.derivative_needs_z, self.drops, strict=True)]
        self.z = [layer(k, self.a[k].dtype) if self._keeps_z[k] or k == top else self.a[k] for k in range(top + 1)]
        self.delta = [layer(k, operands.dtype) if learns or k == top else None for k in range(top + 1)]
        self.mask = [layer(k, dtype) if self.drops[k] else None for k in range(top + 1)]
        # The weights as products read them; None if these are the parameters.
        self.W = cupy.empty((n_nets, operands.n_weights), operands.dtype) if operands.are_rounded else None
        self.chunk = chunk_of(max_rows)
        self.most_chunks = self.chunks_of(max_rows)
        self.sums = cupy.zeros((n_nets, self.most_chunks, len(ChunkSum)))
        starts = np.cumsum([0, *sizes[1:]])  # of the gradients of biases, layer by layer
        self.bias_parts = cupy.zeros(n_nets * self.most_chunks * int(starts[-1]), dtype) if learns else None
        self._parts_at = (self.most_chunks * starts[: top + 1]).tolist()
        self.clock, self.inputs = DeviceStruct(CLOCK), DeviceStruct(NET_INPUTS)

    @staticmethod
    def bytes_each(net: NetSpec, max_rows: int, learns: bool, dtype: np.dtype, precision: str) -> int:
        """Return the maximum number of bytes that a net needs, with its batches and without its parameters."""
        operands, itemsize = Operands.of(net, dtype, precision), np.dtype(dtype).itemsize
        n_in, n_out, units = int(net.sizes[0]), int(net.sizes[-1]), int(net.sizes[1:].sum())
        chunks = -(-max_rows // chunk_of(max_rows))
        # y, weight, mask; z and a of the outputs
        row_numbers = n_out + 1 + units * learns + 2 * n_out * operands.are_rounded
        numbers = max_rows * row_numbers + chunks * units * learns
        operand_numbers = max_rows * (n_in + 3 * units) + operands.n_weights
        return numbers * itemsize + operand_numbers * operands.dtype.itemsize + 32 * chunks

    def bind(self, net: NetSpec, params: Any, grads: Any = None) -> None:
        """Take the nets' parameters.

        net : a net with the layers of the one that the buffers were made for
        params, grads : a vector of each net; grads, for training, receives the gradients of weights
        """
        self.net, self._params, self._grads = net, params, grads
        starts = [int(start) for start in net.weight_offsets]
        self._b = [params.reshape(-1)[int(start) :] for start in net.bias_offsets]
        self._dW = self._matrices(grads, starts) if grads is not None else []
        self._W = self._matrices(params, starts) if self.W is None else self._matrices(self.W, self.operands.weights_at)

    def _matrices(self, flat: Any, starts: Any) -> list[Any]:
        """Return each layer's (n_nets, fan_in, fan_out) in the vectors of all nets.

        starts : (n_layers,), positions of the matrices in a vector
        """
        n, size, vectors = len(self.sums), flat.itemsize, flat.reshape(-1)
        return [
            cupy.ndarray(
                (n, fan_in, fan_out), flat.dtype, vectors[start:].data, (flat.nbytes // n, fan_out * size, size)
            )
            for start, fan_in, fan_out in zip(starts, self.sizes[:-1], self.sizes[1:], strict=True)
        ]

    def blocks(self, n: int) -> int:
        """Return the number of blocks of one net in a pass over n of its numbers."""
        per_block = PER_BLOCK * NUMBERS_PER_THREAD if self.products.n_nets > 1 else PER_BLOCK
        return min(MOST_BLOCKS, -(-n // per_block))

    def chunks_of(self, rows: int) -> int:
        return -(-rows // self.chunk)

    def round_weights(self, module: Module) -> None:
        """Round the weights of parameters that no update has written, or that have another slot since."""
        if self.W is not None:
            grid = self.blocks(self.operands.n_weights), self.products.n_nets
            module["round_weights"](grid, PER_BLOCK, self._params, self.W)

    def gradient(self, module: Module, batch: Batch, bound: float) -> None:
        """Compute the gradients of the clock's batch.

        Those of weights go to the bound `grads`, of biases to bias_parts, losses and correct samples to `sums`.

        bound : result of bound_of
        """
        self._forward(module, batch.x, self.clock.array)
        self._loss_and_output_delta(module, batch, bound, self.clock.array, False)
        self._backward(module, batch.x)

    def evaluate(self, module: Module, batch: Batch, bound: float, starts: bool) -> None:
        """Compute the outputs of a batch, in a[top], and add losses and correct samples to `sums`.

        starts : whether sums begin with this batch
        """
        self._forward(module, batch.x, None)
        self._loss_and_output_delta(module, batch, bound, None, starts)

    def _forward(self, module: Module, x: Any, clock: Any) -> None:
        """Compute the outputs of all layers, except the last layer's activation, which loss_and_output_delta adds.

        Without a clock, no dropout is applied.
        """
        below, rows, n_nets = x, x.shape[1], self.products.n_nets
        for k in range(self.top + 1):
            self.products.times(below, self._W[k], self.z[k], rows)
            if k == self.top:
                break
            module["activate"](
                (self.blocks(rows * self.sizes[k + 1]), n_nets),
                PER_BLOCK,
                clock,
                self.inputs.array,
                k,
                rows,
                self.max_rows,
                clock is not None and self.drops[k],
                self._b[k],
                self.z[k],
                self.mask[k],
                self.a[k],
            )
            below = self.a[k]

    def _loss_and_output_delta(self, module: Module, batch: Batch, bound: float, clock: Any, starts: bool) -> None:
        rows, top = batch.x.shape[1], self.top
        module["loss_and_output_delta"](
            (self.chunks_of(rows), self.products.n_nets),
            PER_BLOCK,
            clock,
            self._b[top],
            rows,
            self.max_rows,
            self.chunk,
            self.most_chunks,
            batch.y,
            batch.y_stride,
            batch.weight,
            batch.weight_stride,
            1.0 / (rows * self.net.loss_width),
            self.net.loss_constant,
            bound,
            starts,
            batch.y is not None,
            self.z[top],
            self.a[top],
            self.delta[top],
            self.sums,
            self.bias_parts[self._parts_at[top] :] if clock is not None else None,
        )

    def _backward(self, module: Module, x: Any) -> None:
        rows, n_nets = x.shape[1], self.products.n_nets
        for k in range(self.top, -1, -1):
            self.products.transposed_times(x if k == 0 else self.a[k - 1], self.delta[k], self._dW[k], rows)
            if k == 0:
                break
            self.products.times_transposed(self.delta[k], self._W[k], self.delta[k - 1], rows)
            module["backward"](
                (-(-self.sizes[k] // 32), self.chunks_of(rows), n_nets),
                PER_BLOCK,
                k - 1,
                rows,
                self.max_rows,
                self.chunk,
                self.most_chunks,
                self.drops[k - 1],
                (self.z if self._keeps_z[k - 1] else self.a)[k - 1],
                self.mask[k - 1],
                self.delta[k - 1],
                self.bias_parts[self._parts_at[k - 1] :],
            )
