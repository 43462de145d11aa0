"""The time that a fit may take. Clocks are set by the tests."""

import numpy as np
import pytest

from fastmlp.table_training.recipe_fit import fit_nets, make_nets
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.rows import Rows
from fastmlp.table_training.time_budget import Budget


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


def test_time_of_compiling_counts(budget):
    budget.clock.now, budget.clock.compiling = 80.0, 60.0
    assert (budget.elapsed(), budget.compiled(), budget.left()) == (80.0, 60.0, 20.0)
    assert budget.part(4).seconds == 5.0
    budget.clock.now = 500.0
    assert budget.left() == 0.0
    assert not Budget().is_limited
    assert Budget().left() == float("inf")


@pytest.mark.parametrize("n_nets", [1, 3])
def test_a_fit_ends_when_the_time_is_over(rng, n_nets, monkeypatch):
    monkeypatch.setattr("fastmlp.table_training.recipe_fit.SHORTEST", 1e-9)
    X = rng.normal(size=(40, 2)).astype(np.float32)
    net = make_nets(2, 1, Recipe(hidden=(4,)), {"loss": "squared_error", "device": "cpu", "random_state": 0}, n_nets)
    history = fit_nets(net, Rows(X, X[:, 0]), None, Recipe(epochs=10**7), budget=Budget(1e-9), verbose=0)
    assert set(np.atleast_1d(history.stopped_by)) == {"time_limit"}
    assert np.isfinite(net.params).all()
    assert not np.any(history.epochs)


@pytest.mark.parametrize("n_nets", [1, 3])
@pytest.mark.parametrize("has_held_out", [True, False])
def test_a_fit_that_completes_an_epoch_trains_one(rng, n_nets, has_held_out, monkeypatch):
    monkeypatch.setattr(
        "fastmlp.table_training.recipe_fit.SHORTEST", 1e-9
    )  # in a longer time, one of the nets may have one
    X = rng.normal(size=(40, 2)).astype(np.float32)
    rows = Rows(X, X[:, 0])
    net = make_nets(2, 1, Recipe(hidden=(4,)), {"loss": "squared_error", "device": "cpu", "random_state": 0}, n_nets)
    budget = Budget(1e-9, completes_epoch=True)
    history = fit_nets(net, rows, rows if has_held_out else None, Recipe(epochs=10**7), budget=budget, verbose=0)
    assert set(np.atleast_1d(history.epochs)) == {1}
    assert history.stopped_by == "time_limit" if n_nets == 1 else history.n_finished == 3


def test_the_trial_of_bins_has_a_small_part_of_the_time():
    assert Budget(100.0).trial_seconds == 5.0
    assert Budget().trial_seconds == float("inf")
