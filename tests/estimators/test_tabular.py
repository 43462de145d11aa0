"""TabularMLPClassifier and TabularMLPRegressor: tables as people have them."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fastmlp import MLP, Population, TabularMLPClassifier, TabularMLPRegressor

QUICK = {"hidden_layer_sizes": (32,), "n_nets": 2, "max_iter": 40, "random_state": 0}


@pytest.fixture
def table(rng):
    n = 400
    size, colour = rng.lognormal(0, 2, n), rng.choice(["red", "green", "blue"], n)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 10, n))
    frame = pd.DataFrame({"size": size, "colour": colour, "age": age, "new": rng.random(n) < 0.5})
    score = np.log(size) + 2 * (colour == "red") + np.nan_to_num((age - 40) / 10)
    return frame, score


def test_classes(table):
    X, score = table
    y = np.where(score > 0.5, "yes", "no")
    clf = TabularMLPClassifier(**QUICK).fit(X, y)
    assert clf.score(X, y) > 0.9
    assert list(clf.classes_) == ["no", "yes"]
    p = clf.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), p)
    assert clf.encoded_feature_names() == [
        "size", "colour = blue", "colour = green", "colour = red", "age", "age is missing", "new = False", "new = True",
    ]  # fmt: skip
    assert isinstance(clf.net_, Population)
    assert clf.n_iter_ <= 40


def test_numbers_in_their_own_units(table):
    X, score = table
    y = 1e6 + 1e4 * score
    reg = TabularMLPRegressor(**QUICK).fit(X, y)
    assert reg.score(X, y) > 0.85
    two = TabularMLPRegressor(**QUICK).fit(X, np.c_[y, score])
    assert two.predict(X).shape == (400, 2)
    assert two.score(X, np.c_[y, score]) > 0.8


def test_one_net_is_an_mlp(table):
    X, score = table
    one = TabularMLPRegressor(**QUICK | {"n_nets": 1}).fit(X, score)
    assert isinstance(one.net_, MLP)
    assert one.history_.best_epoch is not None
    assert len(pickle.dumps(one)) < 3 * one.net_.params.nbytes + 50_000


def test_same_random_state_same_numbers(table):
    X, score = table
    a, b = (TabularMLPRegressor(**QUICK).fit(X, score).predict(X) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_unseen_categories_and_missing_cells(table):
    X, score = table
    reg = TabularMLPRegressor(**QUICK).fit(X, score)
    strange = X.head(3).copy()
    strange["colour"] = ["mauve", None, "red"]
    strange["size"] = [np.nan, 1e9, 1.0]
    assert np.isfinite(reg.predict(strange)).all()


def test_polars_arrays_and_categories(table):
    X, score = table
    by_pandas = TabularMLPRegressor(**QUICK).fit(X, score).predict(X)
    by_polars = TabularMLPRegressor(**QUICK).fit(pl.from_pandas(X), score).predict(pl.from_pandas(X))
    np.testing.assert_allclose(by_polars, by_pandas, rtol=1e-6)
    codes = np.c_[np.arange(400) % 7, X["size"]]
    effect = np.array([3, -1, 2, 0, -2, 1, -3])[np.arange(400) % 7]
    as_numbers, as_classes = (
        TabularMLPRegressor(**QUICK, categorical_features=chosen).fit(codes, effect) for chosen in (None, [0])
    )
    assert as_classes.net_.network.n_features == 8
    assert as_classes.score(codes, effect) > 0.95 > as_numbers.score(codes, effect) - 0.04


def test_columns_left_out_are_told(table):
    X, score = table
    X = X.assign(id=[f"row {k}" for k in range(400)])
    with pytest.warns(UserWarning, match="Column 'id' is left out: it has 320 different texts"):
        reg = TabularMLPRegressor(**QUICK).fit(X, score)
    assert len(reg.notes_) == 1


def test_weights_count_in_training_and_validation(rng):
    X = rng.normal(size=(600, 1))
    y = np.where(np.arange(600) % 2, X[:, 0], -X[:, 0])
    reg = TabularMLPRegressor(**QUICK).fit(X, y, sample_weight=np.where(np.arange(600) % 2, 1.0, 1e-3))
    assert np.corrcoef(reg.predict(X), X[:, 0])[0, 1] > 0.95
    labels = np.arange(600) % 10 == 0
    plain, balanced = (TabularMLPClassifier(**QUICK, class_weight=w).fit(X, labels) for w in (None, "balanced"))
    assert plain.predict(X).mean() < 0.1 < balanced.predict(X).mean()


def test_validation(table):
    X, score = table
    given = TabularMLPRegressor(**QUICK).fit(X[:300], score[:300], validation_data=(X[300:], score[300:]))
    assert given.score(X[300:], score[300:]) > 0.7
    every_epoch = TabularMLPRegressor(**QUICK | {"validation_fraction": 0.0}).fit(X, score)
    assert every_epoch.n_iter_ == 40


def test_batches_of_small_tables():
    sizes = [TabularMLPRegressor()._batch_size(n) for n in (10, 500, 1000, 5000, 8192, 100_000)]
    assert sizes == [16, 16, 16, 128, 256, 256]
    assert TabularMLPRegressor(batch_size=50)._batch_size(10) == 50


def test_among_others(table):
    X, score = table
    search = GridSearchCV(TabularMLPRegressor(**QUICK | {"n_nets": 1}), {"dropout": [0.0, 0.5]}, cv=2)
    assert search.fit(X, score).best_params_["dropout"] == 0.0
    same = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(same.predict(X), search.predict(X))
    assert not hasattr(clone(same), "net_")


BAD = [
    (TabularMLPClassifier(), [1.0] * 5, "one class"),
    (TabularMLPClassifier(), [0.5, 1.5, 2.5, 3.5, 4.5], "Unknown label type"),
    (TabularMLPRegressor(), list("abcde"), "y must hold numbers"),
    (TabularMLPRegressor(validation_fraction=1.0), [1, 2, 3, 4, 5], "validation_fraction must be a number"),
    (TabularMLPRegressor(n_nets=0), [1, 2, 3, 4, 5], "n_nets must be a whole number"),
    (TabularMLPRegressor(batch_size="big"), [1, 2, 3, 4, 5], "batch_size must be a whole number"),
    (TabularMLPRegressor(schedule="cos"), [1, 2, 3, 4, 5], "Unknown schedule"),
    (TabularMLPRegressor(categorical_features=["z"]), [1, 2, 3, 4, 5], "categorical_features names 'z'"),
]


@pytest.mark.parametrize("model, y, message", BAD)
def test_bad_input(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0]}), y)


def test_tables_that_cannot_be_used():
    with pytest.raises(ValueError, match="X has two columns named 'a', columns 1 and 2 of 2"):
        TabularMLPRegressor().fit(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [1, 2])
    with pytest.raises(ValueError, match="No column can be used to predict y: Column 'a' is left out"):
        TabularMLPRegressor().fit(pd.DataFrame({"a": [1, 1, 1]}), [1, 2, 3])
    model = TabularMLPRegressor(**QUICK).fit(pd.DataFrame({"a": range(9), "b": range(9)}), range(9))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pd.DataFrame({"a": [1]}))
