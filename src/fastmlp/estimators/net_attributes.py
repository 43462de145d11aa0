"""Attributes of the net of MLPClassifier and MLPRegressor, by scikit-learn's names: coefs_, intercepts_, _optimizer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import NotFittedError

from ..errors import counted
from ..mlp import MLP


class CurrentRate(NamedTuple):
    learning_rate: float


class NetAttributes:
    """Mixin with the net of an estimator, and with its weights and learning rate."""

    solver: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    net_: Any
    t_: int
    n_nets: int

    def __sklearn_is_fitted__(self) -> bool:
        return "net_" in self.__dict__

    def _net(self) -> Any:
        """Return net_, or raise NotFittedError if there is none."""
        net = self.__dict__.get("net_")
        if net is None:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first.")
        return net

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of each layer, (fan_in, fan_out), as views into net_.params.

        With n_nets > 1: copies, (n_nets, fan_in, fan_out).
        """
        return self._layers("coefs_", "weights")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        if "net_" not in self.__dict__:
            self._given_coefs = values
            return
        self._set_layers("coefs_", self.coefs_, values)

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of each layer, (fan_out,), as views into net_.params; with n_nets > 1 copies, (n_nets, fan_out)."""
        return self._layers("intercepts_", "biases")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        if "net_" not in self.__dict__:
            self._given_intercepts = values
            return
        self._set_layers("intercepts_", self.intercepts_, values)

    def _layers(self, name: str, kind: str) -> list[np.ndarray]:
        net = self.__dict__.get("net_")
        if net is None:
            if (given := self.__dict__.get(f"_given_{name[:-1]}")) is not None:
                return given
            raise AttributeError(f"{type(self).__name__} has {name} only after fit.")
        parts = getattr(net.network.layout, kind)
        if isinstance(net, MLP):
            return parts(net.params)
        return [np.stack(layer) for layer in zip(*map(parts, net.params), strict=True)]

    def _set_layers(self, name: str, views: list[np.ndarray], values: Any) -> None:
        if not isinstance(self.net_, MLP):
            raise AttributeError(f"{name} of several nets are copies: write into net_.params, (n_nets, n_params).")
        for view, value in zip(views, values, strict=True):
            view[...] = value

    def _given_layers(self) -> tuple[Any, Any]:
        """Return coefs_ and intercepts_ as they were set before the first fit, or None, and forget them."""
        return self.__dict__.pop("_given_coefs", None), self.__dict__.pop("_given_intercepts", None)

    @property
    def _optimizer(self) -> CurrentRate:
        """Present learning rate, which programs read from scikit-learn's private attribute of this name."""
        rules = self.__dict__.get("_rules")
        if rules is None:
            raise AttributeError(f"{type(self).__name__} has _optimizer only after a fit of one net, epoch by epoch.")
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            return CurrentRate(self.learning_rate_init / (self.t_ + 1) ** self.power_t)
        return CurrentRate(rules.learning_rate)

    def _params_to_continue(self, sizes: tuple[int, ...]) -> np.ndarray:
        known, n_known = self.net_.network.layer_sizes, getattr(self.net_, "n_nets", 1)
        if known != sizes:
            raise ValueError(
                f"Training goes on with a net of layers {known}, but the settings and data ask for {sizes}. Keep them "
                "as they were, or fit anew with warm_start=False."
            )
        if n_known != self.n_nets:  # another number was set, or an interrupted fit has kept fewer
            raise ValueError(
                f"Training goes on with {counted(n_known, 'net')}, but n_nets is {self.n_nets}. Set n_nets={n_known}, "
                "or fit anew with warm_start=False."
            )
        return self.net_.params.reshape(-1) if self.n_nets == 1 else self.net_.params
