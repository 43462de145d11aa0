"""The options of one fit, checked, and their description for its history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import Callback, EarlyStopping
from ..convergence import Converged
from ..kernels.structs import Samples
from ..optimizers import Optimizer
from .optimizer_state import OptimizerState

if TYPE_CHECKING:
    from ..diagnosis.monitor import Monitor


@dataclass(frozen=True)
class Options:
    """How to train; every value is checked."""

    epochs: int
    batch_size: int
    shuffle: bool
    seed: int
    optimizer: Optimizer
    factors: Callable[[np.ndarray, int], np.ndarray]
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callback]
    verbose: int
    monitor: Monitor | None = None
    warns: bool = True  # of divergence; a population does so once, for all its nets
    state: OptimizerState | None = None  # to go on with, and to leave
    converged: Converged | None = None  # what ends the fit too; the parameters that reached it are kept
    metrics: Any = None  # fit_metrics.FitMetrics, measured after each epoch
    stop: Event | None = None  # once it is set, another thread has been interrupted, and the fit ends as if it had been

    def description(
        self, data: Samples, validation: Samples | None, n_threads: int, schedule: Any
    ) -> Callable[[], dict[str, Any]]:
        """A function that gives the options as JSON can hold them, with the data's sizes; it does not keep the data."""
        n_samples, weighted = data.n_samples, data.has_weights
        n_validation = 0 if validation is None else validation.n_samples
        return lambda: {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": repr(self.optimizer),
            "schedule": schedule if isinstance(schedule, str) else getattr(schedule, "__name__", repr(schedule)),
            "shuffle": self.shuffle,
            "early_stopping": repr(self.early_stopping),
            "n_samples": n_samples,
            "n_validation": n_validation,
            "weighted": weighted,
            "n_threads": n_threads,
        }
