"""Loss landscape around a net: best step along the gradient, and curvature from finite differences of gradients."""

from __future__ import annotations

from typing import NamedTuple

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


@np.errstate(all="ignore")  # exploded nets are measured too
def measure_landscape(
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, n_iterations: int, stride: int = 1
) -> Landscape:
    """Measure the loss landscape around each net.

    Hessian-vector products are (g(p + h v) - g(p - h v)) / 2h (Pearlmutter 1994, eq. 3).

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    n_iterations : number of Lanczos iterations
    stride : the line search tries every stride-th of STEPS
    """
    max_samples = int(np.clip(FLOPS / (6.0 * max(1, model.params.shape[1])), *SAMPLE_LIMITS))
    if len(X) > max_samples:
        chosen = np.sort(np.random.default_rng(1).choice(len(X), max_samples, replace=False))
        X, Y = X[chosen], Y[chosen]
    params = model.params
    gradient = model.gradient(X, Y)
    norm = np.linalg.norm(gradient, axis=1)
    size = np.sqrt((params * params).mean(axis=1, keepdims=True))
    scale = np.maximum(size, 1e-3) * DIFFERENCE

    def product(v: np.ndarray) -> np.ndarray:
        h = scale * np.sqrt(params.shape[1])
        return (model.gradient(X, Y, params + h * v) - model.gradient(X, Y, params - h * v)) / (2.0 * h)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        start = _unit(gradient)
        curvature = (start * product(start)).sum(axis=1)
        noise = np.random.default_rng(2).normal(size=(1, params.shape[1]))
        if model.frozen is not None:
            noise[:, model.frozen] = 0.0
        noise = _unit(noise)
        smallest, largest = _extremes(product, _unit(start + 0.5 * noise), n_iterations)
        loss_before = model.objective(X, Y, params)
        best_step, best_gain = _line_search(model, X, Y, gradient, loss_before, STEPS[::stride])
        safe_step = 1.0 / np.maximum(np.abs(largest), 1e-12)
        loss_after = model.objective(X, Y, params - np.minimum(safe_step, 1e12)[:, None] * gradient)
    return Landscape(
        norm, curvature, largest, smallest, best_step, best_gain, safe_step, np.maximum(loss_before - loss_after, 0.0)
    )


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)


def _extremes(product, v: np.ndarray, n_iterations: int) -> tuple[np.ndarray, np.ndarray]:
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
    model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, gradient: np.ndarray, loss_before: np.ndarray, steps
):
    losses_after = np.stack([model.objective(X, Y, model.params - step * gradient) for step in steps])
    losses_after = np.where(np.isfinite(losses_after), losses_after, np.inf)
    best = losses_after.argmin(axis=0)
    gain = loss_before - losses_after[best, np.arange(len(loss_before))]
    return np.where(gain > 0, steps[best], np.nan), np.maximum(gain, 0.0)
