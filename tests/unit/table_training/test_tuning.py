"""The search itself: rungs, which configuration is chosen, time limits and Ctrl-C."""

import math
import signal

import numpy as np
import pytest
from interrupted_fits import with_sigint

from fastmlp import MLP, Population
from fastmlp.runtime.ctrl_c import StopFlag, stop_flag
from fastmlp.table_training import tuning
from fastmlp.table_training.recipe_fit import Budget, make_nets
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.rows import EncodedRows, Rows
from fastmlp.table_training.tuning import Rung, Search, Tuning, TuningTask, net_epochs, rungs_of, setting_text, tuned
from fastmlp.table_training.tuning_configurations import Scores

RECIPE = Recipe(hidden=(4,), epochs=36, patience=36, n_nets=1)
SEARCHED = ("learning_rate", "dropout", "hidden")


@pytest.fixture(autouse=True)
def _known_scores(monkeypatch):
    """Known puts its scores in the place of this, which comes back after the test."""
    monkeypatch.setattr(tuning, "scores_of", tuning.scores_of)


class Known:
    """A search of which it is known how good each configuration is, and what was trained."""

    def __init__(self, rng, quality, n=9, **settings):
        self.quality, self.trained, self.after_training = quality, [], lambda: None
        self.noise = np.zeros(40)
        tuning.scores_of = self.score
        X = rng.normal(size=(40, 2)).astype(np.float32)
        rows = Rows(X, X[:, :1] - X[:, 1:])
        data = EncodedRows(rows, rows)
        self.task = TuningTask(
            recipe=RECIPE,
            tuning=Tuning(n, SEARCHED, {"learning_rate": "learning_rate_init"}, f"tune={n}"),
            seed=0,
            encoded=lambda recipe: data,
            make_nets=self.make,
            **settings,
        )

    def make(self, n_features, recipe, n_nets, seed):
        return make_nets(
            n_features, 1, recipe, {"loss": "squared_error", "device": "cpu", "random_state": seed}, n_nets
        )

    def score(self, nets, held_out, recipe):
        self.trained.append((recipe.epochs, getattr(nets, "n_nets", 1), recipe.patience))
        self.after_training()
        rates = np.atleast_1d(recipe.learning_rate)
        values = np.array([self.quality(rate) for rate in rates])
        return Scores(values, -values[:, np.newaxis] + self.noise)


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
    assert rungs_of(n, epochs) == [Rung(*row) for row in expected]


def test_the_best_configuration_is_chosen(rng):
    known = Known(rng, best_near(5e-4), n=20)
    found = tuned(known.task, StopFlag())
    rates = [trial.settings["learning_rate"] for trial in found.trials]
    assert len(rates) == 20
    assert found.recipe.learning_rate == rates[0] == min(rates)
    assert [trial.epochs for trial in found.trials[:4]] == [36] * 4  # three, and the preset
    assert found.recipe == RECIPE.__class__(**vars(RECIPE) | found.trials[0].settings)
    assert not found.interrupted
    assert found.net is None
    assert f"learning_rate_init={rates[0]:.3g}" in found.note


def test_rungs_have_fewer_configurations_of_more_epochs_and_always_the_preset(rng):
    known = Known(rng, best_near(5e-4), n=20)
    found = tuned(known.task, StopFlag())
    nets = {epochs: sum(n for e, n, _ in known.trained if e == epochs) for epochs in (4, 12, 36)}
    assert nets == {4: 20, 12: 8, 36: 4}
    assert all(patience == epochs for epochs, _, patience in known.trained)
    assert any(n > 1 for _, n, _ in known.trained), "populations"
    (preset,) = [trial for trial in found.trials if trial.settings["learning_rate"] == RECIPE.learning_rate]
    assert preset.epochs == 36


