"""Epochs and nets for which a time limit is enough. Clocks are set by the tests."""

import numpy as np
import pytest

from fastmlp.table_training.fit import Rows, make_nets
from fastmlp.table_training.recipe import Recipe
from fastmlp.table_training.time_limit import Budget, StopInTime, affordable, seconds_per_epoch


class Clock:
    def __init__(self):
        self.now, self.compiling = 0.0, 0.0

    def read(self):
        return self.now, self.compiling


@pytest.fixture
def budget():
    made = Budget(100.0)
    made.clock = made._watch = Clock()
    return made


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


def test_time_of_compiling_does_not_count(budget):
    budget.clock.now, budget.clock.compiling = 80.0, 60.0
    assert (budget.elapsed(), budget.left()) == (20.0, 80.0)
    assert budget.part(4).seconds == 20.0
    budget.clock.now = 500.0
    assert budget.left() == 0.0
    assert not Budget().is_limited
    assert Budget().left() == float("inf")


def test_a_fit_ends_where_another_epoch_would_end_after_the_limit(budget):
    stop = StopInTime(budget)
    assert stop.epochs_ahead() == 1
    epochs = 0
    while True:
        budget.clock.now += 7.0
        epochs += 1
        if stop(epochs - 1, None):
            break
    assert epochs == 14, "98 of 100 seconds"
    short, budget.clock.now = StopInTime(budget), 0.0
    budget.clock.now = 0.01
    assert not short(99, None)
    assert short.epochs_ahead() > 1000, "the clock is looked at once in a while"


def test_the_measurement_trains_other_nets_for_a_moment(rng):
    X = rng.normal(size=(3000, 2)).astype(np.float32)
    recipe, made = Recipe(hidden=(4,), batch_size=32), []

    def make():
        made.append(make_nets(2, 1, recipe, {"loss": "squared_error", "device": "cpu", "random_state": 0}, 1))
        return made[-1]

    assert seconds_per_epoch(make, Rows(X, X[:, 0]), Rows(X[:9], X[:9, 0]), recipe) > 0.0
    assert {net.history.settings["n_samples"] for net in made} == {512}
    assert max(net.history.epochs for net in made) == 2
