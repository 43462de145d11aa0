"""Convergence without a rule: nets count as converged if they classify every sample correctly at the end."""

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

from fastmlp import SGD, Adam, EarlyStopping, Population
from fastmlp.kernels.structs import FULL_ACCURACY

WEIGHTS = np.array([1.0, 0.5, 3.0, 0.0])
THREE_CLASSES = np.array([0, 1, 2, 1])


def population(sizes, n_nets, **settings):
    loss = "softmax_cross_entropy" if sizes[-1] > 1 else "binary_cross_entropy"
    settings = {"loss": loss, "hidden_activation": "tanh", "random_state": 1, "device": "cpu", **settings}
    return Population(sizes, n_nets, **settings)


FITS = {  # sizes, settings of the population, arguments of fit
    "weights": ((2, 3, 1), {}, {"sample_weight": WEIGHTS}),
    "classes": ((2, 3, 3), {}, {}),
    "batches": ((2, 3, 1), {}, {"batch_size": 3, "shuffle": False}),
    "shuffled batches": ((2, 3, 1), {}, {"batch_size": 2}),
    "penalty": ((2, 3, 1), {"l2": 1e-3}, {}),
    "dropout": ((2, 3, 1), {"dropout": 0.1}, {}),
    "stops early": ((2, 3, 1), {}, {"early_stopping": EarlyStopping(3, "loss", 1e-2)}),
    "lanes": ((2, 12, 1), {}, {}),
    "float64": ((2, 12, 1), {"dtype": "float64"}, {}),
    "unrolled": ((2, 2, 1), {}, {}),
    "one by one": ((2, 300, 1), {}, {}),
}


@pytest.mark.parametrize("rows", (4, 90))
@pytest.mark.parametrize("fit", FITS)
def test_final_accuracy_equals_an_evaluation_after_training(fit, rows):
    sizes, settings, options = FITS[fit]
    X, y = np.resize(XOR_X, (rows, 2)), np.resize(THREE_CLASSES if sizes[-1] == 3 else XOR_Y, rows)
    weight = np.resize(WEIGHTS, rows) if "sample_weight" in options else None
    pop = population(sizes, 70, **settings)
    given = {"epochs": 40, "optimizer": Adam(np.geomspace(1e-3, 0.3, 70)), "verbose": 0, **options}
    result = pop.fit(X, y, **given | {"sample_weight": weight})
    found = pop.evaluate(X, y, sample_weight=weight)["accuracy"] >= FULL_ACCURACY
    np.testing.assert_array_equal(result.converged, found)
    assert 0 < result.n_converged < 70


@pytest.mark.parametrize("y", [XOR_Y, np.random.default_rng(0).integers(0, 2, (300, 4))], ids=["shared", "of each net"])
def test_the_last_step_counts(y):
    """Its records are those before it, and it changes the accuracy of some nets."""
    pop = population((2, 2, 1), 300)
    result = pop.fit(XOR_X, y, epochs=15, optimizer=SGD(np.geomspace(1.0, 8.0, 300)), verbose=0)
    expected = pop.evaluate(XOR_X, y)["accuracy"] >= FULL_ACCURACY
    np.testing.assert_array_equal(result.converged, expected)
    assert (expected != (result.accuracy >= FULL_ACCURACY)).any()
