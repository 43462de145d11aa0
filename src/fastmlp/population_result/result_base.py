"""Fields of PopulationResult, and the statistics computed from them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Any

import numpy as np

from ..callbacks import SIGNS
from ..convergence import EpochStatistics, wilson_interval
from ..kernels.structs import RUNNING
from .stopped_by import OUT_OF_TIME, STOPPED_BY

CLAIMS = {"rule": "converged", "all right": "have all samples right", "finite loss": "ended with a finite loss"}
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class PopulationResultBase:
    """Fields of PopulationResult, and the statistics computed from them; PopulationResult describes both."""

    converged: np.ndarray
    epochs: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray | None
    monitor: str | None
    best_value: np.ndarray | None
    best_epoch: np.ndarray | None
    restarts: np.ndarray
    status: np.ndarray
    record_epochs: np.ndarray
    records: np.ndarray
    seconds: float
    interrupted: bool
    settings: dict[str, np.ndarray]
    judged_by: str = "rule"
    compile_seconds: float = 0.0
    arguments: dict[str, Any] = dataclass_field(default_factory=dict)

    @property
    def training_seconds(self) -> float:
        """Wall time of the fit in seconds, without compiling."""
        return self.seconds - self.compile_seconds

    @property
    def n_nets(self) -> int:
        """Number of nets."""
        return len(self.loss)

    @property
    def stopped_by(self) -> np.ndarray:
        """Reason why each net stopped (n_nets,): "converged", "epochs" and so on."""
        return np.array([STOPPED_BY[code] for code in range(len(STOPPED_BY))])[self.status]

    @property
    def n_converged(self) -> int:
        """Number of nets that count as converged."""
        return int(self.converged.sum())

    @property
    def claim(self) -> str:
        """Sentence fragment for messages, about the nets that count as converged."""
        return CLAIMS[self.judged_by]

    @property
    def n_finished(self) -> int:
        """Number of nets whose training neither Ctrl-C nor the time limit cut short."""
        return int((~np.isin(self.status, (RUNNING, OUT_OF_TIME))).sum())

    @property
    def success_rate(self) -> float | None:
        """Fraction of finished nets that converged; NaN if no net finished, None if fit was given no `converged=`."""
        if self.judged_by != "rule":
            return None
        return self.n_converged / self.n_finished if self.n_finished else float("nan")

    @property
    def success_interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of success_rate (low, high); None if success_rate is None."""
        return wilson_interval(self.n_converged, self.n_finished) if self.judged_by == "rule" else None

    @cached_property
    def epoch_statistics(self) -> EpochStatistics:
        """Statistics of the epochs to convergence: mean, sd, median, quantiles, harmonic_mean and others."""
        return EpochStatistics(self.epochs[self.converged].astype(np.float64), self.n_finished)

    def order(self) -> np.ndarray:
        """Return the net numbers from the best net to the worst.

        Nets are sorted by the best value of the monitored record with early stopping, else by loss; nets without a
        finite value come last.

        Returns
        -------
        ndarray of int, shape (n_nets,)
        """
        values = self.loss if self.best_value is None else self.best_value
        if self.monitor is not None:
            values = SIGNS.get(self.monitor, 1.0) * values
        return np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")

    @property
    def best(self) -> int:
        """Number of the best net, the first in `order`."""
        return int(self.order()[0])

    @property
    def worst(self) -> int:
        """Number of the worst net, the last in `order`."""
        return int(self.order()[-1])

    def loss_quantiles(self, shares=QUANTILES) -> np.ndarray:
        """Return quantiles over the nets of the loss in each of record_epochs.

        A net that stopped before a recorded epoch counts with its last loss.

        Parameters
        ----------
        shares : sequence of float, default (0.05, 0.25, 0.5, 0.75, 0.95)
            Probabilities of the quantiles, from 0 to 1.

        Returns
        -------
        ndarray of float, shape (n_records, len(shares))
        """
        filled = np.where(np.isfinite(self.records), self.records, self.loss[None, :])
        return np.nanquantile(filled, shares, axis=1).T if filled.size else np.empty((0, len(shares)))
