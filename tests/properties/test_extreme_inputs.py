"""Every kernel family at extreme inputs: zeros of both signs, large values, certain outputs that are wrong.

Through nets of one layer whose weights are ones, so that the logits are what the test chooses.
"""

import kernel_families
import numpy as np
import pytest
import reference_net
from net_cases import reference_of

from fastmlp import MLP
from fastmlp.network.spec import ELEMENTWISE

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
AWKWARD = np.array([0.0, -0.0, 1e-30, -1e-30, 50.0, -50.0, 1e4, -1e4, 0.5, -3.0])[:, None]

pytestmark = pytest.mark.parametrize("dtype", EPS)


@pytest.fixture(autouse=True, params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)


def identity_net(k, dtype, **settings):
    """A net whose logits are its inputs."""
    net = MLP((k, k), dtype=dtype, **settings)
    net.params[:] = 0.0
    net.weights[0][:] = np.eye(k)
    return net


def test_activations_equal_the_reference(dtype):
    z = AWKWARD.astype(dtype).astype(np.float64)
    for name in ELEMENTWISE:
        net = identity_net(1, dtype, output_activation=name)
        # a few ulp (gelu: those of normal_cdf), and below the normal numbers the floors of exp, 50 times at z = -50,
        # and of sigmoid, 10,000 times at z = -10,000
        rtol = 1e-13 if name == "gelu" and dtype == "float64" else 8 * EPS[dtype]
        expected = reference_net.ACTIVATIONS[name](z)
        np.testing.assert_allclose(net.predict(z), expected, rtol=rtol, atol=2e-34, err_msg=name)
        loss, gradient = net.loss_and_gradient(z, np.zeros_like(z))
        assert np.isfinite([loss, *gradient]).all(), name


def test_cross_entropy_of_certain_wrong_outputs_is_the_logit(dtype):
    """Losses are computed from logits: a logit of 1e4 with the wrong sign has loss 1e4 and derivative 1."""
    z = np.array([[1e4], [-1e4], [1e4], [-1e4]])
    net = identity_net(1, dtype, loss="binary_cross_entropy")
    for y, loss, delta in (([0, 1, 1, 0], 5e3, 0.0), ([0, 0, 1, 0], 2.5e3, 0.25)):
        found, gradient = net.loss_and_gradient(z, y)
        assert found == pytest.approx(loss, rel=1e-6)
        assert gradient[1] == pytest.approx(delta, abs=1e-7)  # of the bias: the mean of a - y


def test_softmax_equals_the_reference(dtype, rng):
    eps = EPS[dtype]
    for k in (2, 5, 17):
        net = identity_net(k, dtype, loss="softmax_cross_entropy")
        X = rng.normal(size=(8, k)).astype(dtype).astype(np.float64)
        X[0], X[7] = 0.0, 1e4
        X[1, 0], X[2, 1], X[3] = 1e4, -1e4, -1e4
        X[4, :2] = 1e4
        labels, reference = np.zeros(8, int), reference_of(net)
        np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=20 * eps, atol=1e-37)
        loss, gradient = net.loss_and_gradient(X, labels)
        expected_loss, expected = reference.loss_and_gradient(X, np.eye(k)[labels])
        assert loss == pytest.approx(expected_loss, rel=20 * eps)
        # its entries are sums of up to 1e4 times probabilities, some of which cancel
        np.testing.assert_allclose(gradient, expected, rtol=100 * eps, atol=1e5 * eps)
