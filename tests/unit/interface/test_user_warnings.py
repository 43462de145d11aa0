"""Every warning of a fit is at the line of the user's program, whatever calls it in between."""

import numpy as np
import pytest
from executor_cases import InPlace
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp import MLP, SGD, MLPRegressor, Population, TabularMLPRegressor
from fastmlp.errors import DivergenceWarning

X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
y = X[:, 0] * X[:, 1]
TOO_FAST = {"epochs": 20, "batch_size": 8, "optimizer": SGD(1e6), "verbose": 0}
TABLE = {"n_nets": 1, "max_iter": 20, "learning_rate_init": 1e30, "random_state": 0}


class Batches:
    """Rows that are read piece by piece."""

    def __iter__(self):
        yield X, y


DIVERGING = {
    "net": lambda: MLP((2, 8, 1), random_state=0).fit(X, y, **TOO_FAST),
    "stream": lambda: MLP((2, 8, 1), random_state=0).fit(Batches(), None, **TOO_FAST),
    "population": lambda: Population((2, 8, 1), 3, random_state=0).fit(X, y, **TOO_FAST),
    "population of a stream": lambda: Population((2, 8, 1), 3, random_state=0).fit(Batches(), None, **TOO_FAST),
    "executor": lambda: Population((2, 8, 1), 3, random_state=0).fit(X, y, executor=InPlace(), **TOO_FAST),
    "table": lambda: TabularMLPRegressor((8,), **TABLE).fit(X, y),
}


@pytest.mark.parametrize("name", DIVERGING)
def test_divergence(name):
    with pytest.warns(DivergenceWarning) as found:
        DIVERGING[name]()
    assert {warning.filename for warning in found if warning.category is DivergenceWarning} == {__file__}


def test_convergence_within_scikit_learn():
    """joblib and scikit-learn call the estimator for the user."""
    model = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0))
    with pytest.warns(ConvergenceWarning) as found:
        cross_val_score(model, X, y, cv=2)
    assert {warning.filename for warning in found} == {__file__}


@pytest.mark.parametrize("executor", [None, InPlace()])
def test_monitor_of_a_population(executor):
    pop = Population((2, 2, 1), 8, init="zeros", loss="binary_cross_entropy", random_state=0)
    with pytest.warns(fastmlp.TrainingWarning) as found:
        pop.fit(X, (y > 0).astype(int), epochs=2000, monitor=True, verbose=0, executor=executor)
    assert {warning.filename for warning in found} == {__file__}


def test_checkpoint_that_is_damaged(tmp_path):
    path, net = tmp_path / "run.ckpt", lambda: MLP((2, 4, 1), random_state=0)
    net().fit(X, y, epochs=4, checkpoint=fastmlp.Checkpoint(path, 1), verbose=0)
    path.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="should be a checkpoint") as found:
        net().fit(X, y, epochs=6, checkpoint=fastmlp.Checkpoint(path, resume=True), verbose=0)
    assert {warning.filename for warning in found} == {__file__}
