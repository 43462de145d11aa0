"""Random search by `sweep`: scores equal cross-validation, rows are sorted, and the best configuration is refitted."""

import itertools
import os
import signal
import time

import numpy as np
import pytest
from executor_cases import InPlace
from scipy.stats import loguniform, randint

import fastmlp
from fastmlp import MLP, Population, sweep
from fastmlp.sampling import folds
from fastmlp.sweeps.space import default_loss, n_outputs_of


@pytest.fixture
def task(rng):
    X = rng.normal(size=(80, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def test_sweep_sorts_by_score_and_refits_the_best(task):
    X, y = task
    space = {
        "hidden_layer_sizes": [(4,), (6, 5)],
        "hidden_activation": ["tanh", "relu"],
        "learning_rate": loguniform(1e-3, 1e-1),
        "l2": [0.0, 1e-3],
    }
    found = sweep(X, y, space, n=12, cv=3, epochs=40, random_state=1, verbose=0)
    assert found.scoring == "accuracy"
    assert len(found.settings) == 12
    assert found.fold_scores.shape == (12, 3)
    assert (np.diff(found.scores) <= 0).all()
    np.testing.assert_allclose(found.scores, found.fold_scores.mean(axis=1))
    best = found.best_settings
    assert found.best.network.layer_sizes == (3, *best["hidden_layer_sizes"], 1)
    assert found.best.network.l2 == best["l2"]
    assert found.scores[0] > 0.6
    frame = found.to_frame()
    assert list(frame.columns[:3]) == ["accuracy", "SD", "train loss"]
    assert len(found.summary(3).splitlines()) == 4
    again = sweep(X, y, space, n=12, cv=3, epochs=40, random_state=1, verbose=0)
    assert again.settings == found.settings
    np.testing.assert_array_equal(again.scores, found.scores)


def test_fold_scores_equal_cross_validation_of_a_population(task):
    """One configuration equals a population with one net per fold."""
    X, y = task
    found = sweep(X, y, {"learning_rate": [0.05]}, n=1, cv=4, epochs=30, random_state=3, verbose=0)
    weights = folds(80, 4, stratify=y, random_state=3)
    seed = int(np.random.default_rng(3).integers(1))  # the one choice is drawn first
    assert seed == 0
    rng = np.random.default_rng(3)
    rng.integers(1)
    pop = Population((3, 32, 1), 4, loss="binary_cross_entropy", random_state=int(rng.integers(2**31)))
    pop.fit(X, y, sample_weight=weights, epochs=30, batch_size=32, optimizer=fastmlp.Adam(0.05), verbose=0)
    scores = [(pop.predict_classes(X[w == 0], nets=[k])[0] == y[w == 0]).mean() for k, w in enumerate(weights)]
    np.testing.assert_allclose(found.fold_scores[0], scores)


def test_sweep_handles_regression_and_several_classes(rng):
    X = rng.normal(size=(60, 2))
    numbers = sweep(X, np.sin(X[:, 0]), {"learning_rate": [0.01, 0.03]}, n=2, epochs=30, random_state=0, verbose=0)
    assert numbers.scoring == "-loss"
    assert (numbers.scores < 0).all()
    classes = sweep(X, rng.integers(0, 3, 60), {"dropout": [0.0, 0.2]}, n=2, epochs=5, random_state=0, verbose=0)
    assert classes.best.network.layer_sizes[-1] == 3


@pytest.mark.parametrize(
    "y, loss, n_outputs",
    [
        ([0, 1, 1, 0], "binary_cross_entropy", 1),
        ([0.0, 2.0, 1.0, 0.0], "softmax_cross_entropy", 3),
        ([[0], [2], [1], [0]], "softmax_cross_entropy", 3),
        ([100, 250_000, 90_000, 1], "squared_error", 1),
        ([-1, 1, 1, -1], "squared_error", 1),
        ([0.5, 1.0, 2.0, 1.0], "squared_error", 1),
        ([[0, 1], [1, 0], [1, 0], [0, 1]], "squared_error", 2),
    ],
)
def test_loss_and_outputs_follow_from_the_targets(y, loss, n_outputs):
    """Integers from 0 to 49 are classes, other numbers are regression targets, so that no net gets 250,001 outputs."""
    y = np.array(y)
    assert default_loss(y) == loss
    assert n_outputs_of(loss, y) == n_outputs


def test_configurations_are_distinct(task):
    """All six of three rates and two architectures, in which equal choices count once; then five of a distribution."""
    settings = {"cv": 2, "epochs": 2, "random_state": 0, "verbose": 0}
    space = {"learning_rate": [0.01, 0.03, 0.1, 0.03], "hidden_layer_sizes": [(3,), (4, 4)]}
    found = sweep(*task, space, n=6, **settings)
    assert len({str(row) for row in found.settings}) == len(found.settings) == 6
    four = sweep(*task, space, n=4, **settings)
    assert len({str(row) for row in four.settings}) == 4
    five = sweep(*task, {"hidden_layer_sizes": randint(2, 12), "init": ["auto", "he_uniform"]}, n=5, **settings)
    assert len({str(row) for row in five.settings}) == 5


@pytest.mark.parametrize(
    ("space", "n_distinct"),
    [({}, 1), ({"learning_rate": [0.01, 0.03]}, 2), ({"learning_rate": 0.01, "hidden_layer_sizes": randint(2, 5)}, 3)],
)
def test_a_space_with_fewer_configurations_is_tried_as_a_whole(task, space, n_distinct):
    with pytest.warns(UserWarning, match=f"The space has {n_distinct} distinct configurations?, fewer than n=9"):
        found = sweep(*task, space, n=9, cv=2, epochs=2, random_state=0, verbose=0)
    assert len({str(row) for row in found.settings}) == len(found.settings) == len(found.scores) == n_distinct


def test_whole_floats_that_are_taken_for_classes_are_said(rng):
    X = rng.normal(size=(60, 2))
    y, settings = np.arange(60.0) % 20, {"n": 1, "cv": 2, "epochs": 2, "random_state": 0, "verbose": 0}
    with pytest.warns(UserWarning, match=r"from 0 to 19, which are taken for 20 classes .* 'loss': 'squared_error'"):
        found = sweep(X, y, {"l2": 0.0}, **settings)
    assert (found.scoring, found.best.network.n_outputs) == ("accuracy", 20)
    for given, space in ((y, {"loss": "squared_error"}), (y.astype(int), {"l2": 0.0}), (y > 9, {"l2": 0.0})):
        sweep(X, given, space, **settings)  # without a warning


@pytest.mark.parametrize(
    "space",
    (
        {"learning_rate_factors": [None, {"biases": 0.1}], "learning_rate": [0.01, 0.02]},
        {"optimizer": "quickprop", "batch_size": None, "by_fan_in": [True, False], "bias_input": [0.5, 1.0]},
    ),
    ids=lambda space: next(iter(space)),
)
def test_settings_of_optimizers_that_nets_share_are_compared(task, space):
    found = sweep(*task, space, n=4, cv=2, epochs=5, random_state=0, verbose=0)
    assert {str(row) for row in found.settings} == {
        str(dict(zip(space, row, strict=True)))
        for row in itertools.product(*(value if isinstance(value, list) else [value] for value in space.values()))
    }
    assert np.isfinite(found.scores).all()


def test_named_loss_decides_if_integers_are_classes(rng):
    X, counts = rng.normal(size=(40, 2)), rng.integers(0, 4, 40)
    settings = {"n": 2, "epochs": 3, "random_state": 0, "verbose": 0}
    assert sweep(X, counts, {"loss": "poisson", "l2": (0.0, 0.1)}, **settings).best.network.layer_sizes[-1] == 1
    two = sweep(X, counts > 1, {"loss": "softmax_cross_entropy", "l2": (0.0, 0.1)}, **settings)
    assert (two.scoring, two.best.network.layer_sizes[-1]) == ("accuracy", 2)


def test_interruption_during_evaluation_or_refit_keeps_scores(task, monkeypatch):
    """Ctrl-C while the first population is evaluated; and while the best configuration is trained again."""
    evaluations, evaluate = [], Population.evaluate

    def interrupted(self, *arguments, **settings):
        evaluations.append(self)
        if len(evaluations) == 1:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, *arguments, **settings)

    monkeypatch.setattr(Population, "evaluate", interrupted)
    space = {"hidden_layer_sizes": [(3,), (4,), (5,)], "l2": [0.0, 0.1, 0.2, 0.3]}
    with pytest.warns(UserWarning, match="interrupted: 4 of 12 configurations"):
        found = sweep(*task, space, n=12, epochs=2, random_state=0, verbose=0)
    assert found.interrupted
    assert len({row["hidden_layer_sizes"] for row in found.settings}) == 1
    assert np.isfinite(found.scores).all()
    monkeypatch.undo()

    fit = MLP.fit

    def refitted(self, *arguments, **settings):
        history = fit(self, *arguments, **settings)
        history.stopped_by = "interrupt"
        return history

    monkeypatch.setattr(MLP, "fit", refitted)
    with pytest.warns(UserWarning, match="3 of 3 configurations are finished, but the training of `best`"):
        found = sweep(*task, space, n=3, epochs=2, random_state=0, verbose=0)
    assert (found.interrupted, len(found.settings)) == (True, 3)


@pytest.mark.parametrize("y", [np.full(80, np.nan), np.zeros(79), np.full(80, "a")])
def test_invalid_targets_raise(task, y):
    with pytest.raises(ValueError, match="y "):
        sweep(task[0], y, {}, n=2, epochs=2, verbose=0)
    with pytest.raises(ValueError, match="at most as many folds as samples, 80, but k is 81"):
        sweep(*task, {}, n=2, cv=81, verbose=0)


BAD = [
    ({"learning_rat": [1]}, "Did you mean 'learning_rate'"),
    ({"learning_rate": []}, "is empty"),
    ({"optimizer": "sgd", "beta1": [0.9]}, "SGD has no such setting"),
    ({"learning_rate": [-1.0]}, "learning_rate must be a number"),
    ({"learning_rate": loguniform}, "must be a frozen distribution"),
    ({"loss": ["binary_cross_entropy", "squared_error"]}, "cannot be compared: .*-loss, squared_error"),
    ([("learning_rate", [0.1])], "space must be a dictionary"),
]


@pytest.mark.parametrize("space, message", BAD)
def test_invalid_search_space_raises(task, space, message):
    with pytest.raises(ValueError, match=message):
        sweep(*task, space, n=8, epochs=2, random_state=0, verbose=0)


SPACE = {"hidden_layer_sizes": [(4,), (6,), (40, 40)], "learning_rate": [0.01, 0.02, 0.05, 0.1], "batch_size": [16]}


def test_an_error_on_a_worker_ends_the_sweep(task):
    def fail(steps, n_steps):
        raise ArithmeticError("no factors")

    with pytest.raises((ArithmeticError, RuntimeError), match="no factors"):
        sweep(*task, SPACE | {"schedule": fail}, n=3, epochs=2, verbose=0, executor=InPlace())


def test_ctrl_c_on_workers_keeps_finished_configurations(task, ctrl_c):
    class InterruptedByTheSecond(InPlace):
        def submit(self, function, /, *arguments):
            if self.n_submitted == 1:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)  # until it has come to the main thread
            return super().submit(function, *arguments)

    with pytest.warns(UserWarning, match="The search was interrupted"):
        found = sweep(*task, SPACE, n=12, epochs=2, random_state=0, executor=InterruptedByTheSecond())
    assert found.interrupted
    assert 0 < len(found.settings) < 12
