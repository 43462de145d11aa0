"""The search itself: rungs, which configuration is chosen, time limits and Ctrl-C."""

import math
import signal
from functools import partial

import numpy as np
import pytest
from interrupted_fits import with_sigint

from fastmlp import MLP, Population
from fastmlp.runtime.ctrl_c import StopFlag, stop_flag
from fastmlp.table_training import tuning
from fastmlp.table_training.encoded_rows import EncodedRows, Rows
from fastmlp.table_training.fits_in_time import Budget, make_nets
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.tuning import Search, Tuning, rungs_of, setting_text
from fastmlp.table_training.tuning_configurations import Scores

RECIPE = Recipe(hidden=(4,), epochs=36, patience=36, n_nets=1)
SEARCHED = ["learning_rate", "dropout", "hidden"]


class Known:
    """Searches of which it is known how good each configuration is, and what was trained."""

    def __init__(self, monkeypatch, rng, quality, n=9, searched=SEARCHED, **settings):
        self.trained, self.after_training, fit_nets = [], lambda: None, tuning.fit_nets
        X = rng.normal(size=(40, 2)).astype(np.float32)
        rows = Rows(X, X[:, :1] - X[:, 1:])
        names = {"learning_rate": "learning_rate_init"}

        def fit(nets, training, held_out, recipe, **further):
            self.trained.append((recipe.epochs, getattr(nets, "n_nets", 1), recipe.patience))
            self.rates = np.atleast_1d(recipe.learning_rate)
            return fit_nets(nets, training, held_out, recipe, **further)

        def score(nets, held_out):
            self.after_training()
            losses = -np.array([np.broadcast_to(quality(rate), 40) for rate in self.rates])
            return Scores(-losses.mean(axis=1), losses)

        make = partial(make_nets, 1, {"loss": "squared_error", "device": "cpu"})
        monkeypatch.setattr(tuning, "fit_nets", fit)
        monkeypatch.setattr(tuning, "scores_of", score)
        task, data = Tuning(n, (), names, f"tune={n}"), EncodedRows(rows, rows)
        self.search = lambda: Search(RECIPE, task, searched, 0, lambda _: data, make, **settings)
        self.found = lambda flag=None: self.search().run(flag or StopFlag())


@pytest.fixture
def known(monkeypatch, rng):
    """Return a function that makes Known."""
    return lambda *arguments, **settings: Known(monkeypatch, rng, *arguments, **settings)


def best_near(target):
    return lambda rate: -abs(math.log(rate / target))


@pytest.mark.parametrize(
    ("n", "epochs", "expected"),
    (
        (2, 40, [(2, 40)]),
        (3, 40, [(3, 14), (1, 40)]),
        (10, 40, [(10, 5), (4, 14), (2, 40)]),
        (1000, 90, [(1000, 10), (334, 30), (112, 90)]),
        (20, 5, [(20, 5)]),
    ),
)
def test_rungs(n, epochs, expected):
    assert rungs_of(n, epochs) == expected


def test_the_best_configuration_is_chosen(known):
    found = known(best_near(5e-4), n=20).found()
    rates = [trial.settings["learning_rate"] for trial in found.trials]
    assert len(rates) == 20
    assert found.recipe.learning_rate == rates[0] == min(rates)
    assert [trial.epochs for trial in found.trials[:4]] == [36] * 4  # three, and the preset
    assert found.recipe == RECIPE.__class__(**vars(RECIPE) | found.trials[0].settings)
    assert not found.interrupted
    assert f"learning_rate_init={rates[0]:.3g}" in found.note


def test_rungs_have_fewer_configurations_of_more_epochs_and_always_the_preset(known):
    search = known(best_near(5e-4), n=20)
    found = search.found()
    nets = {epochs: sum(n for e, n, _ in search.trained if e == epochs) for epochs in (4, 12, 36)}
    assert nets == {4: 20, 12: 8, 36: 4}
    assert all(patience == epochs for epochs, _, patience in search.trained)
    assert any(n > 1 for _, n, _ in search.trained), "populations"
    (preset,) = [trial for trial in found.trials if trial.settings["learning_rate"] == RECIPE.learning_rate]
    assert preset.epochs == 36


@pytest.mark.parametrize(
    "quality, words",
    [
        (best_near(RECIPE.learning_rate), "none was clearly better than the preset"),
        (lambda rate: 1.0, "none was clearly better than the preset"),
        (lambda rate: -np.inf, "none can be compared with the preset"),
    ],
)
def test_the_preset_stays_where_nothing_is_better(known, quality, words):
    found = known(quality).found()
    assert found.recipe == RECIPE
    assert words in found.note


@pytest.mark.parametrize(("apart", "is_chosen"), ((0.5, False), (2.0, True)))
def test_a_gain_that_may_be_chance_is_none(known, rng, apart, is_chosen):
    """Rows that are all noise: of two configurations, one is a little better."""
    gains = rng.normal(size=40)
    gains += apart * gains.std() / 40**0.5 - gains.mean()
    quality = lambda rate: 0.0 * gains if rate == RECIPE.learning_rate else gains
    found = known(quality, n=2, searched=["learning_rate"]).found()
    best = max(trial.score for trial in found.trials)
    assert best > 0.0
    assert (f"which had -0; the best other one had {best:.5g}." in found.note) != is_chosen
    assert (found.recipe != RECIPE) == is_chosen


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("n_groups", (1, 3))
def test_ctrl_c_keeps_the_best_net_so_far(known, n_groups):
    search = known(best_near(1e-2), n=20)

    def interrupt():
        if len(search.trained) == n_groups:
            signal.raise_signal(signal.SIGINT)

    search.after_training = interrupt
    with stop_flag() as flag:
        found = search.found(flag)
    assert found.interrupted
    assert isinstance(found.net, (MLP, Population))
    assert getattr(found.net, "n_nets", 1) == 1
    assert found.net.network.layer_sizes[1:-1] == found.recipe.hidden
    n_tried = sum(n for _, n, _ in search.trained[:n_groups])
    assert len(found.trials) == n_tried
    assert f"was interrupted after {n_tried} of 20 configurations" in found.note


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("hidden_layer_sizes", (64, 32), "hidden_layer_sizes=(64, 32)"),
        ("numeric_encoding", "quantile", "numeric_encoding='quantile'"),
        ("--hidden", (64, 32), "--hidden 64,32"),
        ("--learning-rate", 1.2345e-3, "--learning-rate 0.00123"),
    ],
)
def test_settings_are_written_as_the_user_would_give_them(name, value, written):
    assert setting_text(name, value) == written


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_before_the_first_net_leaves_nothing(known, monkeypatch):
    search = known(best_near(1e-2))
    monkeypatch.setattr(tuning, "fit_nets", with_sigint(tuning.fit_nets))
    with stop_flag() as flag, pytest.raises(KeyboardInterrupt):
        search.found(flag)


def test_a_search_ends_when_its_share_of_the_time_is_over(known):
    found = known(best_near(5e-4), n=20, budget=Budget(1e-9)).found()
    assert (found.recipe, found.trials) == (RECIPE, [])
    assert "compared 0 of 20 configurations by a score" in found.note
    assert "until its share of the time limit was over" in found.note
    assert found.note.endswith("none can be compared with the preset, which is used.")
