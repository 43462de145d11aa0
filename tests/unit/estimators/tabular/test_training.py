"""Presets, folds and the other parameters of the tabular estimators that decide how their nets are trained."""

import pkgutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from interrupted_fits import with_sigint
from kernel_clock import KernelClock
from sklearn.base import clone

import fastmlp
from fastmlp import MLP, Population, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.execution.dispatch import IN_TURN
from fastmlp.table_training import model as model_of_tables
from fastmlp.table_training.recipes import QUALITIES

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0, "device": "cpu"}
N_GOOD = QUALITIES["good"].n_nets
LONG = {"max_iter": 10_000, "n_iter_no_change": 10_000}


@pytest.fixture
def table(rng):
    X = pd.DataFrame({"size": rng.normal(size=300), "colour": rng.choice(["red", "blue"], 300)})
    return X, X["size"].to_numpy() + (X["colour"] == "red")


@pytest.mark.parametrize("quality", QUALITIES)
def test_presets_decide_the_number_of_nets(table, quality):
    X, score = table
    recipe = QUALITIES[quality]
    model = TabularMLPRegressor(quality=quality, **SMALL | {"max_iter": 2}).fit(X, score)
    n_nets = recipe.n_nets_of_all_folds
    assert isinstance(model.net_, MLP if n_nets == 1 else Population)
    assert getattr(model.net_, "n_nets", 1) == n_nets
    assert model.n_iter_ == 2
    assert hasattr(model, "oof_prediction_") == (n_nets > 1), "each net has rows of its own to hold out"
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["n_nets"] == "auto", "parameters stay as they were given"


def test_a_given_parameter_takes_the_place_of_the_presets(table):
    X, score = table
    model = TabularMLPRegressor(quality="best", n_folds=1, n_nets=1, **SMALL).fit(X, score)
    for same in ({"n_nets": 1}, {"quality": "fast"}):
        same |= {"learning_rate_init": 0.004}  # fast has another one
        np.testing.assert_array_equal(model.predict(X), TabularMLPRegressor(**same, **SMALL).fit(X, score).predict(X))
    for quality in ("quick", 3):
        with pytest.raises(ValueError, match="Unknown quality"):
            TabularMLPRegressor(quality=quality).fit(X, score)


def test_out_of_fold_predictions_are_those_of_unseen_rows(table):
    X, score = table
    model = TabularMLPRegressor(n_folds=3, n_nets=2, **SMALL).fit(X, score)
    assert model.net_.n_nets == 6
    assert model.oof_prediction_.shape == (300,)
    assert 0.5 < np.corrcoef(model.oof_prediction_, score)[0, 1] < 1.0
    clf = TabularMLPClassifier(n_folds=2, n_nets=1, **SMALL).fit(X, np.where(score > 0, "yes", "no"))
    np.testing.assert_allclose(clf.oof_prediction_.sum(axis=1), 1.0)
    assert ((clf.oof_prediction_[:, 1] > 0.5) == (score > 0)).mean() > 0.8
    two = TabularMLPRegressor(n_folds=2, n_nets=1, **SMALL).fit(X, np.c_[score, -score])
    assert two.oof_prediction_.shape == two.predict(X).shape == (300, 2)


def test_each_net_of_good_holds_out_rows_of_its_own(table):
    X, score = table
    model = TabularMLPRegressor(**SMALL).fit(X, score)
    folds = TabularMLPRegressor(n_folds=N_GOOD, n_nets=1, **SMALL).fit(X, score)
    np.testing.assert_array_equal(model.net_.params, folds.net_.params)
    np.testing.assert_array_equal(model.oof_prediction_, folds.oof_prediction_)
    assert np.isfinite(model.oof_prediction_).all()
    held_out = X[200:], score[200:]
    for settings, further in (
        ({"validation_fraction": 0.2}, {}),
        ({"n_folds": 1}, {}),
        ({}, {"validation_data": held_out}),
    ):
        alike = TabularMLPRegressor(**SMALL | settings | {"max_iter": 3}).fit(X[:200], score[:200], **further)
        assert alike.net_.n_nets == N_GOOD
        assert not hasattr(alike, "oof_prediction_")


