"""Central differences: derivatives of a loss with respect to some entries of arrays, for check_gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STEP = 6e-6  # relative to an entry of at least 1; cube root of the precision: balances rounding and truncation errors

LossOfArrays = Callable[[list[np.ndarray]], float]


def loss_function(loss_and_gradient: Callable[[Any], tuple[float, Any]], rebuild: Callable) -> LossOfArrays:
    """Return the loss as a function of the arrays, of which it gets copies."""

    def loss_of(arrays: list[np.ndarray]) -> float:
        loss = loss_and_gradient(rebuild([array.copy() for array in arrays]))[0]
        if np.ndim(loss) and np.size(loss) != 1:
            raise ValueError(f"loss_and_gradient must return (loss, gradient), a number first, but it is {loss!r}.")
        return float(np.asarray(loss).reshape(-1)[0])

    return loss_of


class Derivatives(NamedTuple):
    """True derivatives of the loss with respect to some entries of one array."""

    entries: np.ndarray  # (n,), indices into the flat array
    values: np.ndarray  # (n,)

    @property
    def largest(self) -> float:
        return float(np.abs(self.values).max(initial=0.0))


def central_differences(loss: LossOfArrays, arrays: list[np.ndarray], max_entries: int) -> list[Derivatives]:
    """Return the derivatives of each array, of up to max_entries entries that are drawn at random."""
    rng, found = np.random.default_rng(0), []
    for array in arrays:
        entries = np.arange(array.size)
        if array.size > max_entries:
            entries = np.sort(rng.choice(array.size, max_entries, replace=False))
        found.append(
            Derivatives(entries, np.array([_central_difference(loss, arrays, array, int(i)) for i in entries]))
        )
    return found


def _central_difference(loss: LossOfArrays, arrays: list[np.ndarray], array: np.ndarray, i: int) -> float:
    """Return the central difference of the loss with respect to entry i of one of the arrays."""
    flat = array.reshape(-1)
    value = flat[i]
    h = STEP * max(1.0, abs(value))
    flat[i] = value + h
    above = loss(arrays)
    flat[i] = value - h
    below = loss(arrays)
    flat[i] = value
    return (above - below) / (2.0 * h)
