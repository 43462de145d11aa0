"""`tune` of the tabular estimators: what is searched, on which rows, and what the fit keeps of it."""

import signal

import numpy as np
import pytest
from interrupted_fits import interrupt_populations
from sklearn.base import clone

import fastmlp
from fastmlp import TabularMLPClassifier, TabularMLPRegressor
from fastmlp.table_training import tuning
from fastmlp.table_training.recipes import QUALITIES
from fastmlp.table_training.tuning_configurations import Scores

pd = pytest.importorskip("pandas", reason="tabular estimators need pandas")
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 12, "n_iter_no_change": 12, "random_state": 0, "n_nets": 1}
SEARCHED = {"learning_rate_init", "weight_decay", "dropout", "batch_size", "numeric_encoding"}


@pytest.fixture
def table(rng):
    X = pd.DataFrame(rng.normal(size=(150, 2)), columns=list("ab"))
    return X, np.sin(4 * X["a"]) + X["b"]


def labels(y):
    return np.where(y > 0, "yes", "no")


def test_results_say_what_was_compared_and_chosen(table):
    X, y = table
    model = TabularMLPRegressor(tune=9, **SMALL).fit(X, y)
    results = model.tuning_results_
    assert len(results) == 9
    assert all(row.keys() == {"settings", "score", "epochs"} for row in results)
    assert all(row["settings"].keys() == SEARCHED for row in results)
    assert results[0]["settings"] == model.best_settings_
    others = [(row["epochs"], row["score"]) for row in results[1:]]
    assert others == sorted(others, reverse=True)
    assert {row["epochs"] for row in results} == {4, 12}
    assert model.notes_[-1].startswith("tune=9 compared 9 configurations by a score of held-out rows")
    assert model.net_.preprocessing.notes == model.notes_


@pytest.mark.slow
def test_best_settings_are_parameters_of_another_estimator(table):
    X, y = table
    settings = SMALL | {"random_state": 2}  # with which another configuration is best
    model = TabularMLPClassifier(tune=9, **settings).fit(X, labels(y))
    assert model.best_settings_.keys() == SEARCHED | {"label_smoothing"}
    assert any(model.best_settings_[name] != value for name, value in {"weight_decay": 0.1, "dropout": 0.2}.items())
    same = TabularMLPClassifier(**settings, **model.best_settings_).fit(X, labels(y))
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))
    assert same.columns_ == model.columns_
    again = clone(model).fit(X, labels(y))
    assert again.tuning_results_ == model.tuning_results_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_the_net_has_the_encoding_that_was_chosen(rng, monkeypatch):
    """Columns with bins, of which the scores of this test say that another encoding is the best one."""
    X = rng.normal(size=(400, 2))
    y = np.sin(4 * X[:, 0])
    scores, train, kinds = tuning.scores_of, tuning.fit_nets, []

    def fit(nets, training, held_out, recipe, **further):
        kinds.append(recipe.numeric_encoding)
        return train(nets, training, held_out, recipe, **further)

    def prefer(nets, held_out):
        gain = 100.0 * (kinds[-1] == "quantile")
        found = scores(nets, held_out)
        return Scores(found.values + gain, found.losses - gain)

    monkeypatch.setattr(tuning, "fit_nets", fit)
    monkeypatch.setattr(tuning, "scores_of", prefer)
    settings = SMALL | {"random_state": 1}  # draws it
    model = TabularMLPRegressor(tune=9, **settings).fit(X, y)
    monkeypatch.undo()
    assert model.best_settings_["numeric_encoding"] == "quantile"
    plain = TabularMLPRegressor(**settings, **model.best_settings_).fit(X, y)
    assert plain.columns_ == model.columns_ == model.net_.preprocessing.columns
    np.testing.assert_array_equal(plain.predict(X), model.predict(X))


def test_where_the_preset_wins_the_nets_are_those_without_a_search(table, monkeypatch):
    X, y = table

    def no_better(nets, held_out):
        n_nets = getattr(nets, "n_nets", 1)
        return Scores(np.zeros(n_nets), np.zeros((n_nets, held_out.n_rows)))

    monkeypatch.setattr(tuning, "scores_of", no_better)
    settings = SMALL | {"n_nets": 3}
    model = TabularMLPRegressor(tune=5, **settings).fit(X, y)
    plain = TabularMLPRegressor(**settings).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    assert model.notes_[:-1] == plain.notes_
    assert "none was clearly better than the preset" in model.notes_[-1]


