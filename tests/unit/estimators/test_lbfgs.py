"""L-BFGS, SciPy's solver, on a net's objective."""

import signal

import numpy as np
import pytest

from fastmlp import MLP, MLPRegressor
from fastmlp.estimators.lbfgs import INTERRUPTED, minimize
from fastmlp.nets.objective import Objective


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(60, 3))
    return MLP((3, 4, 1), hidden_activation="tanh", l2=1e-3, dtype="float64", random_state=0), X, np.sin(X[:, 0])


def test_lbfgs_reduces_the_gradient_to_the_tolerance(problem):
    net, X, y = problem
    before = abs(net.loss_and_gradient(X, y)[1]).max()
    result = minimize(net, X, y, max_iter=2000, tol=1e-7)
    loss, gradient = net.loss_and_gradient(X, y)
    assert result.status == 0
    assert abs(gradient).max() <= 1e-3 * before
    assert loss == pytest.approx(result.fun)
    np.testing.assert_array_equal(net.params, result.x)


def test_lbfgs_respects_max_iter_and_max_fun(problem):
    net, X, y = problem
    assert minimize(net, X, y, max_iter=3).nit == 3
    net.reset()
    assert minimize(net, X, y, max_fun=5, tol=0.0).nfev <= 25  # SciPy finishes the line search it is in


def test_larger_scale_tightens_the_tolerance(problem):
    net, X, y = problem
    rough = minimize(net, X, y, scale=1.0, tol=1e-2, max_iter=2000).nit
    net.reset()
    assert minimize(net, X, y, scale=1000.0, tol=1e-2, max_iter=2000).nit > rough


def test_verbose_prints_a_line_per_iteration(problem, capsys):
    net, X, y = problem
    minimize(net, X, y, max_iter=3, verbose=True)
    assert capsys.readouterr().out.count("Iteration") == 3


def test_objective_of_many_samples_is_the_mean_over_parts(rng):
    """More samples than one micro-batch holds: the gradient is the mean over all of them."""
    X = rng.normal(size=(5000, 2))
    y = X.sum(axis=1)
    net = MLP((2, 3, 1), dtype="float64", random_state=0)
    loss, gradient = net.loss_and_gradient(X, y)
    halves = [net.loss_and_gradient(X[part], y[part]) for part in (slice(2500), slice(2500, None))]
    assert loss == pytest.approx(np.mean([half[0] for half in halves]), rel=1e-12)
    np.testing.assert_allclose(gradient, np.mean([half[1] for half in halves], axis=0), rtol=1e-9, atol=1e-12)


def test_overflowing_objective_is_infinite():
    net = MLP((1, 1), dtype="float64", random_state=0)
    objective = net.objective([[1.0], [2.0]], [1.0, 2.0])
    assert objective(np.array([1e200, 0.0]))[0] == float("inf")
    assert objective(np.array([1.0, 0.0]))[0] == 0.0


@pytest.mark.parametrize("n_evaluations", [0, 1, 7])
def test_interruption_keeps_the_last_iterate(n_evaluations, monkeypatch, rng):
    evaluate, calls = Objective.__call__, []

    def interrupted(self, params):
        calls.append(params)
        if len(calls) == n_evaluations + 1:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, params)

    X = rng.normal(size=(40, 2))
    net = MLP((2, 3, 1), dtype="float64", random_state=0)
    first = net.params.copy()
    monkeypatch.setattr(Objective, "__call__", interrupted)
    result = minimize(net, X, X[:, 0])
    assert result.status == INTERRUPTED
    np.testing.assert_array_equal(result.x, net.params)
    assert np.isfinite(result.fun)
    assert (net.params != first).any() == (n_evaluations > 2)
    calls.clear()
    with pytest.warns(UserWarning, match="lbfgs was interrupted in iteration") as caught:
        model = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", random_state=0).fit(X, X[:, 0])
    kept = f"that iteration {model.n_iter_} has found." if model.n_iter_ else "that it began with."
    assert str(caught[0].message).endswith(
        f"interrupted in iteration {model.n_iter_ + 1}; the net has the parameters {kept}"
    )
    assert (model.n_iter_ > 0) == (n_evaluations > 2)
    assert np.isfinite(model.loss_)
    assert np.isfinite(model.predict(X)).all()


def test_settings_that_lbfgs_does_not_use_are_named(rng):
    X = rng.normal(size=(60, 3))
    settings = {"solver": "lbfgs", "max_iter": 1000, "tol": 0.1, "random_state": 0}
    model = MLPRegressor(hidden_layer_sizes=(4,), **settings, dropout=0.2, callbacks=lambda epoch, history: False)
    with pytest.warns(UserWarning, match="does not use callbacks and validation_data and dropout: it has no epochs"):
        model.fit(X, X[:, 0], validation_data=(X, X[:, 0]))
    # of a setting of scikit-learn nothing is said, as there
    MLPRegressor(hidden_layer_sizes=(4,), **settings, early_stopping=True).fit(X, X[:, 0])
