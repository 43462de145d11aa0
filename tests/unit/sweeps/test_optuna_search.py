"""`sweep` with a sampler of Optuna, the real one: what it proposes is trained, and what it is told are the scores."""

import logging
import signal
import sys

import numpy as np
import pytest
from executor_cases import InPlace
from required_libraries import library
from scipy.stats import loguniform, norm, randint, reciprocal, uniform

import fastmlp
from fastmlp.sweeps.optuna_search import SamplerProposals
from fastmlp.sweeps.search import Search

optuna = library("optuna", extras="trackers")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPACE = {
    "hidden_layer_sizes": [(3,), (4, 3)],
    "hidden_activation": ["tanh", "relu"],
    "learning_rate": loguniform(1e-3, 1e-1),
    "dropout": uniform(0.0, 0.5),
    "batch_size": [16, None],
    "epochs": randint(2, 5),
    "schedule": [fastmlp.schedules.Cosine(), "constant"],
    "optimizer": "adam",
}


def tpe(**settings):
    return optuna.samplers.TPESampler(**{"seed": 0, "n_startup_trials": 4} | settings)


def sweep(n=12, space=SPACE, **options):
    options = {"cv": 2, "random_state": 0, "device": "cpu", "verbose": 0, "sampler": tpe()} | options
    return fastmlp.sweep(X, Y, space, n=n, **options)


class Told(optuna.samplers.TPESampler):
    """TPE that keeps the states and values of trials that it is told."""

    def __init__(self, **settings):
        super().__init__(seed=0, **settings)
        self.told = []

    def after_trial(self, study, trial, state, values):
        super().after_trial(study, trial, state, values)
        self.told.append((trial.params, state.name, values))


def test_proposals_are_in_the_space_and_their_scores_are_told():
    sampler = Told(n_startup_trials=4)
    found = sweep(12, sampler=sampler)
    assert len(found.settings) == 12
    assert (np.diff(found.scores) <= 0).all()
    for row in found.settings:
        assert list(row) == list(SPACE)
        for name in ("hidden_layer_sizes", "hidden_activation", "batch_size", "schedule"):
            assert row[name] in SPACE[name]
        assert 1e-3 <= row["learning_rate"] <= 1e-1
        assert 0.0 <= row["dropout"] <= 0.5
        assert row["epochs"] in (2, 3, 4)
        assert type(row["epochs"]) is int
        assert row["optimizer"] == "adam"
    assert {state for _, state, _ in sampler.told} == {"COMPLETE"}
    scores = {row["learning_rate"]: score for row, score in zip(found.settings, found.scores, strict=True)}
    assert {params["learning_rate"]: value for params, _, [value] in sampler.told} == scores
    assert set(sampler.told[0][0]) == set(SPACE) - {"optimizer"}
    assert {params["hidden_activation"] for params, _, _ in sampler.told} == {"tanh", "relu"}
    assert {params["hidden_layer_sizes"] for params, _, _ in sampler.told} == {0, 1}  # a tuple is known by its index


@pytest.mark.slow
def test_the_first_round_is_random_and_the_next_one_follows_its_scores(monkeypatch):
    """With other scores of the first round, its configurations are the same, and those of the second are not."""

    def rows(space=SPACE, sign=1.0):
        search = Search(X, Y, space, 12, 2, 3, 16, "cpu", "float32", 0, tpe())
        train = Search._train

        def trained(self, group, *arguments):
            train(self, group, *arguments)
            self.fold_scores[group.members] *= sign

        monkeypatch.setattr(Search, "_train", trained)
        assert len(search.rows) == 8
        search.run(0)
        monkeypatch.undo()
        return search.rows

    one, same, other = rows(), rows(), rows(sign=-1.0)
    assert one == same
    assert len(one) == 12
    assert other[:8] == one[:8]
    assert other[8:] != one[8:]


def test_an_executor_gives_the_same_scores():
    expected, executor = sweep(10), InPlace()
    found = sweep(10, executor=executor)
    assert found.settings == expected.settings
    np.testing.assert_array_equal(found.fold_scores, expected.fold_scores)
    assert executor.n_submitted > 0


def test_ctrl_c_in_the_second_round_keeps_the_first(monkeypatch):
    evaluate, nets = fastmlp.Population.evaluate, []

    def interrupted(self, *data, **options):
        nets.append(len(self))
        if sum(nets) > 8 * 2:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, *data, **options)

    monkeypatch.setattr(fastmlp.Population, "evaluate", interrupted)
    with pytest.warns(UserWarning, match="The search was interrupted: 8 of 12 configurations"):
        found = sweep(12)
    assert found.interrupted
    assert len(found.settings) == 8


