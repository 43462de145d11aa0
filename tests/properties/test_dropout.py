"""Dropout of nets that are trained layer by layer: with the masks of Philox, on any number of threads."""

from functools import cache
from itertools import product

import kernel_families
import numpy as np
import pytest
from net_cases import reference_of
from reference_random import dropout_mask
from tolerances import TOLERANCES

from fastmlp import MLP, SGD
from fastmlp.execution import thresholds
from fastmlp.kernels.formulas.counter_rng import fit_seed

SIZES, RATES = (5, 7, 19, 6, 2), (0.5, 0.0, 0.2)


@pytest.fixture(autouse=True, params=("layerwise", "layerwise_data_parallel"))
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


HIDDEN = ("tanh", "relu", "gelu"), ("silu", "sigmoid", "elu")
BATCHES = {"a last one that is smaller": (41, 18), "micro-batches": (250, 195)}  # samples, and those of a batch


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("n, size", BATCHES.values(), ids=BATCHES)
def test_training_matches_the_reference_with_the_same_masks(n, size, dtype, threads, rng, monkeypatch):
    """Samples are in order."""
    monkeypatch.setattr(thresholds, "MICRO_BATCH_ROWS", 96)
    X, y = rng.normal(size=(n, 5)), rng.normal(size=(n, 2))
    for names, n_threads in product(HIDDEN, (1, 2)):
        threads(n_threads)
        net = MLP(SIZES, hidden_activation=names, dropout=RATES, dtype=dtype, random_state=8, l2=0.01)
        reference, seed = reference_of(net), fit_seed(net.seed, 0)
        losses = np.zeros(3)
        for step, (epoch, first) in enumerate(product(range(3), range(0, n, size))):
            rows = slice(first, first + size)
            masks = masks_of(*RATES, len(X[rows]), seed, step)
            loss, gradient = reference.loss_and_gradient(X[rows], y[rows], masks=masks)
            penalty = 0.005 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
            losses[epoch] += (loss - penalty) * len(X[rows]) / n
            reference.params -= 0.05 * gradient
        fit = {"batch_size": size, "optimizer": SGD(0.05), "shuffle": False}
        history = net.fit(X, y, epochs=3, verbose=0, **fit)
        tolerance = TOLERANCES["training", dtype]
        np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(history.loss, losses, rtol=tolerance)


@cache
def masks_of(first, second, third, rows, seed, step):
    return [
        dropout_mask(rows, width, rate, seed, step, layer) if rate else np.ones((rows, width))
        for layer, (width, rate) in enumerate(zip(SIZES[1:-1], (first, second, third), strict=True))
    ]


def test_nothing_is_dropped_outside_training(rng):
    plain, dropping = (MLP((3, 20, 2), dropout=rate, random_state=0) for rate in (0.0, 0.5))
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    np.testing.assert_array_equal(plain.predict(X), dropping.predict(X))
    np.testing.assert_array_equal(plain.loss_and_gradient(X, y)[1], dropping.loss_and_gradient(X, y)[1])
    assert plain.evaluate(X, y) == dropping.evaluate(X, y)
