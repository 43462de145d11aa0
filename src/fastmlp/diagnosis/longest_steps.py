"""Longest steps: how long the first step of a new net may be before it raises the loss.

A learning rate that is far too high kills or saturates units within some steps. Afterwards gradient and curvature are
zero, so that the net itself no longer shows the cause; a new net of the same architecture on the same samples does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .curvature import extreme_curvatures, hessian_product
from .model_under_test import ModelUnderTest
from .sample_rows import sample_rows

STARTS = 3  # number of new nets; the median of them is taken
LARGEST_BIAS = 0.1
MAX_ROWS = 256  # largest number of samples
ITERATIONS = 8  # Lanczos iterations, enough for the largest eigenvalue within some per cent
LENGTHS = 10.0 ** np.arange(-6.0, 3.0, 0.125)  # lengths of steps that are tried


class LongestSteps(NamedTuple):
    """Learning rates above which the first step of a new net raises its loss; NaN if unknown."""

    descent: float  # of gradient descent: 2 / largest curvature
    sign: float  # of rules whose first step has the same length for every parameter, such as Adam


UNKNOWN_STEPS = LongestSteps(np.nan, np.nan)


@np.errstate(all="ignore")  # inputs may be of any scale
def longest_steps(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> LongestSteps:
    """Measure the longest steps of new nets with the architecture and the loss of a model.

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    """
    if not model.has_weights:
        return UNKNOWN_STEPS
    rows = sample_rows(len(X), MAX_ROWS)
    X, Y = X[rows], Y[rows]
    params = np.empty((STARTS, model.params.shape[1]))
    rng = np.random.default_rng(8)
    for W, b in model.layers(params):
        W[:] = rng.uniform(-1.0, 1.0, size=W.shape) * np.sqrt(6.0 / sum(W.shape[1:]))
        # Without biases, inputs of zeros are at the kink of relu, where finite differences are no curvature.
        b[:] = rng.uniform(-LARGEST_BIAS, LARGEST_BIAS, size=b.shape)
    new = replace(model, params=params, l2=0.0, dropout=0.0)
    gradient = new.gradient(X, Y)
    _, largest = extreme_curvatures(hessian_product(new, X, Y), gradient, ITERATIONS)
    return LongestSteps(_median(2.0 / np.maximum(largest, 1e-300)), _median(_longest_sign_step(new, X, Y, gradient)))


def _longest_sign_step(new: ModelUnderTest, X: np.ndarray, Y: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the longest of LENGTHS up to which a step along the gradient's signs lowers the loss, (n_nets,)."""
    before = new.objective(X, Y, new.params)
    after = np.stack([new.objective(X, Y, new.params - length * np.sign(gradient)) for length in LENGTHS])
    lowers = np.logical_and.accumulate(after < before, axis=0).sum(axis=0)
    return np.where(lowers > 0, LENGTHS[np.maximum(lowers - 1, 0)], np.nan)


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan
