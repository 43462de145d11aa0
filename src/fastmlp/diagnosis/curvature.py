"""Curvature of the loss around a net, from finite differences of gradients, and the best step along the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .model_under_test import ModelUnderTest

STEPS = 10.0 ** np.arange(-5.0, 4.0, 0.5)  # learning rates that are tried
DIFFERENCE = 1e-4  # finite-difference step per parameter, relative to the root mean square of the parameters
FLOPS = 4e8  # largest cost of one gradient; limits the number of samples
SAMPLE_LIMITS = (48, 800)  # smallest and largest limit on the number of samples


class Landscape(NamedTuple):
    """Measurements of the loss landscape: arrays (n_nets,)."""

    gradient: np.ndarray  # norm of the gradient
    curvature: np.ndarray  # second derivative along the gradient
    largest: np.ndarray  # largest eigenvalue of the Hessian
    smallest: np.ndarray  # smallest eigenvalue of the Hessian
    best_step: np.ndarray  # learning rate whose single descent step lowers the loss most
    best_gain: np.ndarray  # decrease of the loss in that step
    safe_step: np.ndarray  # learning rate that suits the largest curvature, 1 / |largest|
    safe_gain: np.ndarray  # decrease of the loss in one step with safe_step
    used_gain: np.ndarray  # decrease in one descent step with the learning rate of the training; NaN if unknown


@np.errstate(all="ignore")  # exploded nets are measured too
def measure_landscape(
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, n_iterations: int, stride: int = 1, used_rate: Any = np.nan
) -> Landscape:
    """Measure the loss landscape around each net.

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    n_iterations : number of Lanczos iterations
    stride : 1 or 2; the line search tries every stride-th of STEPS, and with 2 the neighbours of the best of them
    used_rate : learning rate of the training, a number or (n_nets,); NaN if unknown
    """
    max_samples = int(np.clip(FLOPS / (6.0 * max(1, model.params.shape[1])), *SAMPLE_LIMITS))
    if len(X) > max_samples:
        chosen = np.sort(np.random.default_rng(1).choice(len(X), max_samples, replace=False))
        X, Y = X[chosen], Y[chosen]
    params = model.params
    gradient = model.gradient(X, Y)
    norm = np.linalg.norm(gradient, axis=1)
    product = hessian_product(model, X, Y)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        start = _unit(gradient)
        curvature = (start * product(start)).sum(axis=1)
        smallest, largest = extreme_curvatures(product, gradient, n_iterations)
        loss_before = model.objective(X, Y, params)
        best_step, best_gain = _line_search(model, X, Y, gradient, loss_before, stride)
        safe_step = 1.0 / np.maximum(np.abs(largest), 1e-12)
        gain_of = lambda step: loss_before - model.objective(X, Y, params - step[:, None] * gradient)
        safe_gain = np.maximum(gain_of(np.minimum(safe_step, 1e12)), 0.0)
        used_gain = gain_of(np.broadcast_to(np.asarray(used_rate, np.float64), norm.shape))
    return Landscape(norm, curvature, largest, smallest, best_step, best_gain, safe_step, safe_gain, used_gain)


def hessian_product(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function v -> Hessian-vector products at the parameters of a model, both (n_nets, n_params).

    The products are (g(p + h v) - g(p - h v)) / 2h (Pearlmutter 1994, eq. 3).
    """
    params = model.params
    size = np.sqrt((params * params).mean(axis=1, keepdims=True))
    h = np.maximum(size, 1e-3) * DIFFERENCE * np.sqrt(params.shape[1])
    return lambda v: (model.gradient(X, Y, params + h * v) - model.gradient(X, Y, params - h * v)) / (2.0 * h)


def extreme_curvatures(
    product: Callable[[np.ndarray], np.ndarray], gradient: np.ndarray, n_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (smallest, largest) eigenvalue of the Hessian, (n_nets,) each.

    product : function v -> Hessian-vector products, both (n_nets, n_params)
    gradient : (n_nets, n_params) gradient, near which the search begins
    """
    noise = np.random.default_rng(2).normal(size=(1, gradient.shape[1]))
    return _extremes(product, _unit(_unit(gradient) + 0.5 * _unit(noise)), n_iterations)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)


def _extremes(
    product: Callable[[np.ndarray], np.ndarray], v: np.ndarray, n_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (smallest, largest) eigenvalue of the Hessian, (n_nets,) each.

    Lanczos iteration (Lanczos 1950) with full reorthogonalisation.

    product : function v -> Hessian-vector products, both (n_nets, n_params)
    v : (n_nets, n_params) initial vectors of length 1
    """
    n_nets, n_params = v.shape
    m = min(n_iterations, n_params)
    basis, T = [v], np.zeros((n_nets, m, m))
    for k in range(m):
        image = product(basis[k])
        T[:, k, k] = (basis[k] * image).sum(axis=1)
        for _ in range(2):  # orthogonalising twice is enough (Kahan and Parlett)
            for vector in basis:
                image = image - (image * vector).sum(axis=1, keepdims=True) * vector
        if k + 1 < m:
            T[:, k, k + 1] = T[:, k + 1, k] = np.linalg.norm(image, axis=1)
            basis.append(_unit(image))
    values = np.full((n_nets, m), np.nan)
    known = np.isfinite(T).all(axis=(1, 2))
    values[known] = np.linalg.eigvalsh(T[known])
    return values[:, 0], values[:, -1]


def _line_search(
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, gradient: np.ndarray, loss_before: np.ndarray, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (the step of STEPS that lowers the loss most, by how much it does), (n_nets,) each.

    stride : with 2, every second step is tried, and the neighbours of the best of them
    """

    def losses_after(steps: np.ndarray) -> np.ndarray:
        losses = model.objective(X, Y, model.params - steps[:, None] * gradient)
        return np.where(np.isfinite(losses), losses, np.inf)

    numbers, nets = np.arange(0, len(STEPS), stride), np.arange(len(loss_before))
    tried = np.broadcast_to(numbers[:, None], (len(numbers), len(nets)))
    losses = np.stack([losses_after(STEPS[row]) for row in tried])
    if stride > 1:
        best = tried[losses.argmin(axis=0), nets]
        neighbours = np.clip(np.stack([best - 1, best + 1]), 0, len(STEPS) - 1)
        tried = np.concatenate([tried, neighbours])
        losses = np.concatenate([losses, np.stack([losses_after(STEPS[row]) for row in neighbours])])
    best_row = losses.argmin(axis=0)
    gain = loss_before - losses[best_row, nets]
    return np.where(gain > 0, STEPS[tried[best_row, nets]], np.nan), np.maximum(gain, 0.0)
