"""Epochs and nets for which a time limit is enough."""

import numpy as np
import pytest

from fastmlp.table_training.fit import Rows, make_nets
from fastmlp.table_training.recipe import Recipe
from fastmlp.table_training.time_limit import affordable, seconds_per_epoch


@pytest.mark.quick
@pytest.mark.parametrize("n_nets, n_folds", [(1, 1), (5, 1), (2, 5)])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.0, 30.0, 300.0])
def test_the_plan_is_within_the_limit_or_is_the_least(n_nets, n_folds, seconds):
    recipe = Recipe(n_nets=n_nets, n_folds=n_folds, epochs=100)
    found, note = affordable(recipe, 0.5, seconds)
    spent = 0.5 * found.epochs * found.n_nets / n_nets
    assert spent <= seconds or (found.epochs, found.n_nets) == (1, 1)
    assert (found == recipe) == (note == "") == (seconds > 60)
    assert found.n_folds == n_folds
    assert found.patience <= found.epochs
    if found.n_nets > 1:
        assert found.epochs >= 10


def test_the_measurement_trains_other_nets_for_a_moment(rng):
    X = rng.normal(size=(3000, 2)).astype(np.float32)
    recipe, made = Recipe(hidden=(4,), batch_size=32), []

    def make():
        made.append(make_nets(2, 1, recipe, {"loss": "squared_error", "device": "cpu", "random_state": 0}, 1))
        return made[-1]

    assert seconds_per_epoch(make, Rows(X, X[:, 0]), Rows(X[:9], X[:9, 0]), recipe) > 0.0
    assert {net.history.settings["n_samples"] for net in made} == {512}
    assert max(net.history.epochs for net in made) == 2
