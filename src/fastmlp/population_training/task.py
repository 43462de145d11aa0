"""Task and outcome of a population's fit: its checked data and settings, and what training writes for each net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import EarlyStopping
from ..convergence import Converged
from ..data.population_data import Strides
from ..devices import Device, device_of
from ..execution.dispatch import choose_nets_family
from ..execution.plan import describe_net
from ..kernels.structs import METRIC_NONE, RUNNING, UNCHECKED, NetSpec, Samples
from ..network.spec import Network
from ..optimizers import Optimizer

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


@dataclass(frozen=True)
class PopulationTask:
    """Data and settings of one fit of a population, all of them checked."""

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

    @property
    def n_nets(self) -> int:
        return len(self.params)

    @property
    def net(self) -> NetSpec:
        """Net as kernels see it, with the margin of the convergence rule."""
        row, margin = self.network.output_row, self.converged.margin if self.converged is not None else None
        return describe_net(self.network)._replace(margin=float(margin * (row.high - row.low)) if margin else 0.0)

    @property
    def family(self) -> str:
        streams = device_of(self.data.X) is None  # on a GPU: whether the samples are too many for its memory
        return choose_nets_family(
            self.network, self.n_nets, self.batch_size, self.device, self.dtype, streams, self.shuffle
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
