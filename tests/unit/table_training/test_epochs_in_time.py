"""Epochs and nets for which a time limit is enough."""

import sys
import threading
from _thread import interrupt_main
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp.devices import resolve
from fastmlp.execution.dispatch import IN_TURN, FitsAtOnce, choose_fits_at_once
from fastmlp.runtime.ctrl_c import stop_flag
from fastmlp.table_training import epochs_in_time
from fastmlp.table_training.epochs_in_time import FitsInTime, NetsToPlan, affordable, planned_in_time, seconds_per_epoch
from fastmlp.table_training.recipe_fit import make_nets
from fastmlp.table_training.recipes import Recipe, recipe_of
from fastmlp.table_training.rows import EncodedRows, Rows
from fastmlp.table_training.time_budget import Budget

SETTINGS = {"loss": "squared_error", "device": "cpu", "random_state": 0}


@pytest.mark.parametrize("n_nets, n_folds", [(1, 1), (5, 1), (2, 5)])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.0, 30.0, 300.0])
def test_the_plan_is_within_the_limit_or_is_the_least(n_nets, n_folds, seconds):
    recipe = Recipe(n_nets=n_nets, n_folds=n_folds, epochs=100)
    found, note = affordable(recipe, 0.5, seconds)
    spent = 0.5 * found.epochs * found.n_nets / n_nets
    assert spent <= seconds or (found.epochs, found.n_nets) == (1, 1)
    assert (found == recipe) == (note == "") == (seconds > 60)
    assert found.n_folds == (n_folds if seconds > 0.01 else 1), "folds need time for an epoch of a net each"
    assert found.patience <= found.epochs
    if found.n_nets > 1:
        assert found.epochs >= 10


@pytest.mark.parametrize(
    "seconds, n_nets, n_folds, epochs", [(30.0, 1, 6, 57), (1.0, 1, 1, 11), (2.0, 2, 1, 11), (3.0, 3, 1, 11)]
)
def test_nets_for_which_there_is_no_time_are_left_out_and_the_others_hold_out_the_same_rows(
    seconds, n_nets, n_folds, epochs
):
    recipe = recipe_of("good", {"epochs": 100}).with_own_folds(1000)
    found, note = affordable(recipe, 0.5, seconds)
    assert (found.n_nets, found.n_folds, found.epochs) == (n_nets, n_folds, epochs)
    assert note.endswith("instead of 6 nets of 100 epochs.")
    assert affordable(recipe, 0.5, 60.0) == (recipe, "")


def test_the_measurement_trains_other_nets_for_a_moment(rng):
    X = rng.normal(size=(3000, 2)).astype(np.float32)
    recipe, made = Recipe(hidden=(4,), batch_size=32), []

    def make():
        made.append(make_nets(2, 1, recipe, SETTINGS, 1))
        return made[-1]

    assert seconds_per_epoch(make, Rows(X, X[:, 0]), Rows(X[:9], X[:9, 0]), recipe, 1e9) > 0.0
    assert [net.history.settings["n_samples"] for net in made] == [32, 512, 512, 512, 512, 512]
    assert [net.history.epochs for net in made] == [1, 1, 2, 4, 8, 16], "up to twice all rows"


STEP = 0.01  # seconds


