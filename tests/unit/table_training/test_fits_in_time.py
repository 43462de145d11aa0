"""Epochs and nets for which a time limit is enough. Clocks are set by the tests."""

import threading
from _thread import interrupt_main
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp.execution.dispatch import IN_TURN, FitsAtOnce
from fastmlp.runtime.ctrl_c import stop_flag
from fastmlp.table_training import fits_in_time
from fastmlp.table_training.encoded_rows import EncodedRows, Rows
from fastmlp.table_training.fits_in_time import (
    Budget,
    FitsInTime,
    affordable,
    make_nets,
    planned_in_time,
    seconds_per_epoch,
)
from fastmlp.table_training.recipes import Recipe, recipe_of

SETTINGS = {"loss": "squared_error", "device": "cpu"}
X = np.random.default_rng(0).normal(size=(3200, 2)).astype(np.float32)
ROWS = Rows(X, X[:, 0])
DATA = EncodedRows(ROWS.take(np.arange(100)))


def in_folds(n_folds):
    return DATA._replace(folds=np.arange(100) % n_folds) if n_folds > 1 else DATA


def planned(recipe, data, at_once, budget):
    return planned_in_time(recipe, lambda _: None, data, at_once, budget)


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
    assert found.n_nets == 1 or found.epochs >= 10


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


