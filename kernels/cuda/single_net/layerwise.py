"""Kernel family `layerwise` on CUDA: the passes of layers/passes.py for one large net, and an update by many blocks.

An epoch needs no synchronisation. A step of a net of L layers is at most 5 L launches: gather, 5 L - 2 of the passes,
and update. Gradient clipping and rules that compare objectives add one launch that measures the gradient. With operands
in bfloat16, gather rounds the inputs and update the weights, without launches of their own. The launches are the same
at every step, so that they are replayed as a CUDA graph.
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
    METRIC_NONE,
    NO_UPDATE,
    POWER1,
    POWER2,
    STEPS_DONE,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
)
from ..build.compiled_module import Module, compiled, source
from ..build.net_constants import Architecture, bound_of
from ..build.structs import ChunkSum, Squares
from ..layers.passes import FILES, PER_BLOCK, Passes, header_of
from ..runtime.cuda_graphs import GraphCache
from ..runtime.device_memory import checked_allocation, device_data, is_on_device, to_device
from ..runtime.optimizer_settings import step_settings
from .batches import EpochBatches


class LayerwiseWorkspace:
    """Workspace of one net for batches of up to `rows` samples."""

    def __init__(self, net: NetSpec, rows: int, dtype: np.dtype, precision: str):
        self.net, self.rows, self.dtype = net, rows, np.dtype(dtype)
        n_bytes = Passes.bytes_each(net, rows, True, dtype, precision)
        with checked_allocation("a batch of activations", n_bytes, "Lower batch_size, or use dtype='float32'."):
            self.passes = Passes(net, 1, rows, self.dtype, precision)
            self.batches = EpochBatches(self.passes)
            n_params = Architecture.of(net, METRIC_NONE, self.dtype).n_params
            self.n_blocks = self.passes.blocks(n_params)
            self.squares, self.objectives = cupy.zeros((self.n_blocks, len(Squares))), cupy.full(2, np.inf)
            self.layer_factors = cupy.ones(4 * net.n_layers)
            self.replays = GraphCache()
        self._modules: dict[str, Module] = {}  # stored as long as this object: graphs do not keep modules loaded

    def header(self, data: Samples, rule: int, clipped: bool, layered: bool) -> str:
        architecture = Architecture.of(self.net, data.metric, self.dtype)
        switches = {"ONE_NET": True, "WEIGHTED": data.has_weights, "CLIPPED": clipped, "LAYERED": layered}
        return header_of(architecture, self.passes.operands, rule, self.net.n_padded, **switches)

    def module(self, header: str) -> Module:
        if header not in self._modules:
            self._modules[header] = compiled(source(header, *FILES, "single_net/layerwise.cu"))
        return self._modules[header]

    def step(
        self,
        module: Module,
        data: Samples,
        config: TrainConfig,
        state: TrainState,
        clip_norm: float,
        epoch: int,
        batch: int,
        rows: int,
    ) -> None:
        """Launch the clock's step, which is this batch of this epoch, without waiting or allocating memory."""
        net, passes, params, grads = self.net, self.passes, state.params, state.grads
        samples = self.batches.take(module, data, config, epoch, batch, rows)
        passes.gradient(module, samples, bound_of(net, data.metric))
        grid, clock = (self.n_blocks,), passes.clock.array
        sums = passes.sums, passes.chunks_of(min(config.batch_size, data.n_samples))  # those of an epoch
        parts = passes.bias_parts, passes.chunks_of(rows), passes.most_chunks
        if config.rule == NO_UPDATE:
            module["reduce_bias_gradients"](grid, PER_BLOCK, clock, *parts, *sums, grads)
            return
        if clip_norm > 0.0 or RULES[config.rule].compares_loss:
            module["measure"](grid, PER_BLOCK, params, grads, *parts, net.l2, self.squares)
        module["update"](
            grid,
            PER_BLOCK,
            clock,
            grads,
            *parts,
            net.l2,
            clip_norm,
            self.squares,
            *sums,
            passes.chunks_of(rows),
            rows,
            self.objectives,
            self.layer_factors,
            params,
            state.state,
            passes.W,
        )

    # ---- the contract's two functions

    def train(self, data: Samples, config: TrainConfig, state: TrainState, first: int, n: int) -> None:
        net, size = self.net, config.batch_size  # data is where `place` has put it; memory freed since changes nothing
        clip_norm = float(config.hyper[CLIP_NORM])
        header = self.header(data, config.rule, clip_norm > 0.0, config.layered)
        module = self.module(header)
        n_batches, n_whole, end = -(-data.n_samples // size), data.n_samples // size, first + n
        records = cupy.empty(((end - 1) // n_batches - first // n_batches + 1, 2))
        self._begin(data, config, state, first, n, n_batches, records)
        self.passes.bind(net, state.params, state.grads)
        self.passes.round_weights(module)
        addresses = [x.data.ptr for x in (data.X, data.Y, data.weight, *state[:3]) if is_on_device(x)]
        same = (  # everything a step is launched with, except the number of rows and this object's arrays
            header,
            data.n_samples,
            size,
            config.shuffle,
            clip_norm,
            net.l2,
            net.loss_constant,
            bound_of(net, data.metric),
            *addresses,
        )
        can_be_recorded, step = self.passes.products.take_workspace() and is_on_device(data.X), first
        while step < end:
            epoch, batch = divmod(step, n_batches)
            rows = min(size, data.n_samples - batch * size)
            launch = partial(self.step, module, data, config, state, clip_norm, epoch, batch, rows)
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

    def _set_inputs(self, data: Samples, config: TrainConfig) -> None:
        samples = {"X": data.X, "Y": data.Y, "weight": data.weight} if is_on_device(data.X) else {}  # or streamed
        self.passes.inputs.set(
            **samples,
            dropout=cupy.asarray(self.net.dropout),
            seeds=cupy.asarray(np.array([config.seed], np.int64)),
            batch_size=config.batch_size,
        )

    def _begin(
        self, data: Samples, config: TrainConfig, state: TrainState, first: int, n: int, n_batches: int, records: Any
    ) -> None:
        """Write everything that the steps of a call read from the device."""
        self._set_inputs(data, config)
        table = None
        if config.rule != NO_UPDATE:
            powers = state.scalars[0, [POWER1, POWER2]]
            table = cupy.asarray(step_settings(config, powers, n).astype(self.dtype))
            state.scalars[:, [POWER1, POWER2]] = powers
        self.passes.clock.set(
            step=first, first=first, end=first + n, n_batches=n_batches, settings=table, records=records
        )
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
        data, passes = device_data(data), self.passes
        module = self.module(self.header(data, NO_UPDATE, False, False))
        self.batches.restart()
        passes.bind(self.net, to_device(params))
        passes.round_weights(module)
        for first in range(0, data.n_samples, self.rows):
            rows = min(self.rows, data.n_samples - first)
            batch = self.batches.in_order(module, data, first, rows)
            passes.evaluate(module, batch, bound_of(self.net, data.metric), first == 0)
            if output.size:
                width, found = passes.sizes[-1], passes.a[passes.top][0, :rows].reshape(-1)
                output[first * width : (first + rows) * width] = found if is_on_device(output) else found.get()
        passes.unbind()
        if not data.has_targets:
            return 0.0, 0.0
        n_sums = passes.chunks_of(min(self.rows, data.n_samples))
        total = cupy.asnumpy(passes.sums[0, :n_sums, : ChunkSum.EPOCH_N_CORRECT + 1].sum(axis=0))
        return float(total[0]), float(total[1])