def measured(rng, monkeypatch, fit_seconds, seconds):
    """Return what an epoch of 100 steps seems to take, where fits cost fit_seconds by themselves; and their number."""
    X, recipe, n_fits = rng.normal(size=(3200, 2)).astype(np.float32), Recipe(hidden=(4,), batch_size=32), []

    def fit_nets(net, rows, held_out, recipe, **_):
        n_fits.append(1)
        taken = fit_seconds[min(len(n_fits) - 1, len(fit_seconds) - 1)] + STEP * recipe.epochs * -(-rows.n_rows // 32)
        return SimpleNamespace(seconds=taken, compile_seconds=0.0, stopped_by="epochs")

    monkeypatch.setattr(epochs_in_time, "fit_nets", fit_nets)
    return seconds_per_epoch(lambda: None, Rows(X, X[:, 0]), None, recipe, seconds), len(n_fits)


def test_a_measurement_is_long_enough_for_what_a_fit_costs_by_itself(rng, monkeypatch):
    found, _ = measured(rng, monkeypatch, [0.1], 600.0)
    assert 1.0 <= found <= 1.1, "16 steps of 0.01 s take 0.26 s, which would make 1.6 s an epoch"


def test_a_measurement_that_was_slowed_down_does_not_count(rng, monkeypatch):
    found, n_fits = measured(rng, monkeypatch, [0.0, 9.0, 0.0], 1.0)
    assert found == pytest.approx(1.0)
    assert n_fits == 5, "one that loads modules, and one of a batch, since 16 take a part of the time"


def test_of_a_large_net_few_batches_are_measured(rng, monkeypatch):
    """A batch takes a second: 16 batches, three times, would take longer than the limit."""
    monkeypatch.setattr(sys.modules[__name__], "STEP", 1.0)
    found, n_fits = measured(rng, monkeypatch, [0.0], 30.0)
    assert found == pytest.approx(100.0)
    assert n_fits == 3, "each of one batch"


@pytest.mark.parametrize("seconds, completes", [(3.0, True), (0.5, False)])
def test_short_first_epochs_come_to_their_end(rng, monkeypatch, seconds, completes):
    """An epoch that takes longer than the whole limit does not."""
    X, budget = rng.normal(size=(64, 2)).astype(np.float32), Budget(seconds)
    monkeypatch.setattr(epochs_in_time, "seconds_per_epoch", lambda *_: 10.0)
    planned, note, _ = planned_in_time(
        Recipe(n_nets=5), NetsToPlan(lambda _: None, EncodedRows(Rows(X, X[:, 0]))), budget
    )
    assert (planned.n_nets, planned.epochs) == (1, 1)
    said = "and one epoch of 1 net takes about 2 s: 1 net of 1 epoch is all that is trained, instead of 5 nets of"
    assert (said in note) == (seconds < 2.0)
    assert budget.completes_epoch == budget.part(3).completes_epoch == completes


def test_ctrl_c_in_a_measurement_is_not_lost(rng, monkeypatch):
    X = rng.normal(size=(64, 2)).astype(np.float32)
    interrupted = SimpleNamespace(seconds=0.1, compile_seconds=0.0, stopped_by="interrupt")
    monkeypatch.setattr(epochs_in_time, "fit_nets", lambda *_, **__: interrupted)
    with pytest.raises(KeyboardInterrupt):
        seconds_per_epoch(lambda: None, Rows(X, X[:, 0]), None, Recipe(), 9.0)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_measurement_on_threads_ends_all_of_its_fits(rng, monkeypatch):
    """Of two nets at the same time, which would train for hours."""
    X, number, begun, ended = rng.normal(size=(200, 2)).astype(np.float32), count(), [], []
    fit_nets = epochs_in_time.fit_nets

    def fit(nets, rows, held_out, recipe, **settings):
        begun.append(nets)
        try:
            if next(number) == 1:
                interrupt_main()
            return fit_nets(nets, rows, held_out, replace(recipe, epochs=10**7, patience=10**7), **settings)
        finally:
            ended.append(nets)

    monkeypatch.setattr(epochs_in_time, "fit_nets", fit)
    make = lambda recipe: make_nets(2, 1, recipe, SETTINGS, 1)
    nets = NetsToPlan(make, EncodedRows(Rows(X, X[:, 0]), folds=np.arange(200) % 2), at_once=FitsAtOnce(2, 1))
    with pytest.raises(KeyboardInterrupt):
        planned_in_time(Recipe(n_folds=2), nets, Budget(9.0))
    assert len(begun) == len(ended) == 2
    with stop_flag() as flag:
        assert not flag.is_set()


@pytest.mark.parametrize("n_folds, n_threads, seconds", [(1, 1, 60.0), (1, 4, 60.0), (5, 1, 600.0), (5, 4, 180.0)])
def test_the_plan_counts_all_epochs_and_nets(rng, monkeypatch, n_folds, n_threads, seconds):
    """Four of ten nets at the same time are three turns."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n_threads))
    X = rng.normal(size=(100, 2)).astype(np.float32)
    recipe = Recipe(n_nets=2, n_folds=n_folds, epochs=30)
    folds = np.arange(100) % n_folds if n_folds > 1 else None
    monkeypatch.setattr(epochs_in_time, "seconds_per_epoch", lambda *_: 2.0)
    at_once = choose_fits_at_once(resolve("cpu"), 2 * n_folds, X.nbytes) if n_folds > 1 else IN_TURN
    nets = NetsToPlan(lambda _: None, EncodedRows(Rows(X, X[:, 0]), folds=folds), at_once)
    assert planned_in_time(recipe, nets, Budget(1.06 * seconds)).recipe == recipe
    assert planned_in_time(recipe, nets, Budget(seconds)).recipe != recipe


def measure_nets_at_once(monkeypatch, seconds_in_turn, seconds_at_once):
    """Patch the measurement of an epoch of one net: what it takes alone, and beside another one."""
    beside = threading.Barrier(len(seconds_at_once))

    def seconds_per_epoch(*_):
        if threading.current_thread() is threading.main_thread():
            return seconds_in_turn
        beside.wait(10)  # both run at the same time
        return next(seconds)

    seconds = iter(seconds_at_once)
    monkeypatch.setattr(epochs_in_time, "seconds_per_epoch", seconds_per_epoch)


@pytest.mark.parametrize(
    "limit, n_at_once, expected", [(101.0, 2, (4, 19, (2, 1))), (30.0, 2, (2, 15, IN_TURN)), (15.0, 4, (4, 5, (4, 1)))]
)
def test_nets_of_folds_are_planned_at_the_same_time_unless_some_are_left_out(
    rng, monkeypatch, limit, n_at_once, expected
):
    """Four nets, measured beside each other: the slowest one counts. Fewer would leave threads idle."""
    measure_nets_at_once(monkeypatch, 0.9, [2.5, 1.0, 1.0, 1.0][:n_at_once])
    X = rng.normal(size=(100, 2)).astype(np.float32)
    recipe = Recipe(n_nets=2, n_folds=2, epochs=50)
    at_once = FitsAtOnce(n_at_once, 1)
    nets = NetsToPlan(lambda _: None, EncodedRows(Rows(X, X[:, 0]), folds=np.arange(100) % 2), at_once=at_once)
    found = planned_in_time(recipe, nets, Budget(limit))
    assert (found.recipe.n_nets_of_all_folds, found.recipe.epochs, found.at_once) == expected


def epochs_of_fits(n_fits, epoch_seconds, n_at_once=1, seconds=100.0):
    """Return the epochs of fits one after another, planned for 10 of the 40 that are wanted; an epoch takes a time."""
    wanted, trained = Recipe(epochs=40, patience=20), []
    fits = FitsInTime(Budget(seconds), n_fits, replace(wanted, epochs=10, patience=10), wanted, n_at_once)

    def train(recipe, budget):
        trained.append((recipe.epochs, recipe.patience))
        spent = recipe.epochs * epoch_seconds
        budget.elapsed = lambda: spent
        return SimpleNamespace(epochs=recipe.epochs)

    for k in range(n_fits):
        fits.fit(k, train)
    return trained


@pytest.mark.parametrize("epoch_seconds, later", [(1.0, (31, 20)), (0.1, (40, 20)), (4.0, (7, 7)), (1000.0, (1, 1))])
def test_nets_after_the_first_get_the_epochs_for_which_there_is_time(epoch_seconds, later):
    """Three have 100 s, since the clock stands still; an epoch takes more or less than was planned."""
    assert epochs_of_fits(4, epoch_seconds)[:2] == [(10, 10), later]


def test_nets_at_the_same_time_go_by_the_slowest_one():
    wanted, epoch_seconds = Recipe(epochs=40), iter([1.0, 2.0, 1.0])
    fits = FitsInTime(Budget(60.0), 6, replace(wanted, epochs=10, patience=10), wanted, 2)

    def train(recipe, budget):
        spent = recipe.epochs * next(epoch_seconds)
        budget.elapsed = lambda: spent
        return SimpleNamespace(epochs=recipe.epochs)

    for k in range(2):
        fits.fit(k, train)
    third = []
    fits.fit(2, lambda recipe, budget: third.append(recipe.epochs) or train(recipe, budget))
    assert third == [14], "0.95 of 30 s, in epochs of 2 s"


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2)])
def test_epochs_do_not_depend_on_which_thread_is_first(order):
    """Fits of one turn have equal epochs, even if one of them ends before another begins."""
    wanted, epochs, seconds = Recipe(epochs=40), {}, {}
    fits = FitsInTime(Budget(60.0), 4, replace(wanted, epochs=10, patience=10), wanted, 2)
    for k in order:

        def train(recipe, budget, k=k):
            epochs[k], seconds[k] = recipe.epochs, round(budget.seconds)
            budget.elapsed = lambda: recipe.epochs * 1.0
            return SimpleNamespace(epochs=recipe.epochs)

        fits.fit(k, train)
    assert [epochs[k] for k in range(4)] == [10, 10, 40, 40]
    assert [seconds[k] for k in range(4)] == [30, 30, 60, 60], "the clock stands still"


def test_compiling_counts_in_the_limit_but_not_as_time_of_epochs():
    """The first of two fits has 10 epochs of 1 s, and compiles for 20 s."""
    wanted, trained = Recipe(epochs=100), []
    budget = Budget(100.0)
    fits = FitsInTime(budget, 2, replace(wanted, epochs=10, patience=10), wanted)

    def train(recipe, of_fit):
        trained.append(recipe.epochs)
        of_fit.elapsed, of_fit.compiled = lambda: 30.0, lambda: 20.0
        budget.elapsed = lambda: 30.0
        return SimpleNamespace(epochs=10)

    for k in range(2):
        fits.fit(k, train)
    assert trained == [10, 66], "0.95 of 70 s"


def test_a_plan_after_compiling_names_it(rng, monkeypatch):
    X, budget = rng.normal(size=(64, 2)).astype(np.float32), Budget(10.0)
    budget.elapsed, budget.compiled = lambda: 12.0, lambda: 11.0
    monkeypatch.setattr(epochs_in_time, "seconds_per_epoch", lambda *_: 1.0)
    planned, note, _ = planned_in_time(
        Recipe(n_nets=5), NetsToPlan(lambda _: None, EncodedRows(Rows(X, X[:, 0]))), budget
    )
    assert (planned.n_nets, planned.epochs, budget.completes_epoch) == (1, 1, True)
    assert note.endswith(
        "raise the limit. Compiling took 11 s, which are part of the limit, once for this kind of net."
    )


def test_without_a_limit_all_nets_have_the_planned_epochs():
    assert epochs_of_fits(3, 1.0, seconds=float("inf")) == [(10, 10)] * 3
