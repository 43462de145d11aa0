"""Conventions of scikit-learn's MLPs: names, factors of losses, and the schedule "invscaling".

The estimators follow sklearn.neural_network 1.9. With B samples in a batch, its objective is a sum over outputs, with
a factor of one half before squares, plus the penalty alpha / (2 B) times the sum of squared weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

FASTMLP_ACTIVATION = {"logistic": "sigmoid"}  # scikit-learn's name -> ours
SKLEARN_OUTPUT = {"sigmoid": "logistic", "exponential": "exp"}  # our name -> scikit-learn's


class Scale(NamedTuple):
    """Factors that convert a loss of MLP (a mean over outputs, without one half) to scikit-learn's."""

    objective: float  # to the objective that is minimised
    reported: float  # to the loss in loss_ and loss_curve_


def scale_of(loss: str, n_outputs: int) -> Scale:
    """Return the factors from a loss of MLP to scikit-learn's.

    >>> scale_of("squared_error", 3)
    Scale(objective=1.5, reported=0.5)
    """
    if loss == "softmax_cross_entropy":
        return Scale(1.0, 1.0)
    if loss in ("squared_error", "huber"):
        return Scale(0.5 * n_outputs, 0.5)
    if loss in ("binary_cross_entropy", "poisson"):
        return Scale(float(n_outputs), float(n_outputs))
    return Scale(float(n_outputs), 1.0)


def poisson_constant(y: np.ndarray, sample_weight: np.ndarray | None) -> float:
    """Return the constant that scikit-learn's Poisson loss has and that of MLP lacks.

    The constant is the mean over samples of y log(y) - y, summed over outputs.

    y : (n_samples, n_outputs)
    sample_weight : (n_samples,) weights of the mean, or None
    """
    from scipy.special import xlogy

    return float(np.average(xlogy(y, y) - y, weights=sample_weight, axis=0).sum())


def inverse_scaling(
    power: float, n_batches: int, n_samples: int, seen: int, continues: bool
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return scikit-learn's schedule "invscaling": factors 1 / (t + 1) ** power on the learning rate.

    t is the number of samples seen by the end of the previous epoch.

    power : power_t of the estimator
    n_batches, n_samples : number of batches and of samples in an epoch
    seen : number of samples seen before this fit
    continues : whether the optimiser state continues too. If not, the factor is 1 in the first epoch.
    """

    def factors(steps: np.ndarray, n_steps: int) -> np.ndarray:
        epochs = steps // n_batches
        falling = (seen + epochs * n_samples + 1.0) ** -power
        return np.where((epochs == 0) & (not continues), 1.0, falling)

    return factors