def test_what_is_given_is_not_searched(table):
    X, y = table
    fixed = SMALL | {"dropout": 0.05, "numeric_encoding": "quantile", "batch_size": 32}
    model = TabularMLPRegressor(tune=4, **fixed).fit(X, y)
    assert model.best_settings_.keys() == SEARCHED - fixed.keys()
    assert model.net_.network.dropout[0] == 0.05
    labelled = TabularMLPClassifier(tune=2, **SMALL).fit(X, np.c_[y > 0, y > 1].astype(int))
    assert "label_smoothing" not in labelled.best_settings_


@pytest.mark.parametrize("kind", ["fraction", "data", "folds"])
def test_configurations_are_compared_on_rows_that_are_held_out(table, kind, monkeypatch):
    X, y = table
    seen, train = [], tuning.fit_nets

    def fit(nets, rows, held_out, recipe, **further):
        seen.append((rows.n_rows, held_out.n_rows, {*map(bytes, rows.X)} & {*map(bytes, held_out.X)}))
        return train(nets, rows, held_out, recipe, **further)

    monkeypatch.setattr(tuning, "fit_nets", fit)
    more = {"n_folds": 3} if kind == "folds" else {}
    given = {"validation_data": (X[100:], y[100:])} if kind == "data" else {}
    n = 100 if kind == "data" else 150
    model = TabularMLPRegressor(tune=2, **SMALL, **more).fit(X[:n], y[:n], **given)
    expected = {"fraction": (120, 30), "data": (100, 50), "folds": (100, 50)}[kind]
    assert {row[:2] for row in seen} == {expected}
    assert not any(row[2] for row in seen)
    assert model.net_.n_nets == 3 if kind == "folds" else not hasattr(model.net_, "n_nets")


def test_mistakes(table, tmp_path):
    X, y = table
    for value in (1, "many", 2.5):
        with pytest.raises(ValueError, match="tune must be a whole number of at least 2"):
            TabularMLPRegressor(tune=value).fit(X, y)
    with pytest.raises(ValueError, match="tune=3 needs held-out rows"):
        TabularMLPRegressor(tune=3, validation_fraction=0.0).fit(X, y)
    given = {"learning_rate_init": 0.01, "weight_decay": 0.1, "dropout": 0.0, "batch_size": 32}
    given |= {"numeric_encoding": "quantile"}
    with pytest.raises(ValueError, match="tune=3 has nothing to search"):
        TabularMLPRegressor(tune=3, **SMALL, **given).fit(X, y)


def interrupt_after(monkeypatch, n_fits):
    """Raise KeyboardInterrupt after n_fits populations of a search."""
    scores, n_done = tuning.scores_of, []

    def interrupt(*arguments):
        if len(n_done) == n_fits:
            signal.raise_signal(signal.SIGINT)
        n_done.append(1)
        return scores(*arguments)

    monkeypatch.setattr(tuning, "scores_of", interrupt)


@pytest.mark.parametrize("more", [{}, {"n_nets": 4}, {"n_folds": 3}])
def test_ctrl_c_in_a_search_keeps_the_best_net_so_far(table, more, monkeypatch, tmp_path):
    X, y = table
    model = TabularMLPClassifier(tune=9, **SMALL | more)
    interrupt_after(monkeypatch, 1)
    with pytest.warns(UserWarning, match=r"search of settings \(tune=9\) was interrupted after \d") as caught:
        model.fit(X, labels(y))
    monkeypatch.undo()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert model.score(X, labels(y)) > 0.6
    assert np.isfinite(model.net_.params).all()
    assert getattr(model.net_, "n_nets", 1) == 1
    assert 0 < len(model.tuning_results_) <= 9
    assert model.n_iter_ in (4, 12)
    assert "interrupted" in model.notes_[-1]
    model.save(tmp_path / "net.safetensors")
    same = fastmlp.load(tmp_path / "net.safetensors", device="cpu")
    np.testing.assert_array_equal(same.predict_proba(X), model.predict_proba(X))


def test_ctrl_c_in_the_first_population_keeps_the_best_of_its_nets(table, monkeypatch):
    X, y = table
    model = TabularMLPRegressor(tune=60, **SMALL)
    interrupt_populations(monkeypatch)
    with pytest.warns(UserWarning, match="interrupted while its first configurations were trained; the net is"):
        model.fit(X, y)
    monkeypatch.undo()
    assert model.tuning_results_ == []
    assert model.n_iter_ >= 1
    assert np.isfinite(model.predict(X)).all()


def test_too_little_time_is_a_warning(table, monkeypatch):
    X, y = table
    monkeypatch.setattr(tuning, "TUNING_SHARE", 0.0)
    model = TabularMLPRegressor(tune=5, time_limit=60.0, **SMALL)
    with pytest.warns(
        UserWarning, match="tune=5 compared 0 of 5 configurations .* until its share of the time limit was"
    ):
        model.fit(X, y)
    assert model.tuning_results_ == []
    assert model.best_settings_["dropout"] == QUALITIES["good"].dropout
