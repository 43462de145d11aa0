"""Every kernel family at extreme inputs: zeros of both signs, large values, certain outputs that are wrong.

Through nets of one layer whose weights are ones, so that the logits are what the test chooses.
"""

import kernel_families
import numpy as np
import pytest
import reference_net
from net_cases import HIDDEN, reference_of

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


def test_activations_far_from_zero_equal_the_reference(dtype):
    """Up to nearly the largest number. Exponentials, sigmoids and densities of vectors are never 0: a formula must not
    multiply them by a huge z. The second weight is small, so that no sum overflows.
    """
    far, small = np.array([-0.9, -1e-6, 1e-8, 0.9]) * np.finfo(dtype).max, 2.0**-60
    z = np.array([*far, -1e4, -200.0, 200.0, 1e4], dtype).astype(np.float64)
    for name in HIDDEN:
        net = MLP((1, 1, 1), hidden_activation=name, loss="absolute_error", dtype=dtype)
        net.params = [1.0, 0.0, small, 0.0]
        with np.errstate(all="ignore"):
            value, slope = reference_net.ACTIVATIONS[name](z), reference_net.DERIVATIVES[name](z)
        near = {"rtol": 2e-6, "err_msg": name}
        np.testing.assert_allclose(net.predict(z[:, None])[:, 0] / small, value, atol=1e-15, **near)
        slopes = [abs(net.loss_and_gradient([[x]], [[-1.0]])[1][1]) / small for x in z]
        np.testing.assert_allclose(slopes, slope, atol=2 * EPS[dtype], **near)  # an output may have rounded it away


def test_cross_entropy_keeps_its_precision(dtype):
    """No digits are lost if the output is nearly the target, since stopping rules compare losses with 1e-7."""
    net = identity_net(1, dtype, loss="binary_cross_entropy")
    for z in np.linspace(-80.0, 80.0, 99).astype(dtype).astype(float):
        for target in (0, 1):
            exact = np.logaddexp(0, -z if target else z)
            assert net.loss_and_gradient([[z]], [target])[0] == pytest.approx(exact, rel=4 * EPS[dtype], abs=0)


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