@pytest.mark.parametrize("n_threads, n_nets", [(1, 3), (2, N_GOOD)])
def test_a_time_limit_that_leaves_out_nets_lets_the_others_hold_out_the_same_rows(
    table, monkeypatch, n_threads, n_nets
):
    """Two threads train nets of folds at the same time, and leave none out. An epoch takes less than it seems to: those
    that begin after the first ones have all of their epochs.
    """
    X, score = table
    monkeypatch.setenv("FASTMLP_NUM_THREADS", str(n_threads))
    monkeypatch.setattr("fastmlp.table_training.fits_in_time.seconds_per_epoch", lambda *_: 2.0)
    words = f"is enough for {n_nets} nets of 11 epochs, instead of {N_GOOD} nets of 20 epochs"
    with pytest.warns(UserWarning, match=words):
        model = TabularMLPRegressor(time_limit=75.0, **SMALL).fit(X, score)
    assert model.history_.epochs.tolist() == ([11, 11] + [20] * (N_GOOD - 2) if n_threads == 2 else [11] * n_nets)
    assert hasattr(model, "oof_prediction_") == (n_nets == N_GOOD)
    assert model.history_.arguments["n_samples"] == 250


@pytest.mark.slow
def test_folds_do_not_learn_from_the_rows_they_predict(rng):
    """Noise as the target: out-of-fold predictions know nothing of it, predictions of training rows do."""
    X, noise = pd.DataFrame(rng.normal(size=(120, 6))), rng.normal(size=120)
    settings = SMALL | {"hidden_layer_sizes": (128,), "dropout": 0.0, "weight_decay": 0.0, "max_iter": 60}
    model = TabularMLPRegressor(n_folds=4, n_nets=1, n_iter_no_change=60, **settings).fit(X, noise)
    assert abs(np.corrcoef(model.oof_prediction_, noise)[0, 1]) < 0.35
    with pytest.raises(ValueError, match="validation_fraction is given, but with 4 folds each fold is held out"):
        TabularMLPRegressor(n_folds=4, validation_fraction=0.1, **settings).fit(X, noise)
    with pytest.raises(ValueError, match="n_folds is 200, but there are only 120 rows"):
        TabularMLPRegressor(n_folds=200, **settings).fit(X, noise)


def test_nets_of_folds_are_saved(table, tmp_path):
    X, score = table
    model = TabularMLPRegressor(n_folds=2, n_nets=1, **SMALL | {"max_iter": 2}).fit(X, score)
    model.save(tmp_path / "folds.safetensors")
    same = fastmlp.load(tmp_path / "folds.safetensors", device="cpu")
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert same.history_.epochs.tolist() == [2, 2]


def test_records_belong_to_the_last_fit(table):
    X, score = table
    model = TabularMLPRegressor(n_folds=2, n_nets=1, **SMALL | {"max_iter": 1}).fit(X, score)
    model.set_params(n_folds=1).fit(X, score)
    assert not hasattr(model, "oof_prediction_")
    assert len(model.loss_curve_) == 1
    model.set_params(n_nets=2, tune=2).fit(X, score)
    assert not hasattr(model, "loss_curve_")
    assert not hasattr(model.set_params(tune=None).fit(X, score), "tuning_results_")


def test_ctrl_c_keeps_the_folds_that_were_trained(table, monkeypatch):
    fit_nets, calls = model_of_tables.fit_nets, []

    def interrupted(*args, **settings):
        history = fit_nets(*args, **settings)
        calls.append(history)
        if len(calls) == 2:
            history.stopped_by = "interrupt"
        return history

    monkeypatch.setattr(model_of_tables, "fit_nets", interrupted)
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # nets in turn
    X, score = table
    with pytest.warns(
        UserWarning, match="1 of 3 nets had come to their end, and 1 had not begun. .* mean of the 2 nets"
    ):
        model = TabularMLPRegressor(n_folds=3, n_nets=1, **SMALL | {"max_iter": 2}).fit(X, score)
    assert model.net_.n_nets == 2
    assert np.isfinite(model.predict(X)).all()
    assert np.isnan(model.oof_prediction_).any()