@pytest.mark.parametrize(("n", "sizes"), [(5, [5]), (20, [8, 8, 4]), (64, [8] * 8), (100, [13] * 7 + [9])])
def test_rounds(n, sizes):
    """At most eight, of at least eight configurations each."""
    proposals, asked = SamplerProposals({"l2": [0.0, 0.1]}, n, tpe()), []
    while rows := proposals.ask(n - sum(asked)):
        asked.append(len(rows))
        proposals.tell(np.zeros(len(rows)))
    assert asked == sizes


def test_a_diverged_configuration_is_told_as_failed():
    sampler = Told()
    proposals = SamplerProposals({"l2": [0.0, 0.1]}, 2, sampler)
    proposals.ask(2)
    proposals.tell(np.array([-np.inf, -0.5]))
    assert [(state, values) for _, state, values in sampler.told] == [("FAIL", None), ("COMPLETE", [-0.5])]


def test_a_grid_ends_when_it_is_exhausted():
    grid = optuna.samplers.GridSampler({"hidden_activation": ["tanh", "relu"], "l2": [0.0, 0.1, 0.2, 0.3]}, seed=0)
    space = {"hidden_activation": ["tanh", "relu"], "l2": np.array([0.0, 0.1, 0.2, 0.3]), "epochs": 2}
    found = sweep(20, space, sampler=grid)
    assert not found.interrupted
    assert len({(row["hidden_activation"], row["l2"]) for row in found.settings}) == len(found.settings) == 8


def test_numbers_are_proposed_where_the_distribution_has_its_mass():
    space = {"learning_rate": reciprocal(1e-4, 1.0), "dropout": uniform(0.1, 0.2), "batch_size": randint(3, 6, loc=1)}
    proposals = SamplerProposals(space, 400, optuna.samplers.RandomSampler(seed=0))
    rows = proposals.ask(400)
    assert len(rows) == 50
    rate, dropout, batch_size = (np.array([row[name] for row in rows]) for name in space)
    assert 0.3 < (rate < 1e-2).mean() < 0.7
    assert 0.1 <= dropout.min() < 0.15 < 0.25 < dropout.max() <= 0.3
    assert set(batch_size) == {4, 5, 6}


REFUSED = [
    (
        {"dropout": norm(0.2, 0.1)},
        {},
        r"space\['dropout'\] must be .* uniform, loguniform .* or randint, but it is norm",
    ),
    ({"l2": loguniform(0.1, 1.0, loc=0.5)}, {}, "but it is loguniform with loc"),
    ({"dropout": uniform}, {}, "must be a frozen distribution"),
    ({"l2": []}, {}, "is empty"),
    ({"l3": [0.1]}, {}, "Unknown setting in space 'l3'"),
    ({"optimizer": ["adam", "sgd"], "beta1": [0.9]}, {}, "SGD has no such setting"),
    ({"loss": ["binary_cross_entropy", "squared_error"]}, {}, "cannot be compared"),
    ({"loss": "huber", "huber_delta": uniform(0.5, 1.0)}, {}, "cannot be compared"),
    ({}, {"sampler": "tpe"}, r"sampler must be a sampler of Optuna, such as .*, but it is 'tpe'"),
    ({}, {"sampler": optuna.samplers.TPESampler}, "sampler must be a sampler of Optuna"),
    ({}, {"checkpoint": "search.ckpt"}, "leave out sampler= or checkpoint="),
]


@pytest.mark.parametrize(("space", "options", "message"), REFUSED)
def test_mistakes_are_refused_before_a_net_is_trained(space, options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fastmlp.Population, "fit", None)
    with pytest.raises(ValueError, match=message):
        sweep(space=space, **options)
    assert list(tmp_path.iterdir()) == []


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="sweep with a sampler needs Optuna: install the package optuna"):
        sweep()
    assert len(sweep(2, {"epochs": [2, 3]}, sampler=None).settings) == 2


def test_optuna_logs_no_line_about_its_study(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    caplog.set_level(logging.INFO, "optuna")
    sweep(2, {"epochs": 2})
    assert caplog.records == []
    assert optuna.logging.get_verbosity() == logging.INFO
