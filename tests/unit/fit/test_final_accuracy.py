"""Convergence without a rule: nets count as converged if they classify every sample correctly at the end."""

import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import Population
from fastmlp.kernels.structs import FULL_ACCURACY
from fastmlp.nets import nets_evaluation

WEIGHTS = np.array([1.0, 0.5, 3.0, 0.0])
THREE_CLASSES = np.array([0, 1, 2, 1])


@pytest.fixture
def evaluated(monkeypatch):
    """Numbers of nets in each evaluation after training."""
    found = []

    def count_evaluated(network, device, params, data, strides, members):
        found.append(len(members))
        return real(network, device, params, data, strides, members)

    real = nets_evaluation.evaluate_nets
    monkeypatch.setattr(nets_evaluation, "evaluate_nets", count_evaluated)
    return found


def population(sizes, n_nets, **settings):
    loss = "softmax_cross_entropy" if sizes[-1] > 1 else "binary_cross_entropy"
    settings = {"loss": loss, "hidden_activation": "tanh", "random_state": 1, "device": "cpu", **settings}
    return Population(sizes, n_nets, **settings)


@pytest.mark.thinned(16)
@pytest.mark.parametrize("n_nets", (16, 33, 100, 300))
@pytest.mark.parametrize("optimizer", ("sgd", "adam", "rprop", "quickprop"))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.slow
def test_unrolled_kernels_report_final_accuracy_without_another_pass(evaluated, n_nets, optimizer, dtype):
    pop = population((2, 2, 1), n_nets, dtype=dtype)
    rates = np.geomspace(1.0, 8.0, n_nets)
    setting = {"sgd": fastmlp.SGD(rates), "adam": fastmlp.Adam(rates / 8)}.get(optimizer, optimizer)
    result = pop.fit(XOR_X, XOR_Y, epochs=15, optimizer=setting, verbose=0)
    assert evaluated == []
    expected = pop.evaluate(XOR_X, XOR_Y)["accuracy"] >= FULL_ACCURACY
    np.testing.assert_array_equal(result.converged, expected)
    assert result.n_converged < n_nets
    if n_nets == 300:
        assert (expected != (result.accuracy >= FULL_ACCURACY)).any(), (
            "no net's accuracy changes in the last step, so that this test shows nothing"
        )


# Sizes, settings of the population, settings of the fit.
FITS = {
    "weights": ((2, 3, 1), {}, {"sample_weight": WEIGHTS}),
    "classes": ((2, 3, 3), {}, {}),
    "batches": ((2, 3, 1), {}, {"batch_size": 3, "shuffle": False}),
    "shuffled batches": ((2, 3, 1), {}, {"batch_size": 2}),
    "penalty": ((2, 3, 1), {"l2": 1e-3}, {}),
    "dropout": ((2, 3, 1), {"dropout": 0.1}, {}),
    "stops early": ((2, 3, 1), {}, {"early_stopping": fastmlp.EarlyStopping(3, "loss", 1e-2)}),
    "lanes": ((2, 12, 1), {}, {}),
    "one by one": ((2, 300, 1), {}, {}),
}


@pytest.mark.thinned(3)
@pytest.mark.parametrize("rows", (4, 90))
@pytest.mark.parametrize("fit", FITS)
def test_final_accuracy_equals_an_evaluation_after_training(fit, rows):
    sizes, settings, options = FITS[fit]
    X, y = np.resize(XOR_X, (rows, 2)), np.resize(THREE_CLASSES if sizes[-1] == 3 else XOR_Y, rows)
    weight = np.resize(WEIGHTS, rows) if "sample_weight" in options else None
    pop = population(sizes, 70, **settings)
    result = pop.fit(
        X,
        y,
        epochs=40,
        optimizer=fastmlp.Adam(np.geomspace(1e-3, 0.3, 70)),
        verbose=0,
        **{**options, "sample_weight": weight},
    )
    found = pop.evaluate(X, y, sample_weight=weight)["accuracy"] >= FULL_ACCURACY
    np.testing.assert_array_equal(result.converged, found)
    assert 0 < result.n_converged < 70


def test_final_accuracy_with_targets_per_net_equals_an_evaluation():
    y = np.random.default_rng(0).integers(0, 2, (100, 4)).astype(np.float32)
    pop = population((2, 2, 1), 100)
    result = pop.fit(XOR_X, y, epochs=100, optimizer="rprop", verbose=0)
    np.testing.assert_array_equal(result.converged, pop.evaluate(XOR_X, y)["accuracy"] >= FULL_ACCURACY)
    assert 0 < result.n_converged < 100


def test_diverged_nets_do_not_count_as_converged(evaluated):
    pop = population((2, 2, 1), 100, loss="squared_error", output_activation="identity")
    rates = np.where(np.arange(100) % 7 == 3, 1e30, 0.1)
    with pytest.warns(fastmlp.DivergenceWarning):
        result = pop.fit(XOR_X, XOR_Y, epochs=80, optimizer=fastmlp.SGD(rates), verbose=0)
    assert (result.stopped_by[rates > 1] == "divergence").all()
    assert not result.converged[rates > 1].any()
