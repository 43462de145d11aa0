"""A fitted MLPClassifier or MLPRegressor: its net, its weights by scikit-learn's names, and samples for the net."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from ..data.checked_samples import checked_pair
from .array_input import (
    Fitted,
    checked_sample_weights,
    dense,
    explaining,
    refuse_dates_among_columns,
    refuse_missing_dates,
)
from .parameters import dtype_of
from .single_net import SplitSamples


def _layers(name: str, of_layout: str, doc: str) -> Any:
    """Return the property coefs_ or intercepts_.

    of_layout : name of the method of Layout that returns them as views of the parameters
    """

    def get(estimator: Any) -> list[np.ndarray]:
        net = vars(estimator).get("net_")
        if net is None:
            raise AttributeError(f"{type(estimator).__name__} has {name} only after fit.")
        return getattr(net.network.layout, of_layout)(net.params)

    def put(estimator: Any, values: Any) -> None:
        for view, value in zip(get(estimator), values, strict=True):
            view[...] = value

    return property(get, put, doc=doc)


class FittedNet(Fitted):
    """Mixin with the net of an estimator, its weights, and its samples after scikit-learn's checks."""

    coefs_ = _layers("coefs_", "weights", "Weights of each layer, (fan_in, fan_out), as views into net_.params.")
    intercepts_ = _layers("intercepts_", "biases", "Biases of each layer, (fan_out,), as views into net_.params.")

    @property
    def _optimizer(self: Any) -> SimpleNamespace:
        """Present learning rate, which programs read from scikit-learn's private attribute of this name."""
        rate = self._rules.learning_rate if self.__sklearn_is_fitted__() else 0.0
        if not rate:
            raise AttributeError(f"{type(self).__name__} has _optimizer only after a fit, epoch by epoch.")
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            rate = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        return SimpleNamespace(learning_rate=rate)

    # ---- samples

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """Return X, dense or sparse, and y after scikit-learn's checks; reset : whether the fit does not go on"""
        refuse_dates_among_columns(y)
        X, y = self._checked(X, reset, dtype_of(self), y=y, multi_output=True)
        refuse_missing_dates(y)
        return X, dense(y)

    def _checked(self, X: Any, reset: bool, dtype: Any, **others: Any) -> Any:
        with explaining(X, dtype):
            return validate_data(self, X, **others, accept_sparse=["csr", "csc"], dtype=dtype, reset=reset)

    def _held_out(self: Any, validation_data: Any) -> SplitSamples:
        X, y, *given = checked_pair(validation_data)
        X, y = self._validated(X, y, reset=False)
        weights = checked_sample_weights(given[0], X) if given else None
        return SplitSamples(dense(X), y, self._encode(y), weights)

    def _features(self: Any, X: Any) -> Any:
        """Return X validated, dense and in a floating dtype.

        Plain arrays of the right shape and a floating dtype skip scikit-learn's checks.
        """
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype.str[1:] in ("f4", "f8")
        if not plain or len(X) == 0 or X.shape[1] != self.n_features_in_ or "feature_names_in_" in self.__dict__:
            X = dense(self._checked(X, False, self._net().dtype))
        return X


def float_type(X: Any) -> type:
    """Return the dtype of predictions: float32 for X in float32, otherwise float64, as in scikit-learn."""
    return np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
