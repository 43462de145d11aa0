"""Curvature of the loss, and longest first steps, compared with known Hessians and with steps of nets."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP
from fastmlp.diagnosis.curvature import longest_first_step, measure_curvature
from fastmlp.diagnosis.model_under_test import from_function, model_of_fastmlp
from fastmlp.diagnosis.training_settings import TrainingSettings

PLAIN, ADAM = TrainingSettings(rule="sgd", is_plain_descent=True), TrainingSettings(rule="adam")


def model_of(*layers, **settings):
    net = MLP(layers, **{"random_state": 0, **settings})
    return model_of_fastmlp(net.network, net.params[None], 0.0)


def test_curvature_of_a_linear_net_equals_its_hessian(rng):
    """The mean of (X w + b - y)**2 has the Hessian 2 / n [X 1]' [X 1]."""
    net = MLP((3, 1), dtype="float64", random_state=0)
    X, Y = rng.normal(size=(50, 3)), rng.normal(size=(50, 1))
    model = model_of_fastmlp(net.network, net.params[None], 0.0)
    found = {name: value[0] for name, value in measure_curvature(model, X, Y, 10, used_rate=0.01).items()}
    A = np.hstack([X, np.ones((50, 1))])
    values = np.linalg.eigvalsh(2 / 50 * A.T @ A)
    np.testing.assert_allclose([found["smallest_curvature"], found["largest_curvature"]], values[[0, -1]], rtol=1e-5)
    loss, gradient = net.loss_and_gradient(X, Y)
    assert found["gradient"] == pytest.approx(np.linalg.norm(gradient))
    assert found["safe_step"] == pytest.approx(1 / values[-1], rel=1e-5)
    params = net.params.copy()
    for name, step in (("safe", found["safe_step"]), ("used", 0.01), ("best", found["best_step"])):
        net.params = params - step * gradient
        assert found[f"{name}_gain"] == pytest.approx(loss - net.evaluate(X, Y)["loss"], rel=1e-6)
    assert found["best_gain"] >= found["safe_gain"] * 0.5
    assert longest_first_step(model, X, Y, PLAIN) == pytest.approx(2.0 / values[-1], rel=1e-4)


def test_extreme_eigenvalues_of_nonlinear_nets_equal_their_hessians(rng):
    net = MLP((2, 3, 1), hidden_activation="tanh", dtype="float64", random_state=3)
    X, Y = rng.normal(size=(20, 2)), rng.normal(size=(20, 1))
    params, h = np.stack([net.params, rng.normal(size=len(net.params))]), 1e-5
    subject = model_of_fastmlp(net.network, params, 0.0)
    slopes = [
        (subject.gradient(X, Y, params + h * e) - subject.gradient(X, Y, params - h * e)) / (2 * h)
        for e in np.eye(len(net.params))
    ]
    found = measure_curvature(subject, X, Y, len(net.params))
    for k, hessian in enumerate(np.stack(slopes, axis=1)):
        values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
        extremes = found["smallest_curvature"][k], found["largest_curvature"][k]
        np.testing.assert_allclose(extremes, values[[0, -1]], atol=1e-3 * values[-1])


def test_saddle_has_negative_curvature():
    """Near zero weights the loss is flat, and falls if both layers grow together."""
    X, y = data.blobs(0, n_classes=2)
    model = model_of(4, 4, 1, hidden_activation="tanh", loss="binary_cross_entropy", init_scale=1e-3)
    found = measure_curvature(model, X, y[:, None].astype(float), 16)
    assert found["smallest_curvature"][0] < -0.01 * found["largest_curvature"][0]


@pytest.mark.parametrize("updates", [PLAIN, ADAM])
def test_first_steps_shorter_than_the_longest_lower_the_loss(updates):
    X, y = data.friedman(0)
    Y = y[:, None]
    longest, outcomes = longest_first_step(model_of(5, 16, 1), X, Y, updates), {0.3: [], 3.0: []}
    for seed in range(8):
        model = model_of(5, 16, 1, random_state=seed)
        before, gradient = model.objective(X, Y, model.params), model.gradient(X, Y)
        direction = gradient if updates is PLAIN else np.sign(gradient)
        for factor, lowered in outcomes.items():
            lowered.append(model.objective(X, Y, model.params - factor * longest * direction)[0] < before[0])
    assert np.mean(outcomes[0.3]) == 1.0
    assert np.mean(outcomes[3.0]) < 0.3


def test_longest_steps_depend_on_the_data_and_not_on_the_parameters():
    X, y = data.friedman(0)
    model = model_of(5, 16, 1, hidden_activation="relu")
    found = longest_first_step(model, X, y[:, None], PLAIN)
    model.params[:] = 1e6
    assert longest_first_step(model, X, y[:, None], PLAIN) == found
    assert longest_first_step(model, 100.0 * X, y[:, None], PLAIN) < found / 100.0
    # XOR has a sample of zeros; a new net without biases would have a curvature of hundreds there.
    model = model_of(2, 2, 1, hidden_activation="relu", loss="binary_cross_entropy")
    assert longest_first_step(model, data.XOR_X, data.XOR_Y[:, None].astype(float), PLAIN) > 0.5
    assert np.isnan(longest_first_step(from_function(lambda X: X[:, :1], X), X, y[:, None], PLAIN))
    assert np.isnan(longest_first_step(model, X, y[:, None], TrainingSettings()))