# Where Ctrl-C comes after a training: settings, function, its call, number of nets that are left.
WAYS = {
    "between two folds": ({"n_folds": 3}, "fastmlp.table_training.folds.logits", 2, 2),
    "calibration of folds": ({"n_folds": 2}, "fastmlp.table_training.model.fit_temperature", 1, 2),
    "calibration": ({"n_nets": 2}, "fastmlp.table_training.model.logits", 1, 2),
    "preprocessing": ({"n_nets": 2}, "fastmlp.estimators.tabular.base.Preprocessing", 1, 2),
}


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_after_a_training_keeps_the_nets_that_are_trained(table, way, monkeypatch, tmp_path):
    settings, place, call, n_left = WAYS[way]
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # nets in turn
    X, score = table
    y = np.where(score > 0, "yes", "no")
    model = TabularMLPClassifier(**SMALL | {"n_nets": 1, "max_iter": 2} | settings)
    with monkeypatch.context() as patch:
        patch.setattr(place, with_sigint(pkgutil.resolve_name(place), call))
        with pytest.warns(UserWarning, match="interrupted") as caught:
            model.fit(X, y)
    assert len(caught) == 1
    assert model.net_.n_nets == n_left
    assert model.n_iter_ == 2
    assert model.temperature_ > 0.0
    p = model.predict_proba(X)
    assert np.isfinite(p).all()
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "model.safetensors", device="cpu").predict_proba(X), p)


@pytest.fixture
def unsure(rng):
    """Settings and data of a classifier that is less sure than it could be, because labels are smoothed."""
    X = pd.DataFrame(rng.normal(size=(400, 4)), columns=list("abcd"))
    y = np.where(X["a"] + rng.normal(0, 0.2, 400) > 0, "yes", "no")
    return SMALL | {"label_smoothing": 0.5}, X, y


@pytest.mark.parametrize("n_nets, n_folds", [(1, 1), (2, 1), (1, 2)])
def test_a_temperature_lowers_the_log_loss_of_held_out_rows(unsure, n_nets, n_folds):
    from sklearn.metrics import log_loss

    settings, X, y = unsure
    model = TabularMLPClassifier(**settings, n_nets=n_nets, n_folds=n_folds)
    if n_folds > 1:
        model.fit(X, y)
        held_out, calibrated = y, model.oof_prediction_
        sharpened = calibrated**model.temperature_  # of a single net for each fold
        uncalibrated = sharpened / sharpened.sum(axis=1, keepdims=True)
    else:
        model.fit(X[:200], y[:200], validation_data=(X[200:], y[200:]))
        held_out, calibrated = y[200:], model.predict_proba(X[200:])
    assert model.temperature_ < 0.9
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert (model.classes_[model.predict_proba(X).argmax(axis=1)] == model.predict(X)).all()
    if n_folds == 1:
        model.temperature_ = 1.0
        uncalibrated = model.predict_proba(X[200:])
    assert log_loss(held_out, uncalibrated) > log_loss(held_out, calibrated)


def test_without_held_out_rows_probabilities_are_not_calibrated(unsure):
    settings, X, y = unsure
    assert TabularMLPClassifier(validation_fraction=0, **settings | {"max_iter": 1}).fit(X, y).temperature_ == 1.0


def test_the_temperature_is_in_the_file_and_used_by_the_command(unsure, tmp_path):
    from fastmlp.commands.predict import predictions
    from fastmlp.loading import load_net

    settings, X, y = unsure
    model = TabularMLPClassifier(n_nets=2, **settings).fit(X, y)
    model.temperature_, path = 2.0, tmp_path / "model.safetensors"
    target = model.net_.preprocessing.target
    model.net_.preprocessing = replace(model.net_.preprocessing, target=replace(target, temperature=2.0))
    model.save(path)
    same = fastmlp.load(path, device="cpu")
    assert same.temperature_ == 2.0
    p = same.predict_proba(X)
    np.testing.assert_array_equal(p, model.predict_proba(X))
    X.to_csv(tmp_path / "table.csv", index=False)
    predicted = next(predictions(path, tmp_path / "table.csv", "cpu"))
    np.testing.assert_allclose(predicted["probability_yes"], p[:, 1], rtol=1e-4)
    assert load_net(path).preprocessing.target.temperature == 2.0


