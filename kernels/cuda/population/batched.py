"""Kernel family `batched_gemm`: mid-sized nets of a population in lockstep, with one batched product per layer.

A step of nets of L layers is 5 L + 1 launches, however many nets there are: gather; L products and L - 1 activations;
loss_and_output_delta; L products for weights, L - 1 for deltas and L - 1 backward passes; step_settings; update. The
launches are the same from step to step while no net ends, so that they are replayed as a CUDA graph. A net that has
ended gives its slot to one that has not, so that it costs nothing more.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import cupy
import numpy as np

from ...formulas.update_rules import CODES
from ...structs import (
    MONITOR_NONE,
    MONITOR_VALIDATION_LOSS,
    NO_UPDATE,
    RUNNING,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..build.module import Module, compiled, source
from ..build.net_constants import Architecture
from ..build.operands import Operands
from ..build.structs import JOB, ChunkSum, ProgressCounter
from ..runtime.cuda_graphs import GraphCache, is_wanted
from ..runtime.device_memory import checked_allocation, free_memory, is_on_device, to_device, whole_data
from .batched_passes import PER_BLOCK, STEP_NUMBERS, Batch, Batches, Passes, blocks_for
from .launch import NOTHING, SAFE_EVERY, padded
from .window import Tables, Window, bound_of

if TYPE_CHECKING:
    from .train import PopulationRun

SIZES_PER_OCTAVE = 8  # numbers of nets between a power of two and the next one with which steps are launched
MOST_NETS = 65_535  # the maximum second and third dimension of a grid
EVALUATION_ROWS = 256  # samples of each net in one pass of an evaluation


def compile_module(
    architecture: Architecture, operands: Operands, rule: int, settings_threads: int = PER_BLOCK, **switches: int
) -> Module:
    """Return the compiled kernels.

    operands : of the products
    rule : code of the update rule; with NO_UPDATE the module has only the kernels of an evaluation
    settings_threads : number of threads of `step_settings`
    switches : constants of the CUDA header, as for compile_training in launch.py
    """
    stride = padded(architecture.n_params)
    header = architecture.header(
        rule,
        stride,
        **switches,
        THREADS=PER_BLOCK,
        SETTINGS_THREADS=settings_threads,
        PARAMS_STRIDE=stride,
        SAFE_EVERY=SAFE_EVERY,
        FIXED_ROWS=0,
    )
    trains = "" if rule == NO_UPDATE else "#define TRAINS\n"
    files = (
        "include/bfloat16.cuh",
        "include/layout.cuh",
        "include/reductions.cuh",
        "include/permutation.cuh",
        "population/per_net.cuh",
        "include/layer_passes.cuh",
        "population/batched.cu",
    )
    return compiled(source(trains + header + operands.source() + JOB.source, *files))


def evaluation_module(architecture: Architecture, operands: Operands, weighted: bool) -> Module:
    return compile_module(
        architecture,
        operands,
        NO_UPDATE,
        SHUFFLES=False,
        WEIGHTED=weighted,
        SCHEDULED=False,
        PENALISED=False,
        CLIPPED=False,
        LAYERED=False,
        VALIDATES=False,
    )


def on_device(**job: Any) -> Any:
    return cupy.asarray(np.frombuffer(JOB.pack(**job, workspace=None, workspace_stride=0), np.uint8))


class BatchedWindow(Window):
    """Window of nets trained in lockstep: the nets in training are in the first n_active slots."""

    max_nets = MOST_NETS
    remedy = "Lower batch_size, or use dtype='float32'."

    def __init__(
        self,
        run: PopulationRun,
        members: np.ndarray,
        config: TrainConfig,
        criteria: StopCriteria,
        nets: PopulationState,
        data: Samples,
        held_out: Samples,
        tables: Tables,
    ):
        super().__init__(run, members, config, criteria, nets, data, held_out, tables)
        assert run.rule is not None
        rule = CODES[run.rule.name]
        validates = criteria.monitor >= MONITOR_VALIDATION_LOSS
        # One warp handles a net's settings, unless sums or copies over its parameters are needed too.
        self._settings_threads = PER_BLOCK if nets.clipped or run.rule.compares_loss or self.n_batches == 1 else 32
        max_rows = activation_rows(config, criteria, held_out.n_samples)
        self._grads = cupy.zeros_like(self._params)
        self._passes = Passes(run.net, run.precision, self._params, self._grads, max_rows)
        operands = self._passes.operands
        self._module = compile_module(
            run.architecture,
            operands,
            rule,
            self._settings_threads,
            SHUFFLES=config.shuffle,
            WEIGHTED=data.has_weights,
            SCHEDULED=criteria.scheduled + config.decays,
            PENALISED=nets.penalised,
            CLIPPED=nets.clipped,
            LAYERED=config.layered,
            VALIDATES=validates,
        )
        self._held_out = held_out if validates else None
        self._held_out_module = (
            evaluation_module(run.architecture, operands, held_out.has_weights)
            if validates and held_out.has_weights != data.has_weights
            else self._module
        )
        self._config, self._compares = config, run.rule.compares_loss
        self._may_end = (
            criteria.monitor != MONITOR_NONE or criteria.stop_loss > -np.inf or criteria.stop_n_correct < np.inf
        )
        self._batches = Batches(data, nets, self._passes, self.n_nets, self.n_batches > 1)
        self._steps = cupy.empty(STEP_NUMBERS * self.n_nets, run.dtype)
        self._clock, self._reached = cupy.zeros(1, np.int64), cupy.zeros((self.n_nets, 2))
        self._update_blocks = blocks_for(nets.n_params)
        self._can_be_recorded, self._replays = self._passes.products.take_workspace(), GraphCache()
        self._epoch = 0
        self._launch_for(self.n_nets)
        self._job_on_device = on_device(**{**NOTHING, **self._job, "grads": self._grads})

    def resume(self, suspended: SuspendedNets) -> None:
        super().resume(suspended)
        self._epoch = int(suspended.epochs[0])
        self._clock[0] = self._epoch * self.n_batches
        self._reached[:] = to_device(np.ascontiguousarray(suspended.numbers[:, 2:]))

    @staticmethod
    def stride_of(n_params: int) -> int:
        return padded(n_params)

    @staticmethod
    def bytes_each(
        run: PopulationRun, config: TrainConfig, criteria: StopCriteria, n_nets: int, n_held_out: int
    ) -> int:
        vectors = max(1, run.n_state) + 3 + (criteria.monitor != MONITOR_NONE)
        max_rows = activation_rows(config, criteria, n_held_out)
        each = padded(run.architecture.n_params) * vectors * run.dtype.itemsize
        return each + Passes.bytes_each(run.net, max_rows, True, run.dtype, run.precision) + 256

    def train(self, n_epochs: int) -> None:
        self._passes.round_weights(self._module, self._job_on_device)
        left = min(n_epochs, self.criteria.n_epochs - self._epoch)
        while left and self.n_active:
            self._train_epoch()
            left -= 1
            if self._may_end or not left:
                self._compact_slots()

    def _train_epoch(self) -> None:
        module, passes, job, config, n = self._module, self._passes, self._job_on_device, self._config, self.n_active
        if config.shuffle:
            module["shuffle"]((n,), PER_BLOCK, job, self._epoch)
        whole, rest = divmod(self.n_samples, config.batch_size)
        for rows, n_alike in ((config.batch_size, whole), (rest, min(rest, 1))):
            if self._can_be_recorded:
                self._replays.run((rows, self._n_launched), n_alike, partial(self._step, rows))
            else:
                for _ in range(n_alike):
                    self._step(rows)
        n_held_out_sums = self._validate() if self._held_out is not None else 0
        module["finish"]((n,), PER_BLOCK, job, passes.most_chunks, n_held_out_sums, passes.sums, self._reached)
        self._epoch += 1

    def _step(self, rows: int) -> None:
        """Launch the clock's step, without waiting or allocating memory."""
        module, passes, job, clock, n = self._module, self._passes, self._job_on_device, self._clock, self._n_launched
        batch = self._batches.take(module, job, clock, n, 0, rows)
        passes.forward(module, job, clock, batch.x, rows)
        passes.loss_and_output_delta(module, job, clock, batch, rows)
        passes.backward(module, batch.x, rows)
        parts = (passes.chunks_of(rows), passes.most_chunks)
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
        module["update"](
            (self._update_blocks, n), PER_BLOCK, job, *parts, passes.bias_parts, self._steps, clock, passes.W
        )

    def _validate(self) -> int:
        """Write the held-out samples' losses to the passes' sums; return the number of sums per net."""
        data, passes, module = self._held_out, self._passes, self._held_out_module
        assert data is not None
        n_out = passes.sizes[-1]
        for first in range(0, data.n_samples, passes.max_rows):
            rows = min(passes.max_rows, data.n_samples - first)
            x = passes.inputs(module, data.X, first, rows)
            weight = data.weight[first:] if data.has_weights else None
            passes.forward(module, self._job_on_device, None, x, rows)
            passes.loss_and_output_delta(
                module, self._job_on_device, None, Batch(x, data.Y[first * n_out :], 0, weight, 0), rows, first == 0
            )
        return passes.chunks_of(min(passes.max_rows, data.n_samples))

    def _compact_slots(self) -> None:
        """Move nets that are in training to the slots of nets that have ended. Waits for the device."""
        running = cupy.asnumpy(self._counters[: self.n_active, ProgressCounter.STATUS]) == RUNNING
        n = int(running.sum())
        free, movers = np.flatnonzero(~running[:n]), n + np.flatnonzero(running[n:])
        if len(free):
            pairs = cupy.asarray(np.stack([free, movers], axis=1).astype(np.int64))
            self._module["swap_slots"]((len(free),), PER_BLOCK, self._job_on_device, pairs, self._owners, self._reached)
        self.n_active = n
        self._launch_for(n)
        if len(free):
            self._passes.round_weights(self._module, self._job_on_device)

    def _launch_for(self, n: int) -> None:
        """Choose the number of nets of a step's launches: that of nets in training, or a few more.

        With few different numbers, steps are replayed as graphs although nets end in most epochs. Steps do not change
        the parameters of nets that have ended.
        """
        self._n_launched = min(rounded_up(n), self.n_nets) if self._can_be_recorded and is_wanted() else n
        self._passes.products.n_nets = self._n_launched

    def _epochs_sums(self) -> Any:
        return self._reached


