"""Measurements of a diagnosis, on nets with known values."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, Adam, diagnose
from fastmlp.diagnosis.measurements import base_loss_of, measure
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
from fastmlp.diagnosis.samples import CheckedSamples

X, Y = data.moons(0)[0], data.moons(0)[1][:, None].astype(float)


def measured(net, X=X, Y=Y):
    return measure(model_of_fastmlp(net.network, net.params[None], 0.0), CheckedSamples(X, Y, "", ""), None)


def net(*hidden, **settings):
    return MLP((2, *hidden, 1), **{"loss": "binary_cross_entropy", "random_state": 0, "dtype": "float64", **settings})


def test_base_loss_is_the_loss_of_a_constant_output():
    p = Y.mean()
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert base_loss_of(model_of_fastmlp(net(3).network, net(3).params[None], 0), Y) == pytest.approx(entropy)
    for loss, expected in (("squared_error", np.var), ("absolute_error", lambda y: np.mean(abs(y - np.median(y))))):
        other = MLP((2, 3, 1), loss=loss, random_state=0)
        assert base_loss_of(model_of_fastmlp(other.network, other.params[None], 0), Y) == pytest.approx(expected(Y))


def test_output_measurements_equal_evaluate_and_numpy():
    found = measured(net(4))
    outputs = net(4).predict(X)
    assert found.loss[0] == pytest.approx(net(4).evaluate(X, Y)["loss"])
    assert found.accuracy[0] == pytest.approx(net(4).evaluate(X, Y)["accuracy"])
    assert found.explained[0] == pytest.approx(1 - np.mean((outputs - Y) ** 2) / np.var(Y))
    assert found.agreement[0] == pytest.approx(np.corrcoef(outputs[:, 0], Y[:, 0])[0, 1])
    assert (found.output_low[0], found.output_high[0]) == pytest.approx((outputs.min(), outputs.max()))


def test_skill_is_measured_from_the_loss_of_perfect_outputs(rng):
    """For counts and probabilities as targets, perfect outputs have a loss other than zero."""
    X = rng.normal(size=(300, 3))
    y = rng.poisson(np.exp(1.5 + 0.5 * X[:, 0]))
    counts = MLP((3, 8, 1), loss="poisson", hidden_activation="tanh", random_state=0)
    history = counts.fit(X, y, epochs=400, optimizer=Adam(0.02), verbose=0)
    found = measured(counts, X, y[:, None].astype(float))
    assert found.base_loss < 0
    assert 0.4 < found.skill[0] < 0.9
    assert diagnose(counts, X, y, history).is_healthy
    soft = 1 / (1 + np.exp(-2 * X[:, :1]))
    one = MLP((3, 8, 1), loss="binary_cross_entropy", hidden_activation="tanh", random_state=0)
    history = one.fit(X, soft, epochs=600, optimizer=Adam(0.02), verbose=0)
    assert measured(one, X, soft).skill[0] > 0.95
    found = diagnose(one, X, soft, history)
    assert found.verdict == "converged"
    assert found.evidence["loss"] > 0.3
