"""Accuracy and predicted classes in every kernel family: by argmax, of which a tie is the first, or by threshold."""

from itertools import product

import kernel_families
import numpy as np
import pytest

import fastmlp
from fastmlp import MLP
from fastmlp.execution import thresholds


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)


def identity_net(k, **settings):
    """A net whose logits are its inputs."""
    net = MLP((k, k), device="cpu", init="zeros", **settings)
    net.weights[0][:] = np.eye(k)
    return net


def test_accuracy_by_argmax_equals_numpy(family, rng):
    for k, n in product((2, 3, 16, 17, 40), (1, 15, 33)):
        net = identity_net(k, loss="softmax_cross_entropy")
        X, labels = rng.normal(size=(n, k)), rng.integers(0, k, n)
        found = [net.evaluate(X, y)["accuracy"] for y in (labels, X.argmax(axis=1), X.argmin(axis=1))]
        assert found == pytest.approx([(X.argmax(axis=1) == labels).mean(), 1.0, 0.0], rel=1e-6), (k, n)


def test_soft_targets_count_as_their_largest_class(family, rng):
    net = identity_net(4, loss="softmax_cross_entropy")
    X, y = rng.normal(size=(50, 4)), rng.dirichlet(np.ones(4), 50)
    assert net.evaluate(X, y)["accuracy"] == pytest.approx((X.argmax(axis=1) == y.argmax(axis=1)).mean(), rel=1e-6)


def test_accuracy_by_threshold_counts_each_output(family, rng):
    """For multilabel targets each output counts separately, and a sample counts by its share of correct outputs."""
    of_outputs = {"loss": "binary_cross_entropy"}, {"output_activation": "symmetric_sigmoid"}
    for k, settings in product((1, 5, 18), of_outputs):
        net = identity_net(k, **settings)
        z, truth = rng.normal(size=(21, k)), rng.integers(0, 2, (21, k))
        truth[0] = 1
        found = net.evaluate(z, np.where(truth == 1, net.network.output_row.high, net.network.output_row.low))
        assert found["accuracy"] == pytest.approx(((z > 0.0) == truth).mean(), rel=1e-6), (k, settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ties_go_to_the_first_class(family, dtype, rng):
    """All outputs may be equal, or some; the first of them may be in another lane than the target, or later in it."""
    few = (0, 1, 2), (0, 2), (1, 2)
    for n_outputs, equal in (*product([3], few), *product([40], ((3, 19, 20), (20, 35, 36), (17, 18), (39,)))):
        y, weight = np.arange(40) % n_outputs, np.linspace(0.5, 1.5, 40)
        net = MLP((4, 7, n_outputs), loss="softmax_cross_entropy", dtype=dtype, device="cpu", init="zeros")
        net.biases[-1][list(equal)] = 1.0
        X, right = rng.normal(size=(40, 4)), y == equal[0]
        assert (net.predict_classes(X) == equal[0]).all()
        assert net.evaluate(X, y)["accuracy"] == pytest.approx(right.mean())
        assert net.evaluate(X, y, sample_weight=weight)["accuracy"] == pytest.approx(weight @ right / 40)
        history = net.fit(X, y, epochs=1, batch_size=40, optimizer=fastmlp.SGD(1e-30), verbose=0)
        assert history.accuracy[0] == pytest.approx(right.mean())


@pytest.mark.parametrize("sizes", [(4, 2, 3), (4, 12, 3)], ids=["unrolled", "loops"])
def test_ties_of_populations_go_to_the_first_class(sizes, rng):
    X, y = rng.normal(size=(50, 4)), rng.integers(3, size=50)
    nets = fastmlp.Population(sizes, 64, loss="softmax_cross_entropy", device="cpu", random_state=0)
    nets.params[:32] = 0.0
    accuracy = (nets.predict_classes(X) == y).mean(axis=1)
    np.testing.assert_allclose(nets.evaluate(X, y)["accuracy"], accuracy, rtol=1e-6)
    result = nets.fit(X, y, epochs=1, optimizer=fastmlp.SGD(1e-30), converged="accuracy", verbose=0)
    np.testing.assert_allclose(result.accuracy, accuracy, rtol=1e-6)
    assert not result.converged[:32].any()


def test_ties_in_unrolled_code_go_to_the_first_class(monkeypatch):
    """Unrolled code of a single net decides ties as the loops do."""
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 2, 0])
    found = []
    for after in (0, 2**62):
        monkeypatch.setattr(thresholds, "COMPILE_UNROLLED_AFTER", after)
        monkeypatch.setattr(thresholds, "LOAD_UNROLLED_AFTER", after)
        net = MLP((2, 2, 3), loss="softmax_cross_entropy", device="cpu", init="zeros")
        net.biases[-1][1:] = 1.0
        found.append(net.fit(X, y, epochs=2, optimizer=fastmlp.SGD(1e-30), shuffle=False, verbose=0).accuracy)
    np.testing.assert_array_equal(found, 0.25)