@pytest.mark.parametrize("quality, n_nets", [("fast", 1), ("good", 1), ("best", 1)])
def test_a_time_limit_leaves_out_epochs_and_nets_with_a_warning(table, quality, n_nets):
    X, score = table
    with pytest.warns(UserWarning, match=r"limit leaves .* of 1 epoch is all that is trained, instead .* of 20 epochs"):
        model = TabularMLPRegressor(quality=quality, time_limit=1e-6, **SMALL).fit(X, score)
    assert getattr(model.net_, "n_nets", 1) == n_nets
    assert model.n_iter_ == 1
    assert np.isfinite(model.predict(X)).all()
    assert model.get_params()["max_iter"] == 20


@pytest.mark.filterwarnings("ignore:The time limit is enough")
@pytest.mark.parametrize("settings", [{"n_nets": 2}, {"n_nets": 1, "n_folds": 3}])
def test_nets_without_time_are_left_out_with_a_warning(table, settings, monkeypatch):
    X, score = table
    monkeypatch.setattr("fastmlp.table_training.model.planned_in_time", lambda recipe, *_: (recipe, "", IN_TURN))
    with pytest.warns(UserWarning, match="The time of the fit was over: .* had (not )?begun"):
        model = TabularMLPRegressor(time_limit=1e-6, **settings, **SMALL | {"max_iter": 10**6}).fit(X, score)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.filterwarnings("ignore:The time limit is enough")
@pytest.mark.filterwarnings("ignore:The time limit leaves")
def test_a_net_without_a_whole_epoch_is_announced(table, monkeypatch):
    X, score = table
    monkeypatch.setattr("fastmlp.table_training.fits_in_time.SHORTEST", 1e-9)
    monkeypatch.setattr("fastmlp.table_training.fits_in_time.SHORT_EPOCHS", 0.0)
    with pytest.warns(UserWarning, match="in the first epoch, and the net has learned little: set a larger time_limit"):
        model = TabularMLPRegressor(time_limit=1e-6, n_nets=1, **SMALL).fit(X, score)
    assert model.n_iter_ == 0
    assert np.isfinite(model.predict(X)).all()


def test_epochs_that_were_slower_than_measured_are_announced(table, monkeypatch):
    X, score = table
    monkeypatch.setattr("fastmlp.table_training.model.planned_in_time", lambda recipe, *_: (recipe, "", IN_TURN))
    KernelClock(monkeypatch, step=0.01)
    with pytest.warns(UserWarning, match=r"was over after \d+ of 1000 epochs: they were slower than those"):
        model = TabularMLPRegressor(time_limit=1, n_nets=1, **SMALL | {"max_iter": 1000}).fit(X, score)
    assert 1 <= model.n_iter_ < 20


@pytest.mark.slow
def test_a_time_limit_that_is_enough_changes_nothing(table):
    X, score = table
    for settings in ({"n_nets": 1}, {"n_nets": 2}, {"n_nets": 1, "n_folds": 2}):
        plain, limited = (
            TabularMLPRegressor(time_limit=limit, **settings, **SMALL | {"max_iter": 3}).fit(X, score)
            for limit in (None, 600)
        )
        np.testing.assert_array_equal(plain.predict(X), limited.predict(X))
    for limit in (0, -1, "soon"):
        with pytest.raises(ValueError, match="time_limit must be a number"):
            TabularMLPRegressor(time_limit=limit, **SMALL).fit(X, score)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The column '[ab]' alone predicts")
