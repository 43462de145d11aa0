"""The time that a fit may take. Clocks are set by the tests."""

import numpy as np
import pytest

from fastmlp.table_training.budget import Budget, StopInTime
from fastmlp.table_training.fit import Rows, fit_nets, make_nets
from fastmlp.table_training.recipe import Recipe


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


@pytest.mark.quick
def test_a_fit_of_one_net_ends_in_time_and_calls_other_callbacks_too(rng):
    X, seen = rng.normal(size=(40, 2)).astype(np.float32), []
    net = make_nets(2, 1, Recipe(hidden=(4,)), {"loss": "squared_error", "device": "cpu", "random_state": 0}, 1)
    note = lambda epoch, history: seen.append(epoch)
    history = fit_nets(net, Rows(X, X[:, 0]), None, Recipe(), budget=Budget(1e-9), callbacks=note, verbose=0)
    assert (history.epochs, seen) == (1, [0])
