"""Curvature of the loss, and longest first steps, compared with known Hessians and with steps of nets."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP
from fastmlp.diagnosis.curvature import longest_first_step, measure_curvature
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
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
