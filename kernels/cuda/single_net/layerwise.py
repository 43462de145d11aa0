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

from ...formulas.update_rules import BIAS_CORRECTED, PASSED, RULES, StepSettings
from ...structs import (
    CLIP_NORM,
    DIVERGED,
    HYPER,
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
from ..build.compiled_module import Module
from ..build.net_constants import Architecture, bound_of
from ..build.structs import ChunkSum, Squares
from ..layers.batches import EpochBatches
from ..layers.passes import PER_BLOCK, Passes, evaluation_module, training_module
from ..runtime.cuda_graphs import GraphCache
from ..runtime.device_memory import checked_allocation, device_data, is_on_device, to_device


def step_settings(config: TrainConfig, powers: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the settings of n_steps steps: float64 (n_steps, len(StepSettings._fields)).

    The formulas are those of step_settings in cpu/single_net/optimizer_step.py.

    powers : (2,), powers of Adam's betas up to the first step; advanced by n_steps
    """
    hyper = dict(zip(HYPER, config.hyper, strict=True))
    rate = np.broadcast_to(hyper["learning_rate"] * config.factors, n_steps)
    table = np.zeros((n_steps, len(StepSettings._fields)))
    column = {name: table[:, k] for k, name in enumerate(StepSettings._fields)}
    for name in PASSED:
        column[name][:] = hyper[name]
    column["decay"][:] = 1.0 - rate * hyper["weight_decay"]
    column["inv_sqrt_bias_correction2"][:] = 1.0
    if config.rule in BIAS_CORRECTED:
        # Factors are multiplied one by one: however a fit is divided into calls, the powers have the same bits.
        power1, power2 = (
            np.cumprod(np.append(power, np.full(n_steps, hyper[beta])))[1:]
            for power, beta in zip(powers, ("beta1", "beta2"), strict=True)
        )
        powers[:] = power1[-1], power2[-1]
        rate = rate / (1.0 - power1)
        column["inv_sqrt_bias_correction2"][:] = 1.0 / np.sqrt(1.0 - power2)
    column["learning_rate"][:] = rate
    return table


class LayerwiseWorkspace:
    """Workspace of one net for batches of up to `rows` samples."""

    def __init__(self, net: NetSpec, rows: int, dtype: np.dtype, precision: str):
        self.net, self.rows, self.dtype = net, rows, np.dtype(dtype)
        n_bytes = Passes.bytes_each(net, rows, True, dtype, precision)
        with checked_allocation("a batch of activations", n_bytes, "Lower batch_size, or use dtype='float32'."):
            self.passes = Passes(net, 1, rows, self.dtype, precision)
            self.batches = EpochBatches(self.passes)
            n_params = Architecture(net, METRIC_NONE, self.dtype).n_params
            self.n_blocks = self.passes.blocks(n_params)
            self.squares, self.objectives = cupy.zeros((self.n_blocks, len(Squares))), cupy.full(2, np.inf)
            self.layer_factors = cupy.ones(4 * net.n_layers)
            self.replays = GraphCache()
        self._modules: dict[tuple, Module] = {}  # stored as long as this object: graphs do not keep modules loaded

    def module(self, data: Samples, rule: int = NO_UPDATE, clipped: bool = False, layered: bool = False) -> Module:
        """Return the module of an update rule or, without one, of gradients and evaluations."""
        key = data.metric, rule, clipped, layered
        if key not in self._modules:
            architecture = Architecture(self.net, data.metric, self.dtype)
            arguments = architecture, self.passes.operands, self.net.n_padded, "single_net/layerwise.cu"
            self._modules[key] = (
                evaluation_module(*arguments, ONE_NET=True)
                if rule == NO_UPDATE
                else training_module(*arguments, rule=rule, ONE_NET=True, CLIPPED=clipped, LAYERED=layered)
            )
        return self._modules[key]

    def step(
        self,
        module: Module,
        data: Samples,
        config: TrainConfig,
        state: TrainState,
        clip_norm: float,
        batch: int,
        rows: int,
    ) -> None:
        """Launch the clock's step, which is this batch of an epoch, without waiting or allocating memory."""
        net, passes, params, grads = self.net, self.passes, state.params, state.grads
        samples = self.batches.take(module, data, config, batch, rows)
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
        module_settings = data.metric, config.rule, clip_norm > 0.0, config.layered
        module = self.module(data, *module_settings[1:])
        n_batches, n_whole, end = -(-data.n_samples // size), data.n_samples // size, first + n
        records = cupy.empty(((end - 1) // n_batches - first // n_batches + 1, 2))
        self._begin(data, config, state, first, n, n_batches, records)
        self.passes.bind(net, state.params, state.grads)
        self.passes.round_weights(module)
        addresses = [x.data.ptr for x in (data.X, data.Y, data.weight, *state[:3]) if is_on_device(x)]
        same = (  # everything a step is launched with, except the number of rows and this object's arrays
            module_settings,
            data.has_weights,
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
            launch = partial(self.step, module, data, config, state, clip_norm, batch, rows)
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

    def _begin(
        self, data: Samples, config: TrainConfig, state: TrainState, first: int, n: int, n_batches: int, records: Any
    ) -> None:
        """Write everything that the steps of a call read from the device."""
        samples = {"X": data.X, "Y": data.Y, "weight": data.weight} if is_on_device(data.X) else {}  # or streamed
        self.passes.inputs.set(
            **samples,
            dropout=cupy.asarray(self.net.dropout),
            seeds=cupy.asarray(np.array([config.seed], np.int64)),
            batch_size=config.batch_size,
        )
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
        module = self.module(data)
        passes.bind(self.net, to_device(params))
        passes.round_weights(module)
        for first in range(0, data.n_samples, self.rows):
            rows = min(self.rows, data.n_samples - first)
            batch = self.batches.in_order(module, data, first, rows)
            passes.evaluate(module, batch, bound_of(self.net, data.metric), first == 0)
            if output.size:
                width, values = passes.sizes[-1], passes.a[passes.top][0, :rows].reshape(-1)
                output[first * width : (first + rows) * width] = values if is_on_device(output) else values.get()
        if not data.has_targets:
            return 0.0, 0.0
        n_sums = passes.chunks_of(min(self.rows, data.n_samples))
        total = cupy.asnumpy(passes.sums[0, :n_sums, : ChunkSum.EPOCH_N_CORRECT + 1].sum(axis=0))
        return float(total[0]), float(total[1])