def test_the_preset_stays_where_nothing_is_better(rng):
    found = tuned(Known(rng, best_near(RECIPE.learning_rate)).task, StopFlag())
    assert found.recipe == RECIPE
    assert "none was clearly better than the preset" in found.note
    equal = tuned(Known(rng, lambda rate: 1.0).task, StopFlag())
    assert equal.recipe == RECIPE
    worst = tuned(Known(rng, lambda rate: -np.inf).task, StopFlag())
    assert worst.recipe == RECIPE
    assert "none can be compared with the preset" in worst.note


@pytest.mark.parametrize(("apart", "is_chosen"), ((0.5, False), (2.0, True)))
def test_a_gain_that_may_be_chance_is_none(rng, apart, is_chosen):
    """Rows that are all noise: of two configurations, one is a little better."""
    known = Known(rng, lambda rate: 0.0, n=2)
    gains = rng.normal(size=40)
    gains += apart * gains.std() / 40**0.5 - gains.mean()

    def score(nets, held_out, recipe):
        losses = np.array([-gains if rate != RECIPE.learning_rate else 0.0 * gains for rate in recipe.learning_rate])
        return Scores(-losses.mean(axis=1), losses)

    tuning.scores_of = score
    known.task.tuning = known.task.tuning._replace(searched=("learning_rate",))
    found = tuned(known.task, StopFlag())
    best = max(trial.score for trial in found.trials)
    assert best > 0.0
    assert (f"which had -0; the best other one had {best:.5g}." in found.note) != is_chosen
    assert (found.recipe != RECIPE) == is_chosen


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("n_groups", (1, 3))
def test_ctrl_c_keeps_the_best_net_so_far(rng, n_groups):
    known = Known(rng, best_near(1e-2), n=20)

    def interrupt():
        if len(known.trained) == n_groups:
            signal.raise_signal(signal.SIGINT)

    known.after_training = interrupt
    with stop_flag() as flag:
        found = tuned(known.task, flag)
    assert found.interrupted
    assert isinstance(found.net, (MLP, Population))
    assert getattr(found.net, "n_nets", 1) == 1
    assert found.net.network.layer_sizes[1:-1] == found.recipe.hidden
    n_tried = sum(n for _, n, _ in known.trained[:n_groups])
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
def test_ctrl_c_before_the_first_net_leaves_nothing(rng, monkeypatch):
    monkeypatch.setattr(tuning, "fit_nets", with_sigint(tuning.fit_nets))
    with stop_flag() as flag, pytest.raises(KeyboardInterrupt):
        tuned(Known(rng, best_near(1e-2)).task, flag)


def test_a_short_time_limit_leaves_configurations_out(rng, monkeypatch):
    known = Known(rng, best_near(1e-2), n=20, budget=Budget(100.0))
    monkeypatch.setattr(tuning, "seconds_per_epoch", lambda *_: 0.2)
    found = tuned(known.task, StopFlag())
    n_tried = len(found.trials)
    cost = lambda n: 0.2 * net_epochs(rungs_of(n, 36))
    assert cost(n_tried) <= 47.5 < cost(n_tried + 1)
    assert f"compared {n_tried} of 20 configurations" in found.note
    monkeypatch.setattr(tuning, "seconds_per_epoch", lambda *_: 0.5)
    found = tuned(known.task, StopFlag())
    assert found.trials[0].epochs == 12
    assert len(found.trials) >= 4
    assert "for up to 12 epochs, as the time limit allows" in found.note
    monkeypatch.setattr(tuning, "seconds_per_epoch", lambda *_: 10.0)
    found = tuned(known.task, StopFlag())
    assert (found.recipe, found.trials) == (RECIPE, [])
    assert "too short to compare configurations (tune=20)" in found.note


def test_when_the_time_is_over_the_last_finished_comparison_decides(rng):
    known = Known(rng, best_near(1e-2), n=20)
    search = Search(known.task, 20, 36)

    def end_time():
        if known.trained[-1][0] == 12:
            search._budget = Budget(0.0)

    known.after_training = end_time
    search.run(StopFlag())
    assert search.out_of_time
    best, first = search.best(), search.trials[0]
    assert best.epochs == first.epochs == 12
    assert best.score > first.score
    assert "until its share of the time limit was over" in tuning.sentence(search, known.task)
