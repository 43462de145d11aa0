"""Curvature of the loss by finite differences, compared with known Hessians."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP
from fastmlp.diagnosis.curvature import measure_landscape
from fastmlp.diagnosis.model_under_test import model_of_fastmlp


def test_curvature_of_a_linear_net_equals_its_hessian(rng):
    """The mean of (X w + b - y)**2 has the Hessian 2 / n [X 1]' [X 1]."""
    net = MLP((3, 1), dtype="float64", random_state=0)
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 1))
    found = measure_landscape(model_of_fastmlp(net.network, net.params[None], 0.0), X, Y, 10, used_rate=0.01)
    A = np.hstack([X, np.ones((50, 1))])
    hessian = 2 / 50 * A.T @ A
    values = np.linalg.eigvalsh(hessian)
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], values[[0, -1]], rtol=1e-5)
    loss, gradient = net.loss_and_gradient(X, Y)
    assert found.gradient[0] == pytest.approx(np.linalg.norm(gradient))
    assert found.curvature[0] == pytest.approx(gradient @ hessian @ gradient / (gradient @ gradient), rel=1e-5)
    assert found.safe_step[0] == pytest.approx(1 / values[-1], rel=1e-5)
    params = net.params.copy()
    for gain, step in ((found.safe_gain, found.safe_step[0]), (found.used_gain, 0.01)):
        net.params = params - step * gradient
        assert gain[0] == pytest.approx(loss - net.evaluate(X, Y)["loss"], rel=1e-6)
    assert found.best_gain[0] >= found.safe_gain[0] * 0.5


def test_extreme_eigenvalues_of_a_nonlinear_net_equal_its_hessians(rng):
    net = MLP((2, 3, 1), hidden_activation="tanh", dtype="float64", random_state=3)
    X, Y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    subject = model_of_fastmlp(net.network, net.params[None], 0.0)
    n, h = len(net.params), 1e-5
    columns = [
        (subject.gradient(X, Y, subject.params + h * e) - subject.gradient(X, Y, subject.params - h * e))[0] / (2 * h)
        for e in np.eye(n)
    ]
    values = np.linalg.eigvalsh((np.array(columns) + np.array(columns).T) / 2)
    found = measure_landscape(subject, X, Y, n)
    np.testing.assert_allclose([found.smallest[0], found.largest[0]], values[[0, -1]], atol=1e-3 * values[-1])


def test_saddle_has_negative_curvature():
    """Near zero weights the loss is flat, and falls if both layers grow together."""
    X, y = data.blobs(0, n_classes=2)
    net = MLP((4, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", init_scale=1e-3, random_state=0)
    found = measure_landscape(model_of_fastmlp(net.network, net.params[None], 0.0), X, y[:, None].astype(float), 16)
    assert found.smallest[0] < -0.01 * found.largest[0]


def test_landscapes_of_several_nets_are_independent(rng):
    net = MLP((2, 3, 1), dtype="float64", random_state=0)
    params = rng.normal(size=(4, len(net.params)))
    X, Y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    subject = model_of_fastmlp(net.network, params, 0.0)
    together = measure_landscape(subject, X, Y, 8)
    for k in range(4):
        alone = measure_landscape(subject.of_nets(slice(k, k + 1)), X, Y, 8)
        for name in together._fields:
            np.testing.assert_allclose(getattr(together, name)[k], getattr(alone, name)[0], rtol=1e-4, err_msg=name)
