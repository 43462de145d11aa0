"""Options of one fit, after all checks, and their description for the history."""

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
from ..schedules import schedule_text
from .optimizer_state import OptimizerState
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from ..diagnosis.monitor import Monitor


@dataclass(frozen=True)
class Options:
    """Options of one fit of a net, all of them checked; names as in MLP.fit."""

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
    warns: bool = True  # whether to warn of divergence; a population warns once, for all its nets
    state: OptimizerState | None = None  # optimiser state that the fit starts with and updates
    converged: Converged | None = None  # rule that ends the fit, with the parameters that met it
    metrics: Any = None  # FitMetrics of training/epoch_metrics.py, computed after each epoch
    time_limit: TimeLimit | None = None
    stop: Event | None = None  # set when the fit must end as if interrupted, since Ctrl-C went to another thread

    def description(
        self, data: Samples, validation: Samples | None, n_threads: int, schedule: Any
    ) -> Callable[[], dict[str, Any]]:
        """Return a function that returns options and data sizes, JSON-serialisable; it holds no reference to the data.

        data, validation : Samples     training and held-out samples
        n_threads : int     number of threads of the plan
        schedule : fit's schedule argument
        """
        n_samples, weighted = data.n_samples, data.has_weights
        n_validation = 0 if validation is None else validation.n_samples
        return lambda: {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": repr(self.optimizer),
            "schedule": schedule_text(schedule),
            "shuffle": self.shuffle,
            "early_stopping": repr(self.early_stopping),
            "n_samples": n_samples,
            "n_validation": n_validation,
            "weighted": weighted,
            "n_threads": n_threads,
            **({} if self.time_limit is None else {"time_limit": self.time_limit.seconds}),
        }
