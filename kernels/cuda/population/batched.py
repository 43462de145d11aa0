"""Kernel family `batched_gemm`: mid-sized nets of a population in lockstep, with one batched product per layer.

A step of nets of L layers is 5 L + 1 launches, however many nets there are: gather, the 5 L - 2 of layers/passes.py,
step_settings and update. Full batches of samples that all nets share are not gathered. The launches are the same from
step to step while no net ends, so that they are replayed as a CUDA graph. A net that has ended gives its slot to one
that has not, so that it costs nothing more.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cupy
import numpy as np

from ...formulas.update_rules import CODES
from ...structs import (
    MONITOR_NONE,
    MONITOR_VALIDATION_LOSS,
    RUNNING,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..build.compiled_module import Module
from ..build.net_constants import Architecture, Operands, bound_of
from ..build.structs import JOB, NET_INPUTS, ChunkSum, ProgressCounter
from ..layers.batches import LockstepBatches
from ..layers.passes import PER_BLOCK, Passes, evaluation_module, training_module
from ..runtime.cuda_graphs import GraphCache, is_wanted
from ..runtime.device_memory import DeviceStruct, checked_allocation, free_memory, is_on_device, to_device, whole_data
from .launch import SAFE_EVERY, padded
from .window import SHARE_OF_MEMORY, Window, rows_of

SIZES_PER_OCTAVE = 8  # numbers of nets between a power of two and the next one with which steps are launched
MOST_NETS = 65_535  # the maximum second and third dimension of a grid
EVALUATION_ROWS = 256  # samples of each net in one pass of an evaluation
STEP_NUMBERS = 16  # of the struct Step in batched.cu, rounded up


def compile_module(
    architecture: Architecture, operands: Operands, rule: int, settings_threads: int = PER_BLOCK, **switches: int
) -> Module:
    """Return the compiled kernels.

    operands : format of the products' operands
    rule : code of the update rule
    settings_threads : number of threads of `step_settings`
    switches : constants of the CUDA header, as for compile_training in launch.py
    """
    return training_module(
        architecture,
        operands,
        padded(architecture.n_params),
        "population/per_net.cuh",
        "population/batched.cu",
        rule=rule,
        structs=JOB.source,
        ONE_NET=False,
        **switches,
        THREADS=PER_BLOCK,
        SETTINGS_THREADS=settings_threads,
        SAFE_EVERY=SAFE_EVERY,
        FIXED_ROWS=0,
    )


class BatchedWindow(Window):
    """Window of nets trained in lockstep: the nets in training are in the first n_active slots."""

    max_nets = MOST_NETS
    remedy = "Lower batch_size, or use dtype='float32'."

    def __init__(self, run: Any, members: np.ndarray):
        super().__init__(run, members)
        config, criteria, nets, data, held_out = run.config, run.criteria, run.nets, run.data, run.held_out
        rule = CODES[run.rule.name]
        validates = criteria.monitor >= MONITOR_VALIDATION_LOSS
        # One warp handles a net's settings, unless sums or copies over its parameters are needed too.
        self._settings_threads = PER_BLOCK if nets.clipped or run.rule.compares_loss or self.n_batches == 1 else 32
        max_rows = activation_rows(config, criteria, held_out.n_samples)
        self._grads = cupy.zeros_like(self._params)
        self._passes = passes = Passes(run.net, self.n_nets, max_rows, run.dtype, run.precision)
        passes.bind(run.net, self._params, self._grads)
        operands = passes.operands
        self._module = compile_module(run.architecture, operands, rule, self._settings_threads, **run.switches)
        self._held_out = held_out if validates else None
        self._config, self._compares = config, run.rule.compares_loss
        self._may_end = (
            criteria.monitor != MONITOR_NONE or criteria.stop_loss > -np.inf or criteria.stop_n_correct < np.inf
        )
        sources = (self._job["order"] if config.shuffle else None, passes.clock.array) if self.n_batches > 1 else ()
        self._batches = LockstepBatches(passes, data, nets, *sources)
        self._bound = bound_of(run.net, data.metric)
        self._steps, self._reached = cupy.empty(STEP_NUMBERS * self.n_nets, run.dtype), cupy.zeros((self.n_nets, 2))
        self._can_be_recorded, self._replays = passes.products.take_workspace(), GraphCache()
        self._launch_for(self.n_nets)
        passes.inputs.set(**{name: self._job[name] for name in NET_INPUTS.types})
        self._job_on_device = DeviceStruct(JOB)
        self._job_on_device.set(**self._job | {"grads": self._grads})
        self._begin_at(0)

    def _begin_at(self, epoch: int) -> None:
        """Set the clock."""
        self._epoch, first = epoch, epoch * self.n_batches
        self._passes.clock.set(step=first, first=first, n_batches=self.n_batches)

    def resume(self, suspended: SuspendedNets) -> None:
        super().resume(suspended)
        self._begin_at(int(suspended.epochs[0]))
        self._reached[:] = super()._epochs_sums()

    @staticmethod
    def stride_of(n_params: int) -> int:
        return padded(n_params)

    @classmethod
    def bytes_each(cls, run: Any) -> int:
        vectors = max(1, run.rule.n_state) + 3 + (run.criteria.monitor != MONITOR_NONE)
        max_rows = activation_rows(run.config, run.criteria, run.held_out.n_samples)
        each = (padded(run.architecture.n_params) * vectors + STEP_NUMBERS) * run.dtype.itemsize + 256
        each += Passes.bytes_each(run.net, max_rows, True, run.dtype, run.precision)
        return super().bytes_each(run) + each

    def train(self, n_epochs: int) -> None:
        self._passes.round_weights(self._module)
        left = min(n_epochs, self.criteria.n_epochs - self._epoch)
        while left and self.n_active:
            self._train_epoch()
            left -= 1
            if self._may_end or not left:
                self._compact_slots()

    def _train_epoch(self) -> None:
        module, passes, config, n = self._module, self._passes, self._config, self.n_active
        job = self._job_on_device.array
        if config.shuffle:
            module["shuffle"]((n,), PER_BLOCK, job, self._epoch)
        whole, rest = divmod(self.n_samples, config.batch_size)
        for rows, n_alike in ((config.batch_size, whole), (rest, min(rest, 1))):
            if self._can_be_recorded:
                self._replays.run((rows, passes.products.n_nets), n_alike, partial(self._step, rows))
            else:
                for _ in range(n_alike):
                    self._step(rows)
        n_held_out_sums = self._validate() if self._held_out is not None else 0
        module["finish"]((n,), PER_BLOCK, job, passes.most_chunks, n_held_out_sums, passes.sums, self._reached)
        self._epoch += 1

    def _step(self, rows: int) -> None:
        """Launch the clock's step, without waiting or allocating memory."""
        module, passes, job, n = self._module, self._passes, self._job_on_device.array, self._passes.products.n_nets
        clock, parts = passes.clock.array, (passes.chunks_of(rows), passes.most_chunks)
        passes.gradient(module, self._batches.take(module, 0, rows), self._bound)
        module["step_settings"](
            (n,),
            self._settings_threads,
            job,
            clock,
            rows,
            *parts,
            passes.chunks_of(rows if self._compares else self._config.batch_size),
            passes.sums,
            passes.bias_parts,
            self._steps,
        )
        grid = passes.blocks(self.nets.n_params), n
        module["update"](grid, PER_BLOCK, job, *parts, passes.bias_parts, self._steps, clock, passes.W)

    def _validate(self) -> int:
        """Write the held-out samples' losses to the passes' sums; return the number of sums per net."""
        data, passes, module = self._held_out, self._passes, self._module
        assert data is not None
        for first in range(0, data.n_samples, passes.max_rows):
            rows = min(passes.max_rows, data.n_samples - first)
            passes.evaluate(module, self._batches.in_order(module, data, first, rows), self._bound, first == 0)
        return passes.chunks_of(min(passes.max_rows, data.n_samples))

    def _compact_slots(self) -> None:
        """Move nets that are in training to the slots of nets that have ended. Waits for the device."""
        running = cupy.asnumpy(self._counters[: self.n_active, ProgressCounter.STATUS]) == RUNNING
        n = int(running.sum())
        free, movers = np.flatnonzero(~running[:n]), n + np.flatnonzero(running[n:])
        if len(free):
            pairs = cupy.asarray(np.stack([free, movers], axis=1).astype(np.int64))
            job = self._job_on_device.array
            self._module["swap_slots"]((len(free),), PER_BLOCK, job, pairs, self._owners, self._reached)
        self.n_active = n
        self._launch_for(n)
        if len(free):
            self._passes.round_weights(self._module)

    def _launch_for(self, n: int) -> None:
        """Choose the number of nets of a step's launches: that of nets in training, or at most an eighth more.

        With few different numbers, steps are replayed as graphs although nets end in most epochs. Steps do not change
        the parameters of nets that have ended.
        """
        if n and self._can_be_recorded and is_wanted():
            spacing = max(1, 2 ** (n - 1).bit_length() // (2 * SIZES_PER_OCTAVE))
            n = min(-(-n // spacing) * spacing, self.n_nets)
        self._passes.products.n_nets = n

    def _epochs_sums(self) -> Any:
        return self._reached


def activation_rows(config: TrainConfig, criteria: StopCriteria, n_held_out: int) -> int:
    """Return the number of rows of activations that a net needs."""
    held_out = min(n_held_out, EVALUATION_ROWS) if criteria.monitor >= MONITOR_VALIDATION_LOSS else 0
    return max(config.batch_size, held_out)


def evaluate(net: NetSpec, data: Samples, nets: PopulationState, run: Any, output: Any) -> None:
    """Write loss and fraction of correct samples of nets.members to `nets`; write outputs unless `output` is empty."""
    data = whole_data(data)
    n, n_params, n_samples, dtype = nets.n_members, nets.n_params, data.n_samples, run.dtype
    n_out, stride = run.architecture.sizes[-1], padded(nets.n_params)
    max_rows, size = min(n_samples, EVALUATION_ROWS), n_samples * n_out
    each = (stride + n_params + (size if output.size else 0)) * dtype.itemsize
    each += Passes.bytes_each(net, max_rows, False, dtype, run.precision)
    free, _ = free_memory()
    most = max(1, min(n, MOST_NETS, int(SHARE_OF_MEMORY * free / each)))
    operands = Operands.of(net, dtype, run.precision)
    module = evaluation_module(run.architecture, operands, padded(nets.n_params), ONE_NET=False)
    for first in range(0, n, most):
        members = nets.members[first : first + most]
        m = len(members)
        with checked_allocation("the outputs of nets", m * each, "Evaluate fewer samples at a time."):
            params = cupy.zeros((m, stride), dtype)
            params[:, :n_params] = to_device(nets.params.reshape(-1, n_params)[rows_of(members)])
            passes = Passes(net, m, max_rows, dtype, run.precision, learns=False)
            batches = LockstepBatches(passes, data, nets)
            out = cupy.empty((m, n_samples, n_out), dtype) if output.size else None
        passes.bind(net, params)
        passes.inputs.set(
            X=data.X,
            Y=data.Y,
            weight=data.weight,
            owners=to_device(members),
            X_stride=nets.X_stride,
            Y_stride=nets.Y_stride,
            weight_stride=nets.weight_stride,
        )
        passes.round_weights(module)
        for row in range(0, n_samples, max_rows):
            rows = min(max_rows, n_samples - row)
            passes.evaluate(module, batches.take(module, row, rows), bound_of(net, data.metric), row == 0)
            if out is not None:
                out[:, row : row + rows] = passes.a[passes.top][:, :rows]
        if out is not None:
            flat = out.reshape(-1)
            output[first * size : (first + m) * size] = flat if is_on_device(output) else cupy.asnumpy(flat)
        if data.has_targets:
            both = cupy.asnumpy(passes.sums[:, :, : ChunkSum.EPOCH_N_CORRECT + 1].sum(axis=1)) / n_samples
            nets.loss[members], nets.accuracy[members] = both[:, 0], both[:, 1]
