"""The time that a fit may take. Clocks are set by the tests."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp.kernels.jit.compile_time import add_wait
from fastmlp.table_training.recipe_fit import fit_nets, make_nets
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.rows_in_memory import Rows
from fastmlp.table_training.time_budget import Budget, FitBudgets


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


def test_time_of_compiling_does_not_count(budget):
    budget.clock.now, budget.clock.compiling = 80.0, 60.0
    assert (budget.elapsed(), budget.left()) == (20.0, 80.0)
    assert budget.part(4).seconds == 20.0
    budget.clock.now = 500.0
    assert budget.left() == 0.0
    assert not Budget().is_limited
    assert Budget().left() == float("inf")


@pytest.mark.parametrize("n_nets", [1, 3])
def test_a_fit_ends_when_the_time_is_over(rng, n_nets):
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


def test_fits_at_the_same_time_share_the_time_by_their_turns(budget):
    budget.clock.now, budget.clock.compiling = 50.0, 10.0
    budgets = FitBudgets(budget, n_fits=5, n_at_once=2)
    assert [round(budgets.of_fit(k).seconds) for k in range(5)] == [20, 20, 30, 30, 60]
    assert [round(FitBudgets(budget, 3).of_fit(k).seconds) for k in range(3)] == [20, 30, 60]


def test_a_thread_has_the_time_for_which_it_has_not_waited_for_kernels():
    """The thread that plans may have waited for many, and the others for none or for their own."""
    add_wait(1000.0)
    budgets = FitBudgets(Budget(50.0), 2, 2)

    def left(wait):
        before = budgets.of_fit(0)
        add_wait(wait)
        return before.left() - wait

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda wait: round(left(wait)), (0.0, 7.0))) == [50, 50]
