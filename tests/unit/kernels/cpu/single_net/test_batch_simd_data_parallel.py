"""Kernel family batch_simd_data_parallel: equal bits for any number of threads, gradients of the reference."""

import kernel_families
import numpy as np
import pytest
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

import fastmlp.execution.dispatch
from fastmlp import MLP, SGD, Adam, Rprop
from fastmlp.execution.cpu_families import n_shards

SETTINGS = {
    "plain": {},
    "clip_norm": {"optimizer": Adam(0.01, clip_norm=0.5)},
    "weight_decay": {"optimizer": Adam(0.01, weight_decay=0.1)},
    "momentum": {"optimizer": SGD(0.05, momentum=0.9)},
    "rprop": {"optimizer": Rprop(0.01), "batch_size": None},
    "in order": {"shuffle": False},
    "small batches": {"batch_size": 3},
}


@pytest.fixture
def threads(monkeypatch):
    def choose(n):
        kernel_families.use("batch_simd_data_parallel", monkeypatch)
        monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_: n)

    return choose


def fitted(n, dtype, **settings):
    rng = np.random.default_rng(0)
    X, labels, weight = rng.normal(size=(n, 5)), rng.integers(0, 3, n), np.linspace(0.5, 1.5, n)
    net = MLP((5, 7, 6, 3), loss="softmax_cross_entropy", l2=0.01, dtype=dtype, random_state=2)
    history = net.fit(X, labels, **{"epochs": 4, "batch_size": 300, "sample_weight": weight, "verbose": 0} | settings)
    return net, history


@pytest.mark.thinned(4)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("n", (605, 601))
def test_any_number_of_threads_gives_the_same_bits(n, name, dtype, threads):
    """Batches of 300, of which the last has 5 rows or one, so that most shards are empty."""
    outcomes = []
    for n_threads in (1, 2, 3, 4, 2):
        threads(min(n_threads, n_shards(SETTINGS[name].get("batch_size", 300) or n)))
        outcomes.append(fitted(n, dtype, **SETTINGS[name]))
    (one, recorded), *others = outcomes
    for net, history in others:
        np.testing.assert_array_equal(net.params, one.params)
        np.testing.assert_allclose(history.loss, recorded.loss, rtol=1e-6 if dtype == "float32" else 1e-13)
        np.testing.assert_allclose(history.accuracy, recorded.accuracy, rtol=1e-6 if dtype == "float32" else 1e-13)
    np.testing.assert_array_equal(outcomes[1][1].loss, outcomes[-1][1].loss)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("rows", (1, 16, 17, 33, 130, 700))
@pytest.mark.parametrize("n_threads", (1, 2))
def test_training_matches_the_reference_for_any_batch_size(n_threads, rows, dtype, threads, rng):
    threads(n_threads)
    sizes = (4, 9, 2)
    net = MLP(sizes, hidden_activation="tanh", dtype=dtype, random_state=1)
    reference = ReferenceMLP(sizes, ("tanh", "identity"), "squared_error", net.params)
    X, y = rng.normal(size=(rows, 4)), rng.normal(size=(rows, 2))
    net.fit(X, y, epochs=3, batch_size=None, optimizer=SGD(0.1), verbose=0)
    for _ in range(3):
        reference.params -= 0.1 * reference.loss_and_gradient(X, y)[1]
    tolerance = TOLERANCES["training", dtype]
    np.testing.assert_allclose(net.params, reference.params, rtol=tolerance, atol=tolerance)
