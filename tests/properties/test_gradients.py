"""Gradients of every activation, loss, dtype and kernel family against the reference and central differences."""

import itertools

import kernel_families
import numpy as np
import pytest
from net_cases import PAIRS, assert_same_gradient, net_and_reference, targets_for
from tolerances import TOLERANCES

from fastmlp.kernels.formulas.activations import ACTIVATIONS

DTYPES = ("float32", "float64")


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    """Kernel family that all nets of the test use, whatever their size."""
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.mark.thinned(18)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [row.name for row in ACTIVATIONS if row.hidden])
def test_gradient_of_every_hidden_activation_matches_the_reference(family, hidden, dtype, rng):
    net, reference = net_and_reference((5, 7, 19, 3), hidden, "squared_error", "identity", dtype)
    n = kernel_families.rows_for(family, 9)
    X, y = rng.normal(size=(n, 5)), rng.normal(size=(n, 3))
    assert_same_gradient(net, reference, X, y, dtype)
    np.testing.assert_allclose(
        net.predict(X), reference.predict(X), rtol=TOLERANCES["value", dtype], atol=TOLERANCES["value", dtype]
    )


@pytest.mark.thinned(112)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, output", PAIRS)
@pytest.mark.parametrize("k", (1, 3, 17))
def test_gradient_of_every_loss_and_output_matches_the_reference(family, loss, output, k, dtype, rng):
    if loss == "softmax_cross_entropy" and k == 1:
        k = 2
    net, reference = net_and_reference((4, 6, k), "tanh", loss, output, dtype)
    n = kernel_families.rows_for(family, 21)
    X, y = rng.normal(size=(n, 4)), targets_for(loss, output, n, k, rng)
    assert_same_gradient(net, reference, X, y, dtype)


@pytest.mark.parametrize(
    "sizes, n", list(itertools.product([(1, 1), (3, 2), (2, 2, 2, 1), (16, 16, 16), (33, 17, 5)], [1, 4, 5, 33]))
)
def test_gradient_of_extreme_shapes_matches_the_reference(family, sizes, n, rng):
    net, reference = net_and_reference(sizes, "sigmoid", "squared_error", "sigmoid", "float64", l2=0.1)
    n = kernel_families.rows_for(family, n)
    assert_same_gradient(net, reference, rng.normal(size=(n, sizes[0])), rng.random((n, sizes[-1])), "float64")


@pytest.mark.parametrize("k", (1, 4))
def test_weighted_gradient_matches_the_reference(family, k, rng):
    net, reference = net_and_reference((3, 5, k), "gelu", "huber", "identity", "float64", huber_delta=0.3)
    n = kernel_families.rows_for(family, 37)
    X, y, w = rng.normal(size=(n, 3)), rng.normal(size=(n, k)), rng.random(n) * (rng.random(n) > 0.3)
    assert_same_gradient(net, reference, X, y, "float64", sample_weight=w)


def test_gradient_in_blocks_matches_the_reference(family, rng, monkeypatch):
    """More samples than are processed at a time."""
    monkeypatch.setattr("fastmlp.nets.objective.ROWS", 10)
    net, reference = net_and_reference((3, 5, 2), "relu", "squared_error", "identity", "float64", l2=0.2)
    assert_same_gradient(net, reference, rng.normal(size=(37, 3)), rng.normal(size=(37, 2)), "float64")


def test_gradient_equals_central_differences(family, rng):
    net, _ = net_and_reference((3, 4, 2), "silu", "softmax_cross_entropy", "softmax", "float64", l2=0.05)
    n = kernel_families.rows_for(family, 6)
    X, y = rng.normal(size=(n, 3)), rng.integers(0, 2, n)
    _, gradient = net.loss_and_gradient(X, y)
    for i in range(len(net.params)):
        before, losses = net.params[i], []
        for shift in (1e-6, -1e-6):
            net.params[i] = before + shift
            losses.append(net.loss_and_gradient(X, y)[0])
        net.params[i] = before
        assert gradient[i] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5, abs=1e-8)
