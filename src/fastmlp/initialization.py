"""First parameters, drawn on the host in float64 so that every device and dtype starts equal.

A name draws weights and leaves biases at zero. The objects Uniform and Normal draw weights and biases alike, as the
classic experiments did. Bounds and deviations: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998, Saxe et al.
2014.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .errors import checked_number, unknown_name
from .kernels.activations import ACTIVATIONS
from .network import Network


@dataclass(frozen=True)
class Uniform:
    """Weights and biases from U(low, high)."""

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        checked_number("low", self.low)
        checked_number("high", self.high, self.low)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class Normal:
    """Weights and biases from N(0, std**2)."""

    std: float = 1.0

    def __post_init__(self):
        checked_number("std", self.std, 0.0)

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(0.0, self.std, shape)


def _uniform(bound: Callable[[int, int], float]):
    return lambda rng, i, j: rng.uniform(-bound(i, j), bound(i, j), (i, j))


def _normal(std: Callable[[int, int], float]):
    return lambda rng, i, j: rng.normal(0.0, std(i, j), (i, j))


def _orthogonal(rng: np.random.Generator, i: int, j: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(max(i, j), min(i, j))))
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices (Mezzadri 2007)
    return q if i >= j else q.T


INITIALIZERS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "glorot_uniform": _uniform(lambda i, j: sqrt(6.0 / (i + j))),
    "glorot_normal": _normal(lambda i, j: sqrt(2.0 / (i + j))),
    "he_uniform": _uniform(lambda i, j: sqrt(6.0 / i)),
    "he_normal": _normal(lambda i, j: sqrt(2.0 / i)),
    "lecun_normal": _normal(lambda i, j: sqrt(1.0 / i)),
    "lecun_uniform": _uniform(lambda i, j: sqrt(3.0 / i)),
    "orthogonal": _orthogonal,
    "zeros": lambda rng, i, j: np.zeros((i, j)),
}
OBJECTS = {"Uniform": Uniform, "Normal": Normal}


def check_init(init: Any) -> None:
    """
    Raises
    ------
    ValueError
        If `init` is neither "auto", nor a name, nor an object.
    """
    named = isinstance(init, str) and init in ("auto", *INITIALIZERS)
    if not named and not isinstance(init, (Uniform, Normal)):
        raise unknown_name("init", init, ("auto", *INITIALIZERS, "Uniform(low, high)", "Normal(std)"))


def draw_params(network: Network, init: Any, rng: np.random.Generator) -> np.ndarray:
    """First parameters, float64 (n_params,). "auto" suits each layer's activation: see ACTIVATIONS in kernels."""
    params = np.zeros(network.layout.n_params)
    layers = zip(network.layout.weights(params), network.layout.biases(params), network.activation_codes, strict=True)
    for W, b, activation in layers:
        if isinstance(init, (Uniform, Normal)):
            W[:], b[:] = init.draw(rng, W.shape), init.draw(rng, b.shape)
        else:
            name = ACTIVATIONS[activation].init if init == "auto" else init
            W[:] = INITIALIZERS[name](rng, *W.shape)
    return params
