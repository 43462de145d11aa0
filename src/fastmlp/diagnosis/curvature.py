"""Curvature of the loss around a net, from finite differences of gradients, and the best step along the gradient.

Also the longest first step of new nets: a learning rate that is far too high kills or saturates units within some
steps. Afterwards gradient and curvature are zero, so that the net itself no longer shows the cause; a new net of the
same architecture on the same samples does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .model_under_test import ModelUnderTest, sample_rows
from .training_settings import SIGN_LIKE, TrainingSettings

STEPS = 10.0 ** np.arange(-5.0, 4.0, 0.5)  # learning rates that are tried
DIFFERENCE = 1e-4  # finite-difference step per parameter, relative to the root mean square of the parameters
FLOPS = 4e8  # largest cost of one gradient; limits the number of samples
SAMPLE_LIMITS = (48, 800)  # smallest and largest limit on the number of samples
STARTS = 3  # number of new nets; the median of them is taken
LARGEST_BIAS = 0.1  # of a new net
NEW_NET_ROWS = 256  # largest number of samples for new nets
NEW_NET_ITERATIONS = 8  # Lanczos iterations, enough for the largest eigenvalue within some per cent
LENGTHS = 10.0 ** np.arange(-6.0, 3.0, 0.125)  # lengths of first steps that are tried


@np.errstate(all="ignore")  # exploded nets are measured too
def measure_curvature(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, n_iterations: int) -> dict[str, np.ndarray]:
    """Measure the loss around each net, (n_nets,) each.

    gradient : norm of the gradient
    largest_curvature, smallest_curvature : eigenvalues of the Hessian
    best_step, best_gain : learning rate whose single descent step lowers the loss most, and by how much
    safe_step, safe_gain : learning rate that suits the largest curvature, 1 / |largest|, and the decrease in one step

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    n_iterations : number of Lanczos iterations
    """
    max_samples = int(np.clip(FLOPS / (6.0 * max(1, model.params.shape[1])), *SAMPLE_LIMITS))
    rows = sample_rows(len(X), max_samples)
    X, Y = X[rows], Y[rows]
    gradient, product = model.gradient(X, Y), hessian_product(model, X, Y)
    norm = np.linalg.norm(gradient, axis=1)
    smallest, largest = extreme_curvatures(product, gradient, n_iterations)
    before = model.objective(X, Y, model.params)
    gain_of = lambda step: before - model.objective(X, Y, model.params - step[:, None] * gradient)
    gains = np.stack([np.nan_to_num(gain_of(np.full(len(norm), step)), nan=-np.inf) for step in STEPS])
    best_gain, safe_step = gains.max(axis=0), 1.0 / np.maximum(np.abs(largest), 1e-12)
    return {
        "gradient": norm,
        "largest_curvature": largest,
        "smallest_curvature": smallest,
        "best_step": np.where(best_gain > 0, STEPS[gains.argmax(axis=0)], np.nan),
        "best_gain": np.maximum(best_gain, 0.0),
        "safe_step": safe_step,
        "safe_gain": np.maximum(gain_of(np.minimum(safe_step, 1e12)), 0.0),
    }


def hessian_product(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function v -> Hessian-vector products at the parameters of a model, both (n_nets, n_params).

    The products are (g(p + h v) - g(p - h v)) / 2h (Pearlmutter 1994, eq. 3).
    """
    params = model.params
    size = np.sqrt((params * params).mean(axis=1, keepdims=True))
    h = np.maximum(size, 1e-3) * DIFFERENCE * np.sqrt(params.shape[1])
    return lambda v: (model.gradient(X, Y, params + h * v) - model.gradient(X, Y, params - h * v)) / (2.0 * h)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)


def extreme_curvatures(
    product: Callable[[np.ndarray], np.ndarray], gradient: np.ndarray, n_iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (smallest, largest) eigenvalue of the Hessian, (n_nets,) each.

    Lanczos iteration (Lanczos 1950) with full reorthogonalisation.

    product : function v -> Hessian-vector products, both (n_nets, n_params)
    gradient : (n_nets, n_params) gradient, near which the search begins
    """
    n_nets, n_params = gradient.shape
    noise = np.random.default_rng(2).normal(size=(1, n_params))
    m = min(n_iterations, n_params)
    basis, T = [_unit(_unit(gradient) + 0.5 * _unit(noise))], np.zeros((n_nets, m, m))
    for k in range(m):
        image = product(basis[k])
        T[:, k, k] = (basis[k] * image).sum(axis=1)
        for _ in range(2):  # orthogonalising twice is enough (Kahan and Parlett)
            for vector in basis:
                image = image - (image * vector).sum(axis=1, keepdims=True) * vector
        if k + 1 < m:
            T[:, k, k + 1] = T[:, k + 1, k] = np.linalg.norm(image, axis=1)
            basis.append(_unit(image))
    values, is_finite = np.full((n_nets, m), np.nan), np.isfinite(T).all(axis=(1, 2))
    values[is_finite] = np.linalg.eigvalsh(T[is_finite])
    return values[:, 0], values[:, -1]


@np.errstate(all="ignore")  # inputs may be of any scale
def longest_first_step(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray, settings: TrainingSettings) -> float:
    """Return the learning rate above which the first step of a new net by the update rule of the training raises its
    loss; NaN if unknown.

    Of gradient descent that is 2 / largest curvature. Of rules such as Adam, whose first step has the same length for
    every parameter, it is the longest of LENGTHS up to which a step along the gradient's signs lowers the loss.

    X : (n_samples, n_features)
    Y : (n_samples, n_outputs)
    """
    if not model.has_weights or not (settings.is_plain_descent or settings.rule in SIGN_LIKE):
        return np.nan
    rows = sample_rows(len(X), NEW_NET_ROWS)
    X, Y = X[rows], Y[rows]
    params, rng = np.empty((STARTS, model.params.shape[1])), np.random.default_rng(8)
    for W, b in model.layers(params):
        W[:] = rng.uniform(-1.0, 1.0, size=W.shape) * np.sqrt(6.0 / sum(W.shape[1:]))
        # Without biases, inputs of zeros are at the kink of relu, where finite differences are no curvature.
        b[:] = rng.uniform(-LARGEST_BIAS, LARGEST_BIAS, size=b.shape)
    new = replace(model, params=params, l2=0.0, dropout=0.0)
    gradient = new.gradient(X, Y)
    if settings.is_plain_descent:
        _, largest = extreme_curvatures(hessian_product(new, X, Y), gradient, NEW_NET_ITERATIONS)
        longest = 2.0 / np.maximum(largest, 1e-300)
    else:
        before = new.objective(X, Y, params)
        after = np.stack([new.objective(X, Y, params - length * np.sign(gradient)) for length in LENGTHS])
        lowers = np.logical_and.accumulate(after < before, axis=0).sum(axis=0)
        longest = np.where(lowers > 0, LENGTHS[np.maximum(lowers - 1, 0)], np.nan)
    finite = longest[np.isfinite(longest)]
    return float(np.median(finite)) if len(finite) else np.nan
