"""solver="lbfgs": SciPy's L-BFGS-B on the objective of a net over all samples."""

import signal

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPRegressor
from fastmlp.nets.objective import Objective

SMALL = {"hidden_layer_sizes": (4,), "activation": "tanh", "solver": "lbfgs", "random_state": 0}


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, np.sin(X[:, 0])


def test_the_gradient_falls_to_the_tolerance(data):
    def gradient(tol):
        model = MLPRegressor(**SMALL, alpha=0.06, max_iter=2000, tol=tol).fit(*data)
        return abs(model.net_.loss_and_gradient(*data)[1]).max()

    assert gradient(1e-7) < 1e-4 < gradient(1e-2)


@pytest.mark.parametrize(("limit", "n_iterations"), [({"max_iter": 3}, 3), ({"max_fun": 5}, 5)])
def test_iterations_and_evaluations_have_a_limit(data, limit, n_iterations, capsys):
    with pytest.warns(ConvergenceWarning, match="lbfgs ended before it converged, after .* iterations and"):
        model = MLPRegressor(**SMALL, **limit, tol=0.0, verbose=True).fit(*data)
    assert 0 < model.n_iter_ <= n_iterations
    assert capsys.readouterr().out.count("Iteration") == model.n_iter_


@pytest.mark.parametrize("n_evaluations", [1, 8])
def test_ctrl_c_ends_with_an_iteration(n_evaluations, data, monkeypatch):
    evaluate, calls = Objective.__call__, []

    def interrupted(self, params):
        calls.append(params)
        if len(calls) == n_evaluations:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, params)

    monkeypatch.setattr(Objective, "__call__", interrupted)
    with pytest.warns(UserWarning, match="lbfgs was interrupted in iteration") as caught:
        model = MLPRegressor(**SMALL).fit(*data)
    n = model.n_iter_
    assert n >= 1
    assert str(caught[0].message).endswith(
        f"in iteration {n + 1}; the net has the parameters that iteration {n} has found."
    )
    assert n_evaluations <= len(calls) < n_evaluations + 4
    monkeypatch.undo()
    with pytest.warns(ConvergenceWarning):
        alike = MLPRegressor(**SMALL, max_iter=n).fit(*data)
    np.testing.assert_array_equal(model.net_.params, alike.net_.params)
    assert model.loss_ == alike.loss_


def test_settings_that_lbfgs_does_not_use_are_named(data):
    settings = SMALL | {"max_iter": 1000, "tol": 0.1}
    model = MLPRegressor(**settings, dropout=0.2, callbacks=lambda epoch, history: False)
    with pytest.warns(UserWarning, match="does not use callbacks and validation_data and dropout: it has no epochs"):
        model.fit(*data, validation_data=data)
    # of a setting of scikit-learn nothing is said, as there
    MLPRegressor(**settings, early_stopping=True).fit(*data)
