"""Window: the nets of a population that are on the GPU at a time, with parameters, settings and records in slots.

Subclasses train them: independently (train.py) or in lockstep (batched.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cupy
import numpy as np

from ...formulas.update_rules import Rule
from ...structs import (
    DIVERGED_NET,
    HYPER,
    MONITOR_NONE,
    NET_HYPER,
    RUNNING,
    KernelVariant,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
    Unfinished,
)
from ..build.net_constants import Architecture, bound_of
from ..build.structs import ProgressCounter, ProgressScalar
from ..runtime.device_memory import ORDER_BYTES, to_device
from .launch import padded
from .suspension import keep_ended, resume_in_slots, suspended_nets

# A net's numbers before its first step that are not 0.
STARTS = {
    ProgressScalar.POWER1: 1.0,
    ProgressScalar.POWER2: 1.0,
    ProgressScalar.LAST_LOSS: np.inf,
    ProgressScalar.BEST_VALUE: np.inf,
}


@dataclass(frozen=True)
class RunSpec:
    """What all windows of a population's fit or evaluation have in common; `rule` is None for an evaluation."""

    net: NetSpec
    architecture: Architecture
    rule: Rule | None
    dtype: np.dtype
    precision: str
    variant: KernelVariant

    @property
    def n_state(self) -> int:
        return self.rule.n_state if self.rule is not None else 0


class Tables:
    """Settings of all nets, on the device."""

    def __init__(self, config: TrainConfig, nets: PopulationState):
        self.hyper, self.dropout = to_device(nets.hyper), to_device(nets.dropout)
        self.seeds, self.record_epochs = to_device(nets.seeds), to_device(nets.record_epochs)
        self.factors = to_device(config.factors)
        self.layer_factors = to_device(config.layer_factors)


class FitInputs(NamedTuple):
    """What a fit is given; `data` and `held_out` are on the device."""

    config: TrainConfig
    criteria: StopCriteria
    nets: PopulationState
    data: Samples
    held_out: Samples
    tables: Tables


def rows_of(members: np.ndarray) -> np.ndarray | slice:
    """Return what these rows of an array are selected by: a slice if they follow each other, as all nets do.

    Rows of a slice are neither gathered nor scattered: of a million small nets, either takes as long as some hundred
    epochs.
    """
    n = len(members)
    first, last = (int(members[0]), int(members[-1])) if n else (0, -1)
    in_order = last - first == n - 1 and bool((np.diff(members) == 1).all())
    return slice(first, last + 1) if in_order else members


