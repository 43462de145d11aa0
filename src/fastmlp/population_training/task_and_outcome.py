"""Task and outcome of a population's fit: its checked data and settings, and what training writes for each net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..callbacks import EarlyStopping
from ..convergence import Converged
from ..data.population_data import Strides
from ..devices import Device, device_of
from ..errors import is_per_net
from ..execution.dispatch import choose_nets_family
from ..execution.net_description import describe_net
from ..kernels.structs import METRIC_NONE, RUNNING, UNCHECKED, NetSpec, Samples
from ..network.spec import Network
from ..optimizers import Optimizer, settings_of
from ..training.time_limit import TimeLimit
from .kept_nets import KeptNets

if TYPE_CHECKING:
    from ..diagnosis.monitor import PopulationMonitor


@dataclass
class PopulationOutcome:
    """Result of training for each net: arrays (n_nets,), as in PopulationState of kernels/structs.py."""

    status: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    best_value: np.ndarray
    all_correct: np.ndarray  # whether all samples are correct at the end; empty with a convergence rule
    record_epochs: np.ndarray  # (n_records,)
    records: np.ndarray  # (n_records, n_nets)
    kept: KeptNets | None = None  # of nets that are trained together, for checkpoints

    @classmethod
    def empty(cls, task: PopulationTask, record_epochs: np.ndarray) -> PopulationOutcome:
        """Return the outcome of nets that have not been trained. Zeros take no memory until they are written to."""
        n_nets, n_best = task.n_nets, task.n_nets if task.monitor is not None else 0
        n_checked = n_nets if task.checks_final_accuracy else 0
        status, epochs = np.zeros((2, n_nets), np.int64)  # RUNNING
        loss, accuracy = np.full((2, n_nets), np.nan)
        best_epochs, best = np.full(n_best, -1), np.full(n_best, np.nan)
        all_correct = np.full(n_checked, UNCHECKED, np.int8)
        records = np.full((len(record_epochs), n_nets), np.nan, task.dtype)
        return cls(status, epochs, best_epochs, loss, accuracy, best, all_correct, record_epochs, records)

    def forget(self, members: Any) -> None:
        """Reset the outcome of these nets to that of nets that have not been trained."""
        self.status[members], self.epochs[members] = RUNNING, 0
        self.loss[members] = self.accuracy[members] = np.nan
        self.records[:, members] = np.nan
        if self.best_value.size:
            self.best_epochs[members], self.best_value[members] = -1, np.nan


def epochs_of_attempt(epochs: int, restart_after: int | None, attempt: int) -> int:
    """Return the largest number of epochs of a net in an attempt; 0 or less if there is no such attempt.

    epochs, restart_after : arguments of Population.fit
    attempt : int     counted from 0; each but the first begins with a restart
    """
    length = min(epochs, restart_after or epochs)
    return min(length, epochs - attempt * length)


class Whole(NamedTuple):
    """Properties of the task of all nets of a population. Tasks of some nets copy them, and so give the same bits."""

    n_nets: int
    family: str
    penalised: bool  # whether any net has an L2 penalty or weight decay
    clipped: bool  # whether any net has a clip_norm


@dataclass(frozen=True)
class PopulationTask:
    """Data and settings of one fit of a population, or of some of its nets; all of them checked."""

    network: Network
    device: Device
    dtype: np.dtype
    params: np.ndarray  # (n_nets, n_params), trained in place
    seeds: np.ndarray  # int64 (n_nets,), seeds of shuffling and dropout in this fit
    optimizer: Optimizer  # its settings are numbers or arrays (n_nets,)
    l2: Any  # number or (n_nets,)
    dropout: np.ndarray  # (n_layers,) or (n_nets, n_layers)
    data: Samples
    strides: Strides
    held_out: Samples | None
    batch_size: int
    shuffle: bool
    factors: Callable[[np.ndarray, int], np.ndarray]
    converged: Converged | None
    early_stopping: EarlyStopping | None
    verbose: int
    precision: str = "exact"
    dropout_factors: Callable[[np.ndarray, int], np.ndarray] | None = None  # of a schedule of the dropout rates
    watch: PopulationMonitor | None = None
    time_limit: TimeLimit | None = None
    part_of: Whole | None = None  # None for the task of all nets

    @property
    def n_nets(self) -> int:
        return len(self.params)

    @property
    def whole(self) -> Whole:
        """Properties of the task of all nets of the population."""
        if self.part_of is not None:
            return self.part_of
        settings = settings_of(self.optimizer)
        has_any = lambda value: bool(np.any(np.asarray(value) != 0))
        return Whole(
            self.n_nets,
            self._chosen_family,
            has_any(settings.get("weight_decay", 0.0)) or has_any(self.l2),
            has_any(settings.get("clip_norm", 0.0)),
        )

    def part(self, nets: slice, data: Samples, held_out: Samples | None) -> PopulationTask:
        """Return the task of some nets, with views of what belongs to them.

        data, held_out : samples of the part
        """
        of_nets: Callable[[Any], Any] = lambda value: value[nets] if is_per_net(value) else value
        settings = {k: of_nets(value) for k, value in settings_of(self.optimizer).items() if is_per_net(value)}
        return replace(
            self,
            params=self.params[nets],
            seeds=self.seeds[nets],
            optimizer=replace(self.optimizer, **settings) if settings else self.optimizer,
            l2=of_nets(self.l2),
            dropout=self.dropout[nets] if self.dropout.ndim == 2 else self.dropout,
            data=data,
            held_out=held_out,
            verbose=0,
            watch=None,
            part_of=self.whole,
        )

    @property
    def net(self) -> NetSpec:
        """Net as kernels see it, with the margin of the convergence rule."""
        row, margin = self.network.output_row, self.converged.margin if self.converged is not None else None
        return describe_net(self.network)._replace(margin=float(margin * (row.high - row.low)) if margin else 0.0)

    @property
    def family(self) -> str:
        return self._chosen_family if self.part_of is None else self.part_of.family

    @property
    def _chosen_family(self) -> str:
        streams = device_of(self.data.X) is None  # on a GPU: whether the samples are too many for its memory
        return choose_nets_family(
            self.network, self.n_nets, self.batch_size, self.device, self.dtype, streams, self.shuffle, self.precision
        )

    @property
    def n_batches(self) -> int:
        return -(-self.data.n_samples // self.batch_size)

    @property
    def monitor(self) -> str | None:
        if self.early_stopping is None:
            return None
        return self.early_stopping.monitor or ("loss" if self.held_out is None else "validation_loss")

    @property
    def judged_by(self) -> str:
        """Meaning of PopulationResult.converged: "rule", "all right" or "finite loss"."""
        return "rule" if self.converged is not None else "all right" if self.checks_final_accuracy else "finite loss"

    @property
    def checks_final_accuracy(self) -> bool:
        """Whether a net counts as converged if all samples are correct after its last step."""
        return self.converged is None and self.data.metric != METRIC_NONE

    @property
    def validates(self) -> bool:
        return self.monitor is not None and self.monitor.startswith("validation")
