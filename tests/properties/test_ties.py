"""Ties between outputs: accuracy and predict_classes both take the first of the equal outputs as the class."""

import kernel_families
import numpy as np
import pytest

import fastmlp
from fastmlp.execution import thresholds

SIZES = (4, 7, 3)


@pytest.fixture
def samples(rng):
    return rng.normal(size=(50, 4)), rng.integers(3, size=50)


def accuracy_of_classes(net, X, y):
    return np.mean(net.predict_classes(X) == y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", kernel_families.FAMILIES)
def test_ties_of_single_nets_go_to_the_first_class(family, dtype, samples, monkeypatch):
    """All outputs may be equal, or two of three."""
    kernel_families.use(family, monkeypatch)
    X, y = samples
    for equal in ((0, 1, 2), (0, 2), (1, 2)):
        net = fastmlp.MLP(SIZES, loss="softmax_cross_entropy", dtype=dtype, device="cpu", init="zeros")
        net.biases[-1][list(equal)] = 1.0
        accuracy = np.mean(y == equal[0])
        assert accuracy_of_classes(net, X, y) == accuracy
        assert net.evaluate(X, y)["accuracy"] == pytest.approx(accuracy)
        weight = np.linspace(0.5, 1.5, 50)
        assert net.evaluate(X, y, sample_weight=weight)["accuracy"] == pytest.approx(weight @ (y == equal[0]) / 50)
        history = net.fit(X, y, epochs=1, batch_size=50, optimizer=fastmlp.SGD(1e-30), verbose=0)
        assert history.accuracy[0] == pytest.approx(accuracy)


def test_ties_across_lanes_go_to_the_first_class(rng):
    """The first of the equal outputs may be in another lane than the target, or later in the same lane."""
    y = np.arange(40) % 40
    net = fastmlp.MLP((3, 40), loss="softmax_cross_entropy", device="cpu", init="zeros")
    for equal in ((3, 19, 20), (20, 35, 36), (17, 18), (39,)):
        net.biases[-1][:] = 0.0
        net.biases[-1][list(equal)] = 1.0
        assert net.evaluate(rng.normal(size=(40, 3)), y)["accuracy"] == pytest.approx(1 / 40)
        assert accuracy_of_classes(net, rng.normal(size=(40, 3)), y) == 1 / 40


def test_ties_of_nets_with_inactive_units_go_to_the_first_class(samples):
    """Outputs are equal if no hidden ReLU is active and biases are 0, as in some untrained nets."""
    X, y = samples
    for seed in range(60):
        net = fastmlp.MLP(SIZES, loss="softmax_cross_entropy", device="cpu", random_state=seed)
        assert net.evaluate(X, y)["accuracy"] == pytest.approx(accuracy_of_classes(net, X, y))


@pytest.mark.thinned(2)
@pytest.mark.parametrize("sizes", [(4, 2, 3), (4, 12, 3)], ids=["unrolled", "loops"])
@pytest.mark.slow
def test_ties_of_populations_go_to_the_first_class(sizes, samples):
    X, y = samples
    nets = fastmlp.Population(sizes, 64, loss="softmax_cross_entropy", device="cpu", random_state=0)
    nets.params[:32] = 0.0
    accuracy = (nets.predict_classes(X) == y).mean(axis=1)
    np.testing.assert_allclose(nets.evaluate(X, y)["accuracy"], accuracy, rtol=1e-6)
    result = nets.fit(X, y, epochs=1, optimizer=fastmlp.SGD(1e-30), converged="accuracy", verbose=0)
    np.testing.assert_allclose(result.accuracy, accuracy, rtol=1e-6)
    assert not result.converged[:32].any()


@pytest.mark.slow
def test_ties_in_unrolled_code_go_to_the_first_class(monkeypatch):
    """Unrolled code of a single net decides ties as the loops do."""
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 2, 0])
    found = []
    for after in (0, 2**62):
        monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", after)
        monkeypatch.setattr(thresholds, "LOAD_UNROLLED_AFTER", after)
        net = fastmlp.MLP((2, 2, 3), loss="softmax_cross_entropy", device="cpu", init="zeros")
        net.biases[-1][1:] = 1.0
        found.append(net.fit(X, y, epochs=2, optimizer=fastmlp.SGD(1e-30), shuffle=False, verbose=0).accuracy)
    np.testing.assert_array_equal(found, 0.25)
