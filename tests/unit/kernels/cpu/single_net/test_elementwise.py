"""Elementwise loops of every kernel family at extreme inputs: zeros of both signs, large values, ties, one row.

Through nets of one layer whose weights are ones, so that the logits are what the test chooses.
"""

import kernel_families
import numpy as np
import pytest
import reference_net
from reference_net import ReferenceMLP

from fastmlp import MLP
from fastmlp.network.spec import ELEMENTWISE

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
AWKWARD = np.array([0.0, -0.0, 1e-30, -1e-30, 50.0, -50.0, 1e4, -1e4, 0.5, -3.0])[:, None]


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


def identity_net(k, dtype="float64", **settings):
    """A net whose logits are its inputs."""
    net = MLP((k, k), dtype=dtype, **settings)
    net.params[:] = 0.0
    net.weights[0][:] = np.eye(k)
    return net


@pytest.mark.thinned(16)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_equal_the_reference_at_extreme_inputs(family, name, dtype):
    net = identity_net(1, dtype, output_activation=name)
    z = AWKWARD.astype(dtype).astype(np.float64)
    # a few ulp (gelu: those of normal_cdf), and below the normal numbers the floors of exp, 50 times at z = -50, and of
    # sigmoid, 10,000 times at z = -10,000
    rtol = 1e-13 if name == "gelu" and dtype == "float64" else 8 * EPS[dtype]
    np.testing.assert_allclose(net.predict(z), reference_net.ACTIVATIONS[name](z), rtol=rtol, atol=2e-34)
    loss, gradient = net.loss_and_gradient(z, np.zeros_like(z))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_cross_entropy_of_certain_wrong_outputs_is_the_logit(family, dtype):
    """Losses are computed from logits: a logit of 1e4 with the wrong sign has loss 1e4 and derivative 1."""
    z = np.array([[1e4], [-1e4], [1e4], [-1e4]])
    net = identity_net(1, dtype, loss="binary_cross_entropy")
    for y, loss, delta in (([0, 1, 1, 0], 5e3, 0.0), ([0, 0, 1, 0], 2.5e3, 0.25)):
        found, gradient = net.loss_and_gradient(z, y)
        assert found == pytest.approx(loss, rel=1e-6)
        assert gradient[1] == pytest.approx(delta, abs=1e-7)  # of the bias: the mean of a - y


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("k", (2, 5, 17))
def test_softmax_equals_the_reference_at_extreme_logits(family, k, dtype, rng):
    net = identity_net(k, dtype, loss="softmax_cross_entropy")
    X = rng.normal(size=(7, k)).astype(dtype).astype(np.float64)
    X[0] = 0.0
    X[1, 0], X[2, 1], X[3] = 1e4, -1e4, -1e4
    X[4, :2] = 1e4
    labels = np.zeros(7, int)
    z = ReferenceMLP((k, k), ("softmax",), "softmax_cross_entropy", net.params)
    eps = EPS[dtype]
    np.testing.assert_allclose(net.predict(X), z.predict(X), rtol=20 * eps, atol=1e-37)
    loss, gradient = net.loss_and_gradient(X, labels)
    expected_loss, expected = z.loss_and_gradient(X, np.eye(k)[labels])
    assert loss == pytest.approx(expected_loss, rel=20 * eps)
    # its entries are sums of up to 1e4 times probabilities, some of which cancel
    np.testing.assert_allclose(gradient, expected, rtol=100 * eps, atol=1e5 * eps)


def test_equal_logits_give_equal_probabilities(family):
    net = identity_net(8, loss="softmax_cross_entropy")
    np.testing.assert_allclose(net.predict(np.full((3, 8), 1e4)), 1 / 8, rtol=1e-15)


# ---- counting what is right


@pytest.mark.thinned(3)
@pytest.mark.parametrize("k", (2, 3, 16, 17, 40))
@pytest.mark.parametrize("n", (1, 15, 33))
def test_accuracy_by_argmax_equals_numpy(family, k, n, rng):
    net = identity_net(k, loss="softmax_cross_entropy")
    X, labels = rng.normal(size=(n, k)), rng.integers(0, k, n)
    assert net.evaluate(X, labels)["accuracy"] == pytest.approx((X.argmax(axis=1) == labels).mean(), rel=1e-14)
    assert net.evaluate(X, X.argmax(axis=1))["accuracy"] == 1.0
    assert net.evaluate(X, X.argmin(axis=1))["accuracy"] == 0.0


def test_soft_targets_count_as_their_largest_class(family, rng):
    """The class of a soft target is the one with the largest share."""
    net = identity_net(4, loss="softmax_cross_entropy")
    X, y = rng.normal(size=(50, 4)), rng.dirichlet(np.ones(4), 50)
    assert net.evaluate(X, y)["accuracy"] == pytest.approx((X.argmax(axis=1) == y.argmax(axis=1)).mean(), rel=1e-14)


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "settings, middle",
    [({"loss": "binary_cross_entropy"}, 0.0), ({"output_activation": "symmetric_sigmoid"}, 0.0)],
    ids=str,
)
@pytest.mark.parametrize("k", (1, 5, 18))
def test_accuracy_by_threshold_counts_each_output(family, k, settings, middle, rng):
    """For multilabel targets each output counts separately, and a sample counts by its share of correct outputs."""
    net = identity_net(k, **settings)
    z = rng.normal(size=(21, k))
    truth = rng.integers(0, 2, (21, k))
    truth[0] = 1
    low, high = net.network.output_row.low, net.network.output_row.high
    found = net.evaluate(z, np.where(truth == 1, high, low))
    assert found["accuracy"] == pytest.approx(((z > middle) == truth).mean(), rel=1e-12)
