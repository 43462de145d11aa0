"""Nets of a recipe, and their fits in the time that there is."""

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.table_training.encoded_rows import Rows
from fastmlp.table_training.fits_in_time import Budget, fit_nets, make_nets
from fastmlp.table_training.recipes import Recipe

SMALL = Recipe(hidden=(8,), epochs=4, n_nets=2, dropout=0.0)
SETTINGS = {"loss": "squared_error", "device": "cpu"}


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(100, 3)).astype(np.float32)
    return Rows(X, X[:, 0] * X[:, 1], rng.uniform(0.5, 2.0, 100))


@pytest.mark.parametrize("n_nets, kind", [(1, MLP), (2, Population)])
def test_one_net_is_an_mlp_and_several_are_a_population(rows, n_nets, kind):
    net = make_nets(1, SETTINGS, 3, 0, SMALL, n_nets)
    assert (type(net), net.network.layer_sizes) == (kind, (3, 8, 1))
    before = net.params.copy()
    result = fit_nets(net, rows.take(np.arange(80)), rows.take(np.arange(80, 100)), SMALL, verbose=0)
    assert np.max(result.epochs) == 4
    assert not np.array_equal(before, net.params)


# ---- time


def test_time_of_compiling_counts():
    budget = Budget(100.0)
    budget._watch.read = lambda: (80.0, 60.0)
    assert (budget.elapsed(), budget.compiled(), budget.left(), budget.part(4).seconds) == (80.0, 60.0, 20.0, 5.0)
    budget._watch.read = lambda: (500.0, 60.0)
    assert budget.left() == 0.0
    assert (Budget().is_limited, Budget().left()) == (False, float("inf"))


@pytest.mark.parametrize("n_nets", [1, 3])
@pytest.mark.parametrize("has_held_out", [True, False])
@pytest.mark.parametrize("completes", [True, False])
def test_a_fit_ends_when_the_time_is_over(rows, n_nets, has_held_out, completes, monkeypatch):
    """One that completes an epoch trains one first."""
    monkeypatch.setattr("fastmlp.table_training.fits_in_time.SHORTEST", 1e-9)  # in a longer time, a net may have one
    recipe, budget = Recipe(hidden=(4,), epochs=10**7), Budget(1e-9, completes_epoch=completes)
    net = make_nets(1, SETTINGS, 3, 0, recipe, n_nets)
    history = fit_nets(net, rows, rows if has_held_out else None, recipe, budget=budget, verbose=0)
    assert set(np.atleast_1d(history.epochs)) == {int(completes)}
    if n_nets == 1 or not completes:
        assert set(np.atleast_1d(history.stopped_by)) == {"time_limit"}
    assert np.isfinite(net.params).all()
