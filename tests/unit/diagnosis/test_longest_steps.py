"""Longest steps of new nets, compared with known Hessians and with steps of nets."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP
from fastmlp.diagnosis.longest_steps import UNKNOWN_STEPS, longest_steps
from fastmlp.diagnosis.model_under_test import from_function, model_of_fastmlp


def model_of(*layers, **settings):
    net = MLP(layers, **{"random_state": 0, **settings})
    return model_of_fastmlp(net.network, net.params[None], 0.0)


def test_descent_on_a_linear_net_is_limited_by_its_hessian(rng):
    """The mean of (X w + b - y)**2 has the Hessian 2 / n [X 1]' [X 1]."""
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 1))
    A = np.hstack([X, np.ones((50, 1))])
    largest = np.linalg.eigvalsh(2 / 50 * A.T @ A)[-1]
    assert longest_steps(model_of(3, 1), X, Y).descent == pytest.approx(2.0 / largest, rel=1e-4)


def test_first_steps_shorter_than_the_longest_lower_the_loss():
    X, y = data.friedman(0)
    Y = y[:, None]
    found = longest_steps(model_of(5, 16, 1), X, Y)
    outcomes = {0.3: [], 3.0: []}
    for seed in range(8):
        model = model_of(5, 16, 1, random_state=seed)
        before, gradient = model.objective(X, Y, model.params), model.gradient(X, Y)
        for factor, lowered in outcomes.items():
            for direction, length in ((gradient, found.descent), (np.sign(gradient), found.sign)):
                lowered.append(model.objective(X, Y, model.params - factor * length * direction)[0] < before[0])
    assert np.mean(outcomes[0.3]) == 1.0
    assert np.mean(outcomes[3.0]) < 0.2


def test_longest_steps_depend_on_the_data_and_not_on_the_parameters():
    X, y = data.friedman(0)
    model = model_of(5, 16, 1, hidden_activation="relu")
    found = longest_steps(model, X, y[:, None])
    model.params[:] = 1e6
    assert longest_steps(model, X, y[:, None]) == found
    assert longest_steps(model, 100.0 * X, y[:, None]).descent < found.descent / 100.0


def test_inputs_of_zeros_are_no_kink_of_relu():
    """XOR has a sample of zeros; a new net without biases would have a curvature of hundreds there."""
    model = model_of(2, 2, 1, hidden_activation="relu", loss="binary_cross_entropy")
    assert longest_steps(model, data.XOR_X, data.XOR_Y[:, None].astype(float)).descent > 0.5


def test_steps_of_a_function_are_unknown():
    X, y = data.friedman(0)
    found = longest_steps(from_function(lambda X: X[:, :1], X), X, y[:, None])
    np.testing.assert_array_equal(found, UNKNOWN_STEPS)
