"""Records of a net's fit, a row for each epoch, of which its History shows the finished ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..console.nets_progress import BestScore
from ..history import History
from ..kernels.structs import METRIC_NONE


class Records:
    """Records of all epochs of one net: losses and accuracies, and the metrics of the user.

    metric : METRIC_* code of the training samples
    held_out_metric : that of the held-out samples; None without any
    """

    def __init__(self, history: History, n_epochs: int, metric: int, held_out_metric: int | None):
        self.history, self._metric, self._held_out_metric = history, metric, held_out_metric
        self.loss, self.accuracy = np.empty((2, n_epochs))  # memory is taken as epochs are finished, not before
        self.validation = np.empty((n_epochs if held_out_metric is not None else 0, 2))  # loss, accuracy
        self.n_validated = 0
        self.best_epoch: int | None = None
        self.metrics: Any = None  # FitMetrics, of a fit that has some

    def n_recorded(self, n_epochs: int) -> int:
        """Return how many of the first n_epochs epochs have all their records."""
        return n_epochs if self._held_out_metric is None else min(n_epochs, self.n_validated)

    def publish(self, n: int) -> History:
        """Let the history have the records of the first n epochs, and return it."""
        records: dict[str, Any] = {"loss": self.loss[:n], "best_epoch": self.best_epoch}
        if self._metric != METRIC_NONE:
            records["accuracy"] = self.accuracy[:n]
        if self._held_out_metric is not None:
            records["validation_loss"] = self.validation[:n, 0]
            if self._held_out_metric != METRIC_NONE:
                records["validation_accuracy"] = self.validation[:n, 1]
        if self.metrics is not None:
            records |= self.metrics.records(n)
        vars(self.history).update(records)
        return self.history

    def best_score(self) -> BestScore:
        """Return the lowest validation loss so far."""
        losses, accuracies = self.validation[: self.n_validated].T
        return BestScore.of(losses, None if self._held_out_metric in (None, METRIC_NONE) else accuracies)
