"""Training of a population on a GPU, one window of nets at a time, so that memory stays bounded.

Everything a net needs between launches is in arrays with one slot per net of the window (window.py). Small nets train
independently: a launch trains all slots that are still in training, then finished nets are removed from `active`.
Larger nets are trained in lockstep (batched.py). When the last net has finished, the window's results are copied to the
host and the next window is opened.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ...formulas.update_rules import CODES, Rule
from ...structs import (
    MONITOR_VALIDATION_LOSS,
    NONE_SUSPENDED,
    RUNNING,
    Choice,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..build.net_constants import Architecture
from ..build.structs import ProgressCounter
from ..runtime.device_memory import checked_allocation, free_memory, to_device, whole_data
from . import batched
from .launch import Shape, compile_training, fit_fields, launch, padded, shared_limit
from .window import SHARE_OF_MEMORY, Window


class PopulationRun:
    """State of one population's fit or evaluation.

    The arguments are those of the device contract; n_params, n_samples and shuffle are not used on a GPU. An
    evaluation has no rule.
    """

    def __init__(
        self,
        choice: Choice,
        net: NetSpec,
        n_params: int,
        n_samples: int,
        shuffle: bool,
        rule: Rule | None,
        loss: tuple[int, int],
        dtype: np.dtype,
        precision: str,
    ):
        self.batched, self.variant = choice.family == "batched_gemm", choice.variant
        self.net, self.architecture = net, Architecture(net, loss[1], dtype)
        self.rule: Any = rule
        self.dtype, self.precision = np.dtype(dtype), precision
        self.fields: dict[str, Any] = {}  # of Job, which all windows have in common
        self._window: Window | None = None
        self._n_taken = self._n_done = 0
        self._waiting: SuspendedNets | None = None  # nets to go on with that are in no window yet

    @property
    def n_finished(self) -> int:
        """Number of nets whose training has ended."""
        return self._n_done + (self._window.n_finished if self._window is not None else 0)

    def train(
        self,
        data: Samples,
        config: TrainConfig,
        criteria: StopCriteria,
        nets: PopulationState,
        held_out: Samples,
        n_epochs: int,
    ) -> None:
        if self._window is None:
            if self._n_taken == nets.n_members:
                return
            self.config, self.criteria, self.nets = config, criteria, nets
            if not self.fields:
                self._begin(data, held_out)
            self._open()
        assert self._window is not None
        self._window.train(n_epochs)
        if not self._window.n_active:
            self.collect()

    def _begin(self, data: Samples, held_out: Samples) -> None:
        """Copy samples and settings to the device."""
        config, criteria, nets = self.config, self.criteria, self.nets
        self.data = whole_data(data)
        self.held_out = self.data if held_out is data else whole_data(held_out)
        self.fields = fit_fields(self.net, self.data, config, nets.hyper, nets.dropout, nets.seeds) | {
            "held_out_X": self.held_out.X,
            "held_out_Y": self.held_out.Y,
            "held_out_weight": self.held_out.weight if self.held_out.has_weights else None,
            "record_epochs": to_device(nets.record_epochs),
            "n_held_out": self.held_out.n_samples,
            "n_epochs": criteria.n_epochs,
            "n_records": nets.n_records,
            "patience": criteria.patience,
            "monitor": criteria.monitor,
            "hyper_stride": nets.hyper_stride,
            "dropout_stride": nets.dropout_stride,
            "X_stride": nets.X_stride,
            "Y_stride": nets.Y_stride,
            "weight_stride": nets.weight_stride,
            "stop_loss": criteria.stop_loss,
            "stop_n_correct": criteria.stop_n_correct,
            "min_delta": criteria.min_delta,
        }
        self.switches = {
            "SHUFFLES": config.shuffle,
            "SCHEDULED": criteria.scheduled,
            "PENALISED": nets.penalised,
            "CLIPPED": nets.clipped,
            "LAYERED": config.layered,
            "VALIDATES": criteria.monitor >= MONITOR_VALIDATION_LOSS,
        }

    def _open(self) -> None:
        free, _ = free_memory()
        window_class: type[Window] = batched.BatchedWindow if self.batched else IndependentWindow
        n_bytes = window_class.bytes_each(self)
        most_in_memory = max(1, int(SHARE_OF_MEMORY * free / n_bytes))
        n = min(self.nets.n_members - self._n_taken, most_in_memory, window_class.max_nets)
        if self._waiting is not None:  # nets go on in one window if they are at the same epoch
            epochs = self._waiting.epochs
            n = min(n, int(np.flatnonzero(np.append(epochs != epochs[0], True))[0]))
        members = self.nets.members[self._n_taken : self._n_taken + n]
        self._n_taken += n
        with checked_allocation("a window of nets", n * n_bytes, window_class.remedy):
            self._window = window_class(self, members)
        if self._waiting is not None:
            self._window.resume(self._waiting.part(0, n))
            self._waiting = self._waiting.part(n, len(self._waiting.net_index))

    most_resumed = 2**62

    def suspended(self, nets: PopulationState, watches: bool) -> SuspendedNets:
        """Return the nets in training, between two calls, and write the results of finished nets to their places."""
        waiting = NONE_SUSPENDED if self._waiting is None else self._waiting
        if self._window is None:
            return waiting
        self._window.collect()
        suspended, _ = self._window.suspended()
        return suspended if not len(waiting.net_index) else SuspendedNets.joined([suspended, waiting])

    def resume(self, nets: PopulationState, suspended: SuspendedNets) -> None:
        """Go on with nets in a run that has just begun.

        nets : its members are these nets, in the same order
        """
        self._waiting = suspended

    def collect(self) -> None:
        """Copy the results of the current window to the host."""
        if self._window is not None:
            self._window.collect()
            self._n_done += self._window.n_finished
            self._window = None


class IndependentWindow(Window):
    """Window of nets that train independently, each in a thread or a block, many epochs per launch."""

    def __init__(self, run: PopulationRun, members: np.ndarray):
        self._shape = shape = self.shape(run)
        super().__init__(run, members)
        self._kernel = compile_training(
            run.architecture,
            shape,
            CODES[run.rule.name],
            run.data.n_samples if run.variant.unrolled else 0,
            shape.blocks_at_once(run.dtype),
            WEIGHTED=run.data.has_weights,
            # A block reads the factor of its step even where there is one for all: a kernel less to compile.
            **run.switches | {"SCHEDULED": run.switches["SCHEDULED"] or not shape.in_thread},
        )
        self._active = cupy.arange(len(members), dtype=np.int64)

    @staticmethod
    def shape(run: PopulationRun) -> Shape:
        if run.variant.net_per_thread:
            return Shape.of_threads()
        return Shape.of_blocks(run.architecture, run.rule.n_state, run.config.batch_size, shared_limit())

    @classmethod
    def needs_lists(cls, run: PopulationRun) -> bool:
        return not run.variant.net_per_thread

    @classmethod
    def bytes_each(cls, run: PopulationRun) -> int:
        vectors = padded(run.architecture.n_params) * (run.rule.n_state + 3)
        return super().bytes_each(run) + (vectors + cls.shape(run).workspace) * run.dtype.itemsize + 128

    def train(self, n_epochs: int) -> None:
        n_blocks = -(-self.n_active // self._shape.threads) if self._shape.in_thread else self.n_active
        launch(
            self._kernel,
            self._shape,
            (n_blocks,),
            self.dtype,
            **self._job,
            active=self._active,
            n_active=self.n_active,
            n_steps=n_epochs * self.n_batches,
        )
        self._active = self._active[self._counters[self._active, ProgressCounter.STATUS] == RUNNING]
        self.n_active = int(self._active.size)
