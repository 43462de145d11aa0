"""Targets of MLPRegressor: numbers as its net takes them, and scores of held-out samples."""

from __future__ import annotations

import numpy as np

from ..errors import counted, unknown_name
from .base import BaseMLP  # noqa: F401  # raises the error that tells what to install
from .regression_targets import as_quantities

from sklearn.utils import column_or_1d  # isort: skip

REGRESSOR_LOSSES = ("squared_error", "poisson", "absolute_error", "huber")


class QuantityTargets:
    """Mixin with the methods of BaseMLP that depend on y, for a regressor."""

    huber_delta: float
    loss: str

    _classifier = "MLPClassifier"

    def _set_targets(self, y, declared_classes):
        if not isinstance(self.loss, str):
            raise ValueError(
                f"loss is {self.loss!r}, but must be a name. It is the first argument, as in scikit-learn since 1.7: "
                f"name the other one, MLPRegressor(hidden_layer_sizes={self.loss!r})."
            )
        if self.loss not in REGRESSOR_LOSSES:
            raise unknown_name("loss", self.loss, REGRESSOR_LOSSES)
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]

    def _encode(self, y):
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if (1 if y.ndim == 1 else y.shape[1]) != self.n_outputs_:
            raise ValueError(f"y must have {counted(self.n_outputs_, 'column')}, but it has shape {y.shape}.")
        return as_quantities(y, self._classifier)

    def _loss_name(self):
        return self.loss

    def _net_settings(self):
        return {"huber_delta": self.huber_delta}

    def _score_from_history(self, held_out):
        variance = self._variance(held_out)
        if self.loss != "squared_error" or self.n_outputs_ > 1 or not variance > 0.0:
            return None
        return lambda history: 1.0 - float(history.validation_loss[-1]) / variance

    def _variance(self, held_out):
        mean = np.average(held_out.targets, axis=0, weights=held_out.weights)
        return float(np.average((held_out.targets - mean) ** 2, weights=held_out.weights, axis=0).mean())

    def _population_monitor(self, held_out, tol):
        return "validation_loss", tol * self._variance(held_out)