class Window(ABC):
    """The nets `members`, each in the slot of its position in `members` until it is moved."""

    max_nets = 2**62  # in a window
    remedy = "Train fewer nets at a time."

    def __init__(self, run: RunSpec, members: np.ndarray, given: FitInputs):
        config, criteria, nets, data, held_out, tables = given
        self.nets, self.criteria, self.run = nets, criteria, run
        n, rule, dtype, n_params = len(members), run.rule, run.dtype, nets.n_params
        assert rule is not None
        self.n_nets = self.n_active = n
        self.n_batches = -(-data.n_samples // config.batch_size)
        self.n_samples = data.n_samples
        self._params = cupy.zeros((n, self.stride_of(n_params)), dtype)
        self._params[:, :n_params] = to_device(nets.params.reshape(-1, n_params)[rows_of(members)])
        state = cupy.zeros((n, max(rule.n_state, 1), padded(n_params)), dtype)
        table = nets.hyper.reshape(-1, len(NET_HYPER))
        for row, initial in enumerate(rule.initial[: rule.n_state]):
            if isinstance(initial, str):
                values = table[members if nets.hyper_stride else np.zeros(n, np.int64), HYPER.index(initial)]
                state[:, row, :] = to_device(values.astype(dtype))[:, None]
        self._scalars = cupy.zeros((n, len(ProgressScalar)))
        self._counters = cupy.zeros((n, len(ProgressCounter)), np.int64)
        for place, value in STARTS.items():
            self._scalars[:, place] = value
        watches, shuffled = criteria.monitor != MONITOR_NONE, n * data.n_samples * config.shuffle
        self._owners = to_device(members)
        self._records = cupy.full((nets.n_records, n), np.nan)
        self._job: dict[str, Any] = {
            "params": self._params,
            "state": state,
            "safe_params": self._params.copy(),
            "best_params": self._params.copy() if watches else None,
            "hyper": tables.hyper,
            "dropout": tables.dropout,
            "seeds": tables.seeds,
            "layer_factors": tables.layer_factors,
            "X": data.X,
            "Y": data.Y,
            "weight": data.weight,
            "held_out_X": held_out.X,
            "held_out_Y": held_out.Y,
            "held_out_weight": held_out.weight,
            "order": cupy.empty(shuffled, np.int32),
            "lists": cupy.empty(2 * shuffled * self.needs_lists(run, config), np.int32),
            "owners": self._owners,
            "scalars": self._scalars,
            "counters": self._counters,
            "factors": tables.factors,
            "record_epochs": tables.record_epochs,
            "records": self._records,
            "n_slots": n,
            "n_samples": data.n_samples,
            "n_held_out": held_out.n_samples,
            "batch_size": config.batch_size,
            "n_batches": self.n_batches,
            "n_epochs": criteria.n_epochs,
            "n_factors": len(config.factors),
            "n_records": nets.n_records,
            "patience": criteria.patience,
            "monitor": criteria.monitor,
            "held_out_has_weights": held_out.has_weights,
            "hyper_stride": nets.hyper_stride,
            "dropout_stride": nets.dropout_stride,
            "X_stride": nets.X_stride,
            "Y_stride": nets.Y_stride,
            "weight_stride": nets.weight_stride,
            "stop_loss": criteria.stop_loss,
            "stop_n_correct": criteria.stop_n_correct,
            "min_delta": criteria.min_delta,
            "bound": bound_of(run.net, data.metric),
            "loss_constant": run.net.loss_constant,
        }

    @staticmethod
    def stride_of(n_params: int) -> int:
        """Return the number of elements from one net's parameters to the next one's."""
        return n_params

    @classmethod
    def needs_lists(cls, run: RunSpec, config: TrainConfig) -> bool:
        """Whether an order is drawn through the lists of include/permutation.cuh, by many threads."""
        return True

    @classmethod
    def order_bytes(cls, run: RunSpec, config: TrainConfig, n_samples: int) -> int:
        """Return the bytes of a net's order, with its lists; 0 if samples are not shuffled."""
        of_sample = ORDER_BYTES if cls.needs_lists(run, config) else np.dtype(np.int32).itemsize
        return n_samples * of_sample * config.shuffle

    @staticmethod
    @abstractmethod
    def bytes_each(run: RunSpec, given: FitInputs) -> int:
        """Return the bytes a window needs per net, besides its records and its order."""

    @abstractmethod
    def train(self, n_epochs: int) -> None:
        """Train every running net for n_epochs more; return when they are done."""

    def resume(self, suspended: SuspendedNets) -> None:
        """Go on with the window's nets, all of which have been trained for the same number of epochs."""
        resume_in_slots(self.nets, self._job, self.n_batches, suspended, self.run.n_state)

    def suspended(self) -> SuspendedNets:
        """Return copies of the nets in training, between two epochs."""
        return suspended_nets(self.nets, self._job, self.n_batches, self.run.n_state)[0]

    @property
    def n_finished(self) -> int:
        return self.n_nets - self.n_active

    def collect(self) -> None:
        """Copy the results of nets that have ended, and the records of all, to the arrays of `nets`."""
        nets, scalars, counters = self.nets, cupy.asnumpy(self._scalars), cupy.asnumpy(self._counters)
        members, params = cupy.asnumpy(self._owners), cupy.asnumpy(self._params)
        status = counters[:, ProgressCounter.STATUS]
        ended = np.flatnonzero(status != RUNNING)
        diverged, owners, ended = status[ended] == DIVERGED_NET, rows_of(members[ended]), rows_of(ended)
        nets.params.reshape(-1, nets.n_params)[owners] = params[ended, : nets.n_params]
        nets.status[owners] = status[ended]
        unmeasured = diverged & ~np.isfinite(scalars[ended, ProgressScalar.LOSS])  # the epoch's loss was not finite
        nets.epochs[owners] = counters[ended, ProgressCounter.STEPS] // self.n_batches - unmeasured
        nets.loss[owners] = np.where(diverged, np.nan, scalars[ended, ProgressScalar.LOSS] / self.n_samples)
        nets.accuracy[owners] = scalars[ended, ProgressScalar.N_CORRECT] / self.n_samples
        if self.criteria.monitor != MONITOR_NONE:
            nets.best_epochs[owners], nets.best_value[owners] = (
                counters[ended, ProgressCounter.BEST_EPOCH],
                scalars[ended, ProgressScalar.BEST_VALUE],
            )
        with np.errstate(over="ignore"):
            nets.records.reshape(nets.n_records, -1)[:, rows_of(members)] = cupy.asnumpy(self._records)
        if nets.keeps_ended:
            keep_ended(nets, self._job, self.n_batches)

    def unfinished(self, watches: bool) -> Iterator[Unfinished]:
        """Yield the values of PopulationRun.unfinished."""
        now, slots = suspended_nets(self.nets, self._job, self.n_batches, self.run.n_state)
        sums = np.where(now.epochs[:, None], cupy.asnumpy(self._epochs_sums())[slots], np.nan)
        now.numbers[:, 2], now.numbers[:, 3] = sums[:, 0] / self.n_samples, sums[:, 1]
        yield from now.unfinished(watches)

    def _epochs_sums(self) -> Any:
        """Return (nets, 2): losses and correct samples of each net's last complete epoch."""
        return self._scalars[:, ProgressScalar.LOSS : ProgressScalar.N_CORRECT + 1]