def test_rare_classes(rng):
    """One row in a hundred: balanced nets find most of it in new rows, in any kind of training."""
    X, new = (pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"]) for n in (1500, 4000))
    is_rare = new["a"] > 2.2
    y = np.where(X["a"] > 2.2, "rare", "usual")
    assert 0.005 < (y == "rare").mean() < 0.02
    assert is_rare.sum() > 30
    settings = SMALL | {"hidden_layer_sizes": (32,), "max_iter": 30, "n_nets": 1}
    for further in ({}, {"n_folds": 2}):
        clf = TabularMLPClassifier(**settings | further, class_weight="balanced").fit(X, y)
        found = clf.predict(new)
        assert (found[is_rare] == "rare").mean() > 0.9
        assert (found[~is_rare] == "usual").mean() > 0.8
    labels = np.c_[y == "rare", X["b"] > 0].astype(int)
    found = TabularMLPClassifier(**settings, class_weight="balanced").fit(X, labels).predict(new)
    assert found[is_rare, 0].mean() > 0.8
    assert (found[:, 1] == (new["b"] > 0)).mean() > 0.8


@pytest.mark.parametrize(
    "settings, arguments, said",
    [
        ({}, {"sample_weight": np.ones(3)}, "sample_weight.shape"),
        ({}, {"sample_weight": -np.ones(300)}, "sample_weight must be at least 0, but holds -1"),
        ({}, {"sample_weight": np.full(300, np.nan)}, "sample_weight contains NaN"),
        ({}, {"validation_data": (np.zeros((3, 2)), ["no"] * 3, -np.ones(3))}, "must be at least 0, but holds -1"),
        ({}, {"validation_data": (np.zeros((3, 2)), ["no"] * 2)}, "inconsistent numbers of samples"),
        ({}, {"validation_data": (np.zeros((3, 2)), ["maybe"] * 3)}, "y has the class 'maybe'"),
        ({}, {"validation_data": 0.2}, "validation_data must be"),
        ({"class_weight": {"maybe": 2.0}}, {}, "are not in class_weight"),
        ({"class_weight": {"yes": "5"}}, {}, r"class_weight\['yes'\] must be a number in \[0, inf\), but it is '5'"),
        ({"device": "cuda:99"}, {}, "device='cuda:99' is not available"),
        ({"activation": "rleu"}, {}, "Unknown activation 'rleu'. Did you mean 'relu'"),
        ({"learning_rate_init": -1.0}, {}, "learning_rate_init must be a number"),
        ({"hidden_layer_sizes": "64,64"}, {}, "but it is the text '64,64'"),
        ({"dropout": [0.1, 0.1]}, {}, "dropout"),
        ({"verbose": "yes"}, {}, "verbose"),
        ({"tune": 1}, {}, "tune must be a whole number"),
        ({"validation_fraction": 0.0, "tune": 2}, {}, "tune=2 needs held-out rows"),
    ],
)
def test_mistakes_are_found_before_columns_are_learned(table, settings, arguments, said, monkeypatch):
    X, score = table
    monkeypatch.setattr("fastmlp.table_training.model.fit_columns", lambda *_: pytest.fail("too late"))
    with pytest.raises((ValueError, RuntimeError), match=said):
        TabularMLPClassifier(**SMALL | settings).fit(X, np.where(score > 0, "yes", "no"), **arguments)


def test_a_table_without_columns_raises(table):
    X, score = table
    with pytest.raises(ValueError, match=r"No column can be used to predict y: there is no other column\.$"):
        TabularMLPRegressor().fit(X[[]], score)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_fit_that_fails_before_the_first_net_leaves_the_estimator_as_it_was(table, error, monkeypatch):
    def fail(*_):
        raise error

    X, score = table
    model = TabularMLPRegressor(n_nets=1, **SMALL).fit(X, score)
    before = model.predict(X)
    new = TabularMLPRegressor(n_nets=1, **SMALL)
    monkeypatch.setattr("fastmlp.table_training.model.TableModel.train", fail)
    for estimator in (model, new):
        with pytest.raises(error):
            estimator.fit(X.assign(weight=np.abs(score)), score)
    np.testing.assert_array_equal(model.predict(X), before)
    assert not hasattr(new, "net_")
    assert not hasattr(new, "columns_")


@pytest.mark.parametrize("settings", [{"n_nets": 1}, {"n_nets": 2}, {"n_nets": 1, "n_folds": 2}, {"tune": 2}])
def test_verbose_fits_print_a_line_at_their_end(table, settings, capsys):
    X, score = table
    for verbose, n_lines in ((False, 0), (True, 1)):
        TabularMLPRegressor(verbose=verbose, **settings, **SMALL | {"max_iter": 2}).fit(X, score)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == n_lines
        assert all(line.startswith("Trained ") and "validation loss" in line for line in lines)