@pytest.mark.parametrize(
    "fit_seconds, step_seconds, limit, least, most, n_fits",
    [
        (0.0, 0.01, 1e9, 1.0, 1.0, 6),
        (0.1, 0.01, 600.0, 1.0, 1.1, 6),
        (0.0, 1.0, 30.0, 100.0, 100.0, 2),
        (9.0, 0.01, 1.0, 101.0, 901.0, 2),
    ],
    ids=["up to two epochs", "what a fit costs by itself", "few batches of a large net", "no time"],
)
def test_an_epoch_is_measured_by_ever_longer_fits(monkeypatch, fit_seconds, step_seconds, limit, least, most, n_fits):
    """Of 100 steps; a short fit costs much by itself, and measurements take a small part of the time."""
    fits, recipe = [], Recipe(hidden=(4,), batch_size=32)

    def fit_nets(net, rows, held_out, recipe, **_):
        fits.append((rows.n_rows, recipe.epochs))
        seconds = fit_seconds + step_seconds * recipe.epochs * -(-rows.n_rows // 32)
        return SimpleNamespace(seconds=seconds, compile_seconds=0.0, stopped_by="epochs")

    monkeypatch.setattr(fits_in_time, "fit_nets", fit_nets)
    found = seconds_per_epoch(lambda: None, EncodedRows(ROWS), recipe, limit)
    assert least - 1e-9 <= found <= most
    assert len(fits) == n_fits
    assert fits[:2] == [(32, 1)] * 2


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_measurement_on_threads_ends_all_of_its_fits(monkeypatch):
    """Of two nets at the same time, which would train for hours."""
    number, begun, ended, fit_nets = count(), [], [], fits_in_time.fit_nets

    def fit(nets, rows, held_out, recipe, **settings):
        begun.append(nets)
        try:
            if next(number) == 1:
                interrupt_main()
            return fit_nets(nets, rows, held_out, replace(recipe, epochs=10**7, patience=10**7), **settings)
        finally:
            ended.append(nets)

    monkeypatch.setattr(fits_in_time, "fit_nets", fit)
    make = lambda recipe: make_nets(1, SETTINGS, 2, 0, recipe, 1)
    with pytest.raises(KeyboardInterrupt):
        planned_in_time(Recipe(n_folds=2), make, in_folds(2), FitsAtOnce(2, 1), Budget(9.0))
    assert len(begun) == len(ended) == 2
    with stop_flag() as flag:
        assert not flag.is_set()


@pytest.mark.parametrize(
    "limit, n_at_once, expected", [(101.0, 2, (4, 19, (2, 1))), (30.0, 2, (2, 15, IN_TURN)), (15.0, 4, (4, 5, (4, 1)))]
)
def test_nets_of_folds_are_planned_at_the_same_time_unless_some_are_left_out(monkeypatch, limit, n_at_once, expected):
    """Four nets, measured beside each other: the slowest one counts. Fewer would leave threads idle."""
    beside, seconds = threading.Barrier(n_at_once), iter([2.5, 1.0, 1.0, 1.0][:n_at_once])

    def seconds_per_epoch(*_):
        if threading.current_thread() is threading.main_thread():
            return 0.9
        beside.wait(10)  # all run at the same time
        return next(seconds)

    monkeypatch.setattr(fits_in_time, "seconds_per_epoch", seconds_per_epoch)
    recipe = Recipe(n_nets=2, n_folds=2, epochs=50)
    found, _, at_once = planned(recipe, in_folds(2), FitsAtOnce(n_at_once, 1), Budget(limit))
    assert (found.n_nets_of_all_folds, found.epochs, at_once) == expected


@pytest.mark.parametrize(
    "limit, epoch_seconds, spent, compiled, completes, words",
    [
        (3.0, 10.0, 0.0, 0.0, True, "instead of 5 nets of 80 epochs"),
        (0.5, 10.0, 0.0, 0.0, False, "and one epoch of 1 net takes about 2 s: 1 net of 1 epoch is all that is trained"),
        (10.0, 1.0, 12.0, 11.0, True, "raise the limit. Compiling took 11 s, which are part of the limit, once for"),
    ],
    ids=["short epochs", "long epochs", "compiling"],
)
def test_short_first_epochs_come_to_their_end(monkeypatch, limit, epoch_seconds, spent, compiled, completes, words):
    """An epoch that takes longer than the whole limit does not."""
    budget = Budget(limit)
    budget.elapsed, budget.compiled = lambda: spent, lambda: compiled
    monkeypatch.setattr(fits_in_time, "seconds_per_epoch", lambda *_: epoch_seconds)
    found, note, _ = planned(Recipe(n_nets=5), DATA, IN_TURN, budget)
    assert (found.n_nets, found.epochs) == (1, 1)
    assert words in note
    assert budget.completes_epoch == budget.part(3).completes_epoch == completes


WANTED = Recipe(epochs=40, patience=20)


def epochs_of_fits(seconds, epoch_seconds, n_at_once=1, order=None, compiled=0.0):
    """Return {fit: (epochs, patience)} of fits that were planned for 10 of 40 epochs.

    seconds : of all, on a clock that stands still
    epoch_seconds : seconds of an epoch of each fit
    """
    budget, trained = Budget(seconds), {}
    fits = FitsInTime(budget, len(epoch_seconds), replace(WANTED, epochs=10, patience=10), WANTED, n_at_once)
    for k in order or range(len(epoch_seconds)):

        def train(recipe, of_fit, k=k):
            trained[k] = recipe.epochs, recipe.patience
            spent = recipe.epochs * epoch_seconds[k] + compiled
            of_fit.elapsed, of_fit.compiled = lambda: spent, lambda: compiled
            return SimpleNamespace(epochs=recipe.epochs)

        fits.fit(k, train)
    return trained


@pytest.mark.parametrize("compiled", [0.0, 20.0], ids=["", "after compiling"])
@pytest.mark.parametrize("epoch_seconds, later", [(1.0, (31, 20)), (0.1, (40, 20)), (4.0, (7, 7)), (1000.0, (1, 1))])
def test_nets_after_the_first_get_the_epochs_for_which_there_is_time(epoch_seconds, later, compiled):
    """Of four, three have 100 s; an epoch takes more or less than was planned, and compiling is no part of it."""
    found = epochs_of_fits(100.0, [epoch_seconds] * 4, compiled=compiled)
    assert (found[0], found[1]) == ((10, 10), later)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2)])
def test_epochs_do_not_depend_on_which_thread_is_first(order):
    """Fits of one turn have equal epochs, even if one ends before another begins; later ones go by the slowest."""
    found = epochs_of_fits(60.0, [1.0, 4.0, 1.0, 1.0], 2, order)
    assert found == {0: (10, 10), 1: (10, 10), 2: (14, 14), 3: (14, 14)}, "0.95 of 60 s, in epochs of 4 s"
