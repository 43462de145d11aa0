"""Options of one fit, after all checks, and their description for the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..callbacks import Callback, EarlyStopping
from ..kernels.structs import Samples
from ..optimizers import Optimizer
from ..schedules.checked_factors import schedule_text
from .optimizer_state import OptimizerState
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from ..console.nets_progress import PartProgress
    from ..convergence import Converged

Factors = Callable[[np.ndarray, int], np.ndarray]  # a schedule: (steps, n_steps) -> factors, as in schedules


class Monitor(Protocol):
    """Interface of the monitor of fit(monitor=True), which looks at a fit between its kernel calls."""

    def look(self, losses: np.ndarray, params: np.ndarray, *, at_end: bool = False) -> None: ...


@dataclass(frozen=True)
class Options:
    """Options of one fit of a net, all of them checked; names as in MLP.fit."""

    epochs: int
    batch_size: int
    shuffle: bool
    seed: int
    optimizer: Optimizer
    factors: Factors  # of the learning rate
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callback]
    verbose: int
    monitor: Monitor | None = None
    warns: bool = True  # whether to warn of divergence; a population warns once, for all its nets
    state: OptimizerState | None = None  # optimiser state that the fit starts with and updates
    converged: Converged | None = None  # rule that ends the fit, with the parameters that met it
    metrics: Any = None  # FitMetrics of training/epoch_metrics.py, computed after each epoch
    decay_factors: Factors | None = None  # of the weight decay; None for constant ones
    dropout_factors: Factors | None = None  # of the dropout rates
    time_limit: TimeLimit | None = None
    progress: PartProgress | None = None  # shows this fit as a part of a whole; None for a bar of its own
    stop: Event | None = None  # set when the fit must end as if interrupted, since Ctrl-C went to another thread

    def from_step(self, first: int, n_steps: int) -> dict[str, Any]:
        """Return the fields with the schedules of a part of a fit of n_steps steps, the part from step `first` on."""

        def shifted(factors: Factors | None) -> Factors | None:
            return None if factors is None else lambda steps, _: factors(steps + first, n_steps)

        names = "factors", "decay_factors", "dropout_factors"
        return {name: shifted(getattr(self, name)) for name in names}

    def description(
        self, data: Samples, validation: Samples | None, n_threads: int, schedule: Any, dropout_schedule: Any = None
    ) -> Callable[[], dict[str, Any]]:
        """Return a function that returns options and data sizes, JSON-serialisable.

        The history keeps the function, so that it refers neither to the data nor to the options, whose metrics have
        samples and buffers.

        data, validation : Samples     training and held-out samples
        n_threads : int     number of threads of the plan
        schedule, dropout_schedule : schedules of the learning rate and of the dropout rates, as for MLP.fit
        """
        of_dropout = {} if dropout_schedule is None else {"dropout_schedule": schedule_text(dropout_schedule)}
        n_samples, weighted = data.n_samples, data.has_weights
        n_validation = 0 if validation is None else validation.n_samples
        epochs, batch_size, shuffle, optimizer = self.epochs, self.batch_size, self.shuffle, self.optimizer
        early_stopping, time_limit = self.early_stopping, self.time_limit
        return lambda: {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": repr(optimizer),
            "schedule": schedule_text(schedule),
            **of_dropout,
            "shuffle": shuffle,
            "early_stopping": repr(early_stopping),
            "n_samples": n_samples,
            "n_validation": n_validation,
            "weighted": weighted,
            "n_threads": n_threads,
            **({} if time_limit is None else {"time_limit": time_limit.seconds}),
        }
