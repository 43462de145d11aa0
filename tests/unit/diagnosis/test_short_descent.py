"""Whether data show more than a net has learned when its training came to rest: a short descent by L-BFGS says."""

import numpy as np
import pytest

import fastmlp
from fastmlp import MLP, Adam, Population, diagnose
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
from fastmlp.diagnosis.short_descent import short_descent


def pendulum(n, seed, noise=0.0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-np.pi, np.pi, n), rng.uniform(-8, 8, n), rng.uniform(-2, 2, n)])
    y = 15.0 * np.sin(X[:, 0]) + 3.0 * X[:, 2] - 0.1 * X[:, 1]
    return X, y + noise * rng.normal(size=n)


def trained(X, y, held_out, **settings):
    net = MLP((3, 32, 32, 1), hidden_activation="silu", dtype="float64", random_state=0, **settings)
    fit = {"batch_size": 64, "optimizer": Adam(0.01), "schedule": "one_cycle", "validation_data": held_out}
    return net, net.fit(X, y, epochs=200, verbose=0, **fit)


def test_a_schedule_that_has_ended_is_no_end_of_what_the_data_show():
    """L-BFGS lowers the loss ten times in a thousand steps, and that of held-out samples, too."""
    (X, y), held_out = pendulum(1000, 0), pendulum(500, 1)
    net, history = trained(X, y, held_out)
    found = diagnose(net, X, y, history, validation_data=held_out)
    assert found.verdict == "still_learning"
    assert "100 steps of L-BFGS from here lower the loss of 1,000 samples from" in found.remedy
    assert "that of validation samples, which they do not use" in found.remedy
    assert "net.objective(X, y)" in found.experiment


def test_noise_is_no_reason_to_train_on():
    """L-BFGS lowers the loss of its own samples here, too, by learning their noise."""
    (X, y), held_out = pendulum(1000, 0, 5.0), pendulum(500, 1, 5.0)
    net = MLP((3, 8, 1), hidden_activation="tanh", random_state=0)
    history = net.fit(X, y, epochs=400, batch_size=64, optimizer=Adam(0.01), schedule="cosine", verbose=0)
    found = diagnose(net, X, y, history, validation_data=held_out)
    assert (found.verdict, found.is_sure) == ("converged", True)
    assert found.remedy.startswith("Nothing to change: the net has learned what these data show")
    alone = diagnose(net, X, y, history)
    assert alone.verdict == "converged"
    assert alone.remedy.startswith("Nothing to change as far as was tested: training has come to rest, and 100 steps")
    assert "do not lower the loss of the others. Validation data would test whether" in alone.remedy


def test_what_was_not_tested_is_said():
    """Of nets of a population, whose loss may be lowered further."""
    X, y = pendulum(300, 0, 5.0)
    pop = Population((3, 8, 1), 2, hidden_activation="tanh", random_state=0)
    result = pop.fit(X, y, epochs=1000, optimizer="rprop", verbose=0)
    found = diagnose(pop, X, y, result).net(0)
    assert found.verdict == "converged"
    assert "Whether these data show more, so that other steps or a wider net" in found.remedy


def test_targets_of_equal_inputs_say_what_is_noise():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(30, 2)), 10, axis=0)
    y = X[:, 0] + rng.normal(size=300)
    pop = Population((2, 30, 30, 1), 2, hidden_activation="tanh", dtype="float64", random_state=0)
    result = pop.fit(X, y, epochs=2000, optimizer="rprop", verbose=0)
    found = diagnose(pop, X, y, result).net(0)
    assert found.evidence["explained"] < 0.8
    assert found.verdict == "converged"
    assert found.remedy.startswith("Nothing to change: the net has learned what these data show")


def test_the_descent_leaves_the_net_and_is_refused_by_large_ones():
    X, y = pendulum(200, 0)
    net = MLP((3, 8, 1), hidden_activation="tanh", dtype="float64", random_state=0)
    before = net.params.copy()
    model = model_of_fastmlp(net.network, net.params[None], 0.0)
    found = short_descent(model, X, y[:, None], None)
    np.testing.assert_array_equal(net.params, before)
    assert found.n_samples == 100
    assert found.before == pytest.approx(net.evaluate(X[::2], y[::2])["loss"])
    assert found.others_before == pytest.approx(net.evaluate(X[1::2], y[1::2])["loss"])
    assert found.after < 0.1 * found.before
    wide = MLP((3, 600, 600, 1), random_state=0)
    assert short_descent(model_of_fastmlp(wide.network, wide.params[None], 0.0), X, y[:, None], None) is None
    assert short_descent(model, X[:30], y[:30, None], None) is None, "too few samples"


def test_classes_that_are_all_right_need_no_smaller_loss():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2)) + np.repeat([[-3.0], [3.0]], 100, axis=0)
    y = np.repeat([0, 1], 100)
    net = MLP((2, 8, 1), loss="binary_cross_entropy", random_state=0)
    history = net.fit(X, y, epochs=300, optimizer=Adam(0.01), verbose=0)
    found = fastmlp.diagnose(net, X, y, history)
    assert found.verdict == "converged"
    assert found.remedy.startswith("Nothing to change: the net has learned what these data show")


@pytest.mark.parametrize("n_classes", [2, 3])
def test_whether_all_held_out_classes_are_right(n_classes):
    """L-BFGS can lower their loss then, which is no reason to train on."""
    rng = np.random.default_rng(0)
    y, y_held = (np.repeat(np.arange(n_classes), n) for n in (60, 20))
    X, X_held = (4.0 * labels[:, None] + rng.normal(size=(len(labels), 2)) * 0.5 for labels in (y, y_held))
    loss, n_outputs = ("binary_cross_entropy", 1) if n_classes == 2 else ("softmax_cross_entropy", 3)
    net = MLP((2, 16, n_outputs), loss=loss, random_state=0)
    net.fit(X, y, epochs=300, optimizer=Adam(0.05), verbose=0)
    model = model_of_fastmlp(net.network, net.params[None], 0.0)
    Y, Y_held = ((labels[:, None] if n_classes == 2 else np.eye(3)[labels]).astype(float) for labels in (y, y_held))
    found = short_descent(model, X, Y, (X_held, Y_held))
    assert found.others_are_right
    assert not short_descent(model, X, Y, (X_held, Y_held[::-1])).others_are_right