def rounded_up(n: int) -> int:
    """Return the next number of nets with which steps are launched, at most an eighth more than n."""
    spacing = max(1, 2 ** (n - 1).bit_length() // (2 * SIZES_PER_OCTAVE)) if n else 1
    return -(-n // spacing) * spacing


def activation_rows(config: TrainConfig, criteria: StopCriteria, n_held_out: int) -> int:
    """Return the number of rows of activations that a net needs."""
    held_out = min(n_held_out, EVALUATION_ROWS) if criteria.monitor >= MONITOR_VALIDATION_LOSS else 0
    return max(config.batch_size, held_out)


def evaluate(
    net: NetSpec, data: Samples, nets: PopulationState, run: PopulationRun, output: Any, share_of_memory: float
) -> None:
    """Evaluate nets as population/train.py's evaluate_nets does.

    share_of_memory : fraction of free memory that may be used
    """
    data = whole_data(data)
    n, n_params, n_samples, dtype = nets.n_members, nets.n_params, data.n_samples, run.dtype
    n_out, stride = run.architecture.sizes[-1], padded(nets.n_params)
    max_rows, size = min(n_samples, EVALUATION_ROWS), n_samples * n_out
    each = (stride + n_params + (size if output.size else 0)) * dtype.itemsize
    each += Passes.bytes_each(net, max_rows, False, dtype, run.precision)
    free, _ = free_memory()
    most = max(1, min(n, MOST_NETS, int(share_of_memory * free / each)))
    module = evaluation_module(run.architecture, Operands.of(net, dtype, run.precision), data.has_weights)
    for first in range(0, n, most):
        members = nets.members[first : first + most]
        m = len(members)
        with checked_allocation("the outputs of nets", m * each, "Evaluate fewer samples at a time."):
            params = cupy.zeros((m, stride), dtype)
            params[:, :n_params] = to_device(nets.params.reshape(-1, n_params)[members])
            passes = Passes(net, run.precision, params, None, max_rows)
            batches = Batches(data, nets, passes, m, False)
            out = cupy.empty((m, n_samples, n_out), dtype) if output.size else None
        nothing, owners = cupy.zeros(1), to_device(members)
        job = on_device(
            **{
                **NOTHING,
                "params": params,
                "hyper": nothing,
                "dropout": nothing,
                "X": data.X,
                "Y": data.Y,
                "weight": data.weight,
                "owners": owners,
                "n_slots": m,
                "n_samples": n_samples,
                "X_stride": nets.X_stride,
                "Y_stride": nets.Y_stride,
                "weight_stride": nets.weight_stride,
                "bound": bound_of(net, data.metric),
                "loss_constant": net.loss_constant,
            }
        )
        passes.round_weights(module, job)
        for row in range(0, n_samples, max_rows):
            rows = min(max_rows, n_samples - row)
            batch = batches.take(module, job, None, m, row, rows)
            passes.forward(module, job, None, batch.x, rows)
            passes.loss_and_output_delta(module, job, None, batch, rows, row == 0, data.has_targets)
            if out is not None:
                out[:, row : row + rows] = passes.a[passes.top].reshape(m, max_rows, n_out)[:, :rows]
        if out is not None:
            flat = out.reshape(-1)
            output[first * size : (first + m) * size] = flat if is_on_device(output) else cupy.asnumpy(flat)
        if data.has_targets:
            both = cupy.asnumpy(passes.sums[:, :, : ChunkSum.EPOCH_N_CORRECT + 1].sum(axis=1)) / n_samples
            nets.loss[members], nets.accuracy[members] = both[:, 0], both[:, 1]
