"""Kernel family `layerwise` on CUDA: a cuBLAS product per layer, and one elementwise pass around it.

For one large net. An epoch needs no synchronisation. A step of a net of L layers is at most 5 L launches: gather; L
products and L - 1 activations; loss_and_output_delta; L products for weights, L - 1 for deltas and L - 1 backward
passes; update. Gradient clipping and rules that compare objectives add one launch that measures the gradient. With
operands in bfloat16, gather rounds the inputs and update the weights, without launches of their own.
The launches are the same at every step, so that they are replayed as a CUDA graph.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cupy
import numpy as np

from ...formulas.update_rules import RULES
from ...structs import (
    CLIP_NORM,
    DIVERGED,
    LAST_LOSS,
    NO_UPDATE,
    POWER1,
    POWER2,
    STEPS_DONE,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
)
from ..build.module import Module, compiled, source
from ..build.net_constants import Architecture
from ..build.operands import Operands
from ..build.structs import ChunkSum, Squares
from ..population.train import bound_of
from ..runtime.batches import Batches
from ..runtime.cuda_graphs import GraphCache
from ..runtime.device_memory import checked_allocation, device_data, is_on_device, to_device
from ..runtime.gemm import Products
from ..runtime.optimizer_settings import step_settings
from ..runtime.step_counter import CLOCK, StepCounter

FEWEST_IN_CHUNK = 32  # rows that one block sums: a warp's, if each of its threads takes the outputs of one
# Maximum number of such blocks: as many as a large card has multiprocessors, since each runs one block of the kernel
# loss_and_output_delta. An estimate: the update adds up one number per chunk for each bias, one after the other.
MOST_CHUNKS = 128
PER_BLOCK = 256
MOST_BLOCKS = 1024


class LayerwiseWorkspace:
    """Workspace of one net for batches of up to `rows` samples."""

    def __init__(self, net: NetSpec, rows: int, dtype: np.dtype, precision: str):
        self.net, self.rows, self.dtype = net, rows, np.dtype(dtype)
        sizes, top = [int(size) for size in net.sizes], net.n_layers - 1
        self.sizes, self.products, self._modules = sizes, Products(self.dtype, precision), {}
        self.operands = operands = Operands.of(net, self.dtype, precision)
        self.drops = [bool(rate > 0.0) for rate in net.dropout]
        keeps = [bool(a or b) for a, b in zip(net.derivative_needs_z, self.drops, strict=True)]
        n_bytes = rows * (sizes[0] + 3 * sum(sizes[1:])) * operands.dtype.itemsize
        with checked_allocation("a batch of activations", n_bytes, "Lower batch_size, or use dtype='float32'."):
            layer = lambda k, kind: cupy.empty((rows, sizes[k + 1]), kind)
            self.a = [layer(k, operands.dtype if k < top else self.dtype) for k in range(top + 1)]
            # One array for both if f' needs only the output.
            self.z = [layer(k, self.a[k].dtype) if keeps[k] or k == top else self.a[k] for k in range(top + 1)]
            self.delta = [layer(k, operands.dtype) for k in range(top + 1)]
            self.mask = [layer(k, self.dtype) if self.drops[k] else None for k in range(top + 1)]
            # The weights as products read them; None if these are the parameters.
            self.W = cupy.empty(operands.n_weights, operands.dtype) if operands.are_rounded else None
            self.chunk = max(FEWEST_IN_CHUNK, -(-rows // MOST_CHUNKS))
            self.most_chunks = -(-rows // self.chunk)
            starts = np.cumsum([0, *sizes[1:]]) * self.most_chunks
            self.bias_parts = cupy.zeros(int(starts[-1]), self.dtype)
            self.bias_starts = [int(start) for start in starts]
            self.sums = cupy.zeros((self.most_chunks, len(ChunkSum)))
            self.n_blocks = min(MOST_BLOCKS, -(-int(net.bias_offsets[-1] + sizes[-1]) // PER_BLOCK))
            self.squares, self.objectives = cupy.zeros((self.n_blocks, len(Squares))), cupy.full(2, np.inf)
            self.layer_factors = cupy.ones(4 * net.n_layers)
            self.block_columns = cupy.asarray(net.block_columns)
            self.clock, self.replays = StepCounter(), GraphCache()
            self.batches = Batches(rows, sizes[0], sizes[-1], self.dtype, operands.dtype)

    def header(self, data: Samples, rule: int, clipped: bool, layered: bool) -> str:
        architecture = Architecture.of(self.net, data.metric, self.dtype)
        text = architecture.header(rule, self.net.n_padded, WEIGHTED=data.has_weights, CLIPPED=clipped, LAYERED=layered)
        return text + self.operands.source() + CLOCK.source

    def module(self, header: str) -> Module:
        return self.compiled(
            source(
                header,
                "include/bfloat16.cuh",
                "include/layout.cuh",
                "include/reductions.cuh",
                "include/permutation.cuh",
                "include/layer_passes.cuh",
                "single_net/layerwise.cu",
            )
        )

    def compiled(self, text: str) -> Module:
        """Return the module of a source text, stored as long as this object: graphs do not keep modules loaded."""
        if text not in self._modules:
            self._modules[text] = compiled(text)
        return self._modules[text]

    # ---- one pass through the layers

    def forward(self, module: Module, params: Any, x: Any, rows: int, seed: int, training: bool) -> None:
        """Compute the outputs of all layers, except the last layer's activation, which loss_and_output_delta adds."""
        below = x
        for k in range(self.net.n_layers):
            _, b = self._of_layer(params, k)
            self.products.times(below, self._operand_weights(params, k), self.z[k], rows)
            if k == self.net.n_layers - 1:
                break
            drops = training and self.drops[k]
            module["activate"](
                self._blocks(rows * self.sizes[k + 1]),
                PER_BLOCK,
                self.clock.array,
                k,
                b,
                rows,
                drops,
                float(self.net.dropout[k]) if drops else 0.0,
                seed,
                self.z[k],
                self.mask[k],
                self.a[k],
            )
            below = self.a[k]

    def loss_and_output_delta(
        self,
        module: Module,
        params: Any,
        y: Any,
        weight: Any,
        rows: int,
        metric: int,
        training: bool,
        starts: bool = False,
        has_targets: bool = True,
    ) -> None:
        """Compute outputs, losses and output deltas.

        starts : outside of training, whether the batch is the first one (in training, the clock says so)
        """
        top, net = self.net.n_layers - 1, self.net
        scale = 1.0 / (rows * net.loss_width)
        module["loss_and_output_delta"](
            (-(-rows // self.chunk),),
            256,
            self.clock.array if training else None,
            self._of_layer(params, top)[1],
            rows,
            self.chunk,
            y,
            weight,
            scale,
            net.loss_constant,
            bound_of(net, metric),
            starts,
            has_targets,
            self.z[top],
            self.a[top],
            self.delta[top],
            self.sums,
            self.bias_parts[self.bias_starts[top] :] if training else None,
        )

    def backward(self, module: Module, params: Any, grads: Any, x: Any, rows: int) -> None:
        for k in range(self.net.n_layers - 1, -1, -1):
            below = x if k == 0 else self.a[k - 1]
            W_gradient = self._of_layer(grads, k)[0]
            self.products.transposed_times(below, self.delta[k], W_gradient, rows)
            if self.net.block_starts[k] >= 0:
                columns = self.block_columns[int(self.net.block_starts[k]) :]
                fan_in, fan_out = W_gradient.shape
                module["clear_outside_blocks"](
                    self._blocks(fan_in * fan_out), PER_BLOCK, fan_in, fan_out, columns, W_gradient
                )
            if k == 0:
                break
            self.products.times_transposed(self.delta[k], self._operand_weights(params, k), self.delta[k - 1], rows)
            stored = self.z[k - 1] if self.drops[k - 1] or self.net.derivative_needs_z[k - 1] else self.a[k - 1]
            module["backward"](
                (-(-self.sizes[k] // 32), -(-rows // self.chunk)),
                256,
                k - 1,
                rows,
                self.chunk,
                self.drops[k - 1],
                stored,
                self.mask[k - 1],
                self.delta[k - 1],
                self.bias_parts[self.bias_starts[k - 1] :],
            )

    def gradient(
        self,
        module: Module,
        header: str,
        params: Any,
        grads: Any,
        x: Any,
        y: Any,
        weight: Any,
        rows: int,
        metric: int,
        seed: int,
    ) -> None:
        """Compute the gradient of the clock's batch.

        The gradient of weights goes to `grads`, of biases to bias_parts, losses and correct samples to `sums`.
        """
        self.forward(module, params, x, rows, seed, True)
        self.loss_and_output_delta(module, params, y, weight, rows, metric, True)
        self.backward(module, params, grads, x, rows)

    def can_be_recorded(self) -> bool:
        """Whether the launches of a gradient can be captured; allocates the workspace that capture needs."""
        return self.products.take_workspace()

    def chunks_of(self, rows: int) -> tuple[int, int]:
        """Return (number of chunks of this batch, number of chunks allocated) in bias_parts."""
        return -(-rows // self.chunk), self.most_chunks

    def n_sums(self, rows: int) -> int:
        """Return the number of rows of `sums` that a batch writes."""
        return -(-rows // self.chunk)

    def _of_layer(self, flat: Any, k: int) -> tuple[Any, Any]:
        w, b = int(self.net.weight_offsets[k]), int(self.net.bias_offsets[k])
        return flat[w:b].reshape(self.sizes[k], self.sizes[k + 1]), flat[b : b + self.sizes[k + 1]]

    def _operand_weights(self, params: Any, k: int) -> Any:
        """Return layer k's weights as products read them."""
        if self.W is None:
            return self._of_layer(params, k)[0]
        start, (fan_in, fan_out) = self.operands.weights_at[k], self.sizes[k : k + 2]
        return self.W[start : start + fan_in * fan_out].reshape(fan_in, fan_out)

    def _round_weights(self, module: Module, params: Any) -> None:
        """Round weights that this object's updates have not written."""
        if self.W is not None:
            module["round_weights"]((self.n_blocks,), PER_BLOCK, params, self.W)

    def _blocks(self, n: int) -> tuple[int]:
        return (min(MOST_BLOCKS, -(-n // PER_BLOCK)),)

    def step(
        self,
        module: Module,
        header: str,
        data: Samples,
        config: TrainConfig,
        state: TrainState,
        clip_norm: float,
        epoch: int,
        batch: int,
        rows: int,
    ) -> None:
        """Launch the clock's step, which is this batch of this epoch, without waiting or allocating memory."""
        net, params, grads = self.net, state.params, state.grads
        x, y, weight = self.batches.take(module, self.clock, data, config, epoch, batch, rows)
        self.gradient(module, header, params, grads, x, y, weight, rows, data.metric, config.seed)
        grid, parts, sums = (self.n_blocks,), (self.bias_parts, *self.chunks_of(rows)), (self.sums, len(self.sums))
        if config.rule == NO_UPDATE:
            module["reduce_bias_gradients"](grid, PER_BLOCK, self.clock.array, *parts, *sums, grads)
            return
        if clip_norm > 0.0 or RULES[config.rule].compares_loss:
            module["measure"](grid, PER_BLOCK, params, grads, *parts, net.l2, self.squares)
        module["update"](
            grid,
            PER_BLOCK,
            self.clock.array,
            grads,
            *parts,
            net.l2,
            clip_norm,
            self.squares,
            *sums,
            self.n_sums(rows),
            rows,
            self.objectives,
            self.layer_factors,
            params,
            state.state,
            self.W,
        )

    # ---- the contract's two functions

    def train(self, data: Samples, config: TrainConfig, state: TrainState, first: int, n: int) -> None:
        net, size = self.net, config.batch_size  # data is where `place` has put it; memory freed since changes nothing
        clip_norm = float(config.hyper[CLIP_NORM])
        header = self.header(data, config.rule, clip_norm > 0.0, config.layered)
        module = self.module(header)
        n_batches, n_whole, end = -(-data.n_samples // size), data.n_samples // size, first + n
        records = cupy.empty(((end - 1) // n_batches - first // n_batches + 1, 2))
        self._begin(config, state, first, n, n_batches, records)
        self._round_weights(module, state.params)
        addresses = [x.data.ptr for x in (data.X, data.Y, data.weight, *state[:3]) if is_on_device(x)]
        same = (  # everything a step is launched with, except the number of rows and this object's arrays
            header,
            data.n_samples,
            size,
            config.shuffle,
            config.seed,
            clip_norm,
            net.l2,
            net.loss_constant,
            bound_of(net, data.metric),
            *map(float, net.dropout),
            *addresses,
        )
        can_be_recorded, step = self.can_be_recorded() and is_on_device(data.X), first
        while step < end:
            epoch, batch = divmod(step, n_batches)
            rows = min(size, data.n_samples - batch * size)
            launch = partial(self.step, module, header, data, config, state, clip_norm, epoch, batch, rows)
            self.batches.begin(module, data, config, epoch)
            # identical steps from here on: whole batches of one epoch, or epochs of one batch
            n_alike = end - step if n_batches == 1 else min(end - step, max(1, n_whole - batch))
            if can_be_recorded:
                self.replays.run((rows, *same), n_alike, launch)
            else:
                launch()
                n_alike = 1
            step += n_alike
        self._end(data, config, state, records, first, end, n_batches)

    def _begin(self, config: TrainConfig, state: TrainState, first: int, n: int, n_batches: int, records: Any) -> None:
        """Write everything that the steps of a call read from the device."""
        table = None
        if config.rule != NO_UPDATE:
            powers = state.scalars[0, [POWER1, POWER2]]
            table = cupy.asarray(step_settings(config, powers, n).astype(self.dtype))
            state.scalars[:, [POWER1, POWER2]] = powers
        dropout_factors = cupy.asarray(config.dropout_factors) if config.drops_by_schedule else None
        self.clock.set(first, n, n_batches, table, records, dropout_factors)
        self.objectives[(first - 1) % 2] = state.scalars[0, LAST_LOSS]
        if config.layered:
            self.layer_factors.set(config.layer_factors, stream=cupy.cuda.get_current_stream())

    def _end(
        self, data: Samples, config: TrainConfig, state: TrainState, records: Any, first: int, end: int, n_batches: int
    ) -> None:
        """Copy the losses of finished epochs to the host and check them: the call's only synchronisation."""
        sums = cupy.asnumpy(cupy.concatenate([records, self.objectives[None]]))
        if config.rule != NO_UPDATE and RULES[config.rule].compares_loss:
            state.scalars[:, LAST_LOSS] = sums[-1, (end - 1) % 2]
        state.scalars[:, DIVERGED], state.scalars[:, STEPS_DONE] = 0.0, end
        for epoch, (loss, n_correct) in enumerate(sums[:-1], first // n_batches):
            if not np.isfinite(loss):
                state.scalars[:, DIVERGED], state.scalars[:, STEPS_DONE] = 1.0, epoch * n_batches
                return
            if (epoch + 1) * n_batches <= end:
                state.epoch_loss[epoch], state.epoch_accuracy[epoch] = loss / data.n_samples, n_correct / data.n_samples

    def evaluate(self, data: Samples, params: Any, output: Any) -> tuple[float, float]:
        data, net = device_data(data), self.net
        params = to_device(params)
        module, top = self.module(self.header(data, NO_UPDATE, False, False)), net.n_layers - 1
        self.batches.restart()
        self._round_weights(module, params)
        for batch in range(-(-data.n_samples // self.rows)):
            first = batch * self.rows
            rows = min(self.rows, data.n_samples - first)
            x, y, weight = self.batches.in_order(module, data, first, rows)
            self.forward(module, params, x, rows, 0, False)
            self.loss_and_output_delta(
                module, params, y, weight, rows, data.metric, False, batch == 0, data.has_targets
            )
            if output.size:
                width, found = self.sizes[-1], self.a[top][:rows].reshape(-1)
                output[first * width : (first + rows) * width] = found if is_on_device(output) else found.get()
        if not data.has_targets:
            return 0.0, 0.0
        total = cupy.asnumpy(self.sums[:, : ChunkSum.EPOCH_N_CORRECT + 1].sum(axis=0))
        return float(total[0]), float(total[1])
