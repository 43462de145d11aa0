"""Dropout of nets that are trained layer by layer: with the masks of Philox, on any number of threads."""

from itertools import product

import kernel_families
import numpy as np
import pytest
from net_cases import reference_of
from reference_random import dropout_mask
from tolerances import TOLERANCES

from fastmlp import MLP, SGD
from fastmlp.kernels.formulas.net_seeds import fit_seed
from fastmlp.schedules import Constant, FlatCosine

SIZES, RATES = (5, 7, 19, 6, 2), (0.5, 0.0, 0.2)


@pytest.fixture(autouse=True, params=("layerwise", "layerwise_data_parallel"))
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_training_matches_the_reference_with_the_same_masks(dtype, threads, rng):
    """Samples are in order, the last batch is smaller, and a schedule may change the rates."""
    X, y = rng.normal(size=(41, 5)), rng.normal(size=(41, 2))
    hidden = ("tanh", "relu", "gelu"), ("silu", "sigmoid", "elu")
    for names, schedule, n_threads in product(hidden, (Constant(), FlatCosine(0.2)), (1, 2)):
        threads(n_threads)
        net = MLP(SIZES, hidden_activation=names, dropout=RATES, dtype=dtype, random_state=8, l2=0.01)
        reference, seed, factors = reference_of(net), fit_seed(net.seed, 0), schedule.factors(np.arange(9), 9)
        losses = np.zeros(3)
        for step in range(9):
            rows = slice(step % 3 * 18, step % 3 * 18 + 18)
            masks = masks_of(np.multiply(RATES, factors[step]), len(X[rows]), seed, step)
            loss, gradient = reference.loss_and_gradient(X[rows], y[rows], masks=masks)
            penalty = 0.005 * sum(np.sum(W * W) for W, _ in reference.layers(reference.params))
            losses[step // 3] += (loss - penalty) * len(X[rows]) / 41
            reference.params -= 0.05 * gradient
        fit = {"epochs": 3, "batch_size": 18, "optimizer": SGD(0.05), "dropout_schedule": schedule, "shuffle": False}
        history = net.fit(X, y, **fit, verbose=0)
        tolerance = TOLERANCES["training", dtype]
        np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(history.loss, losses, rtol=tolerance)


def masks_of(rates, rows, seed, step):
    return [
        dropout_mask(rows, width, rate, seed, step, layer) if rate else np.ones((rows, width))
        for layer, (width, rate) in enumerate(zip(SIZES[1:-1], rates, strict=True))
    ]


def test_nothing_is_dropped_outside_training(rng):
    plain, dropping = (MLP((3, 20, 2), dropout=rate, random_state=0) for rate in (0.0, 0.5))
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    np.testing.assert_array_equal(plain.predict(X), dropping.predict(X))
    np.testing.assert_array_equal(plain.loss_and_gradient(X, y)[1], dropping.loss_and_gradient(X, y)[1])
    assert plain.evaluate(X, y) == dropping.evaluate(X, y)
