"""Central differences: derivatives of a loss with respect to some entries of arrays, for check_gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STEPS = (6e-6,)  # cube root of the float64 precision: balances rounding and truncation errors
# Of losses in float32. Short ones are spoilt by rounding, long ones by units of a net that cross the kink of relu.
SINGLE_STEPS = (1e-4, 3e-4, 1e-3, 3e-3)

LossOfArrays = Callable[[list[np.ndarray]], float]
Steps = tuple[float, ...]  # of central differences, relative to an entry of at least 1


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


def central_differences(
    loss: LossOfArrays, arrays: list[np.ndarray], gradients: list[np.ndarray], max_entries: int, steps: Steps
) -> list[Derivatives]:
    """Return the derivatives of each array, of up to max_entries entries that are drawn at random.

    gradients : given ones, to which that of several steps is the nearest whose derivative is returned
    """
    rng, found = np.random.default_rng(0), []
    for k, array in enumerate(arrays):
        entries = np.arange(array.size)
        if array.size > max_entries:
            entries = np.sort(rng.choice(array.size, max_entries, replace=False))
        given = gradients[k].reshape(-1)
        values = [_derivative(loss, arrays, k, int(i), float(given[i]), steps) for i in entries]
        found.append(Derivatives(entries, np.array(values)))
    return found


def _derivative(loss: LossOfArrays, arrays: list[np.ndarray], k: int, i: int, given: float, steps: Steps) -> float:
    """Return the derivative with respect to entry i of array k: of several steps, that nearest to a given value."""
    found = [_central_difference(loss, arrays, k, i, step) for step in steps]
    return min(found, key=lambda value: abs(value - given))


def _central_difference(loss: LossOfArrays, arrays: list[np.ndarray], k: int, i: int, step: float) -> float:
    """Return the central difference of the loss with respect to entry i of array k."""
    flat, value = arrays[k].reshape(-1), arrays[k].reshape(-1)[i]
    h = step * max(1.0, abs(value))
    flat[i] = value + h
    above = loss(arrays)
    flat[i] = value - h
    below = loss(arrays)
    flat[i] = value
    return (above - below) / (2.0 * h)
