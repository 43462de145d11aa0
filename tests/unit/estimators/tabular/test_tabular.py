"""`TabularMLPClassifier` and `TabularMLPRegressor` on tables with mixed, missing and unseen cells."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import fastmlp
from fastmlp import MLP, Population, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.table_training.encoded_rows import held_out_rows

QUICK = {"hidden_layer_sizes": (32,), "n_nets": 2, "max_iter": 40, "random_state": 0}


@pytest.fixture
def table(rng):
    n = 400
    size, colour = rng.lognormal(0, 2, n), rng.choice(["red", "green", "blue"], n)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 10, n))
    frame = pd.DataFrame({"size": size, "colour": colour, "age": age, "new": rng.random(n) < 0.5})
    score = np.log(size) + 2 * (colour == "red") + np.nan_to_num((age - 40) / 10)
    return frame, score


def test_classifier_learns_a_mixed_table(table):
    X, score = table
    y = np.where(score > 0.5, "yes", "no")
    clf = TabularMLPClassifier(**QUICK).fit(X, y)
    assert clf.score(X, y) > 0.9
    assert list(clf.classes_) == ["no", "yes"]
    p = clf.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), p)
    assert clf.encoded_feature_names() == [
        "size",
        "colour = blue",
        "colour = green",
        "colour = red",
        "age",
        "age is missing",
        "new = False",
        "new = True",
    ]
    assert isinstance(clf.net_, Population)
    assert clf.n_iter_ <= 40


def test_regressor_predicts_in_units_of_the_target(table):
    X, score = table
    y = 1e6 + 1e4 * score
    reg = TabularMLPRegressor(**QUICK).fit(X, y)
    assert reg.score(X, y) > 0.85
    two = TabularMLPRegressor(**QUICK).fit(X, np.c_[y, score])
    assert two.predict(X).shape == (400, 2)
    assert two.score(X, np.c_[y, score]) > 0.8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The column '0' alone predicts")
def test_columns_of_an_array_may_be_categories():
    codes, effect = np.arange(400) % 7, np.array([3, -1, 2, 0, -2, 1, -3])[np.arange(400) % 7]
    X = np.c_[codes, np.arange(400.0)]
    model = TabularMLPRegressor(**QUICK, categorical_features=[0]).fit(X, effect)
    assert model.net_.network.n_features == 8
    assert model.score(X, effect) > 0.95


def test_dropped_columns_warn(table):
    X, score = table
    X = X.assign(id=[f"row {k}" for k in range(400)])
    with pytest.warns(UserWarning, match="Column 'id' is left out: it has 320 different texts"):
        reg = TabularMLPRegressor(**QUICK).fit(X, score)
    assert sum("left out" in note for note in reg.notes_) == 1
    assert sum("Columns of numbers are" in note for note in reg.notes_) == 1, "a choice, of which no warning tells"


def test_sample_and_class_weights_change_predictions(rng):
    X = rng.normal(size=(600, 1))
    y = np.where(np.arange(600) % 2, X[:, 0], -X[:, 0])
    reg = TabularMLPRegressor(**QUICK).fit(X, y, sample_weight=np.where(np.arange(600) % 2, 1.0, 1e-3))
    assert np.corrcoef(reg.predict(X), X[:, 0])[0, 1] > 0.95
    labels = np.arange(600) % 10 == 0
    models = (TabularMLPClassifier(**QUICK, class_weight=weights).fit(X, labels) for weights in (None, "balanced"))
    plain, balanced = (model.predict_proba(X)[:, 1].mean() for model in models)
    assert plain < 0.2 < 0.4 < balanced < 0.6


OTHER_TYPES = {
    "integers": lambda X: X.assign(new=X["new"].astype("int8")),
    "floats": lambda X: X.assign(new=X["new"].astype(float)),
    "nullable": lambda X: X.convert_dtypes(),
    "text": lambda X: X.assign(new=X["new"].astype(str), size=X["size"].map(repr)),
    "objects": lambda X: X.astype(object),
    "categories": lambda X: X.astype({"new": "category", "colour": "category"}),
    "arrow types": lambda X: pa.Table.from_pandas(X).to_pandas(types_mapper=pd.ArrowDtype),
    "arrow": lambda X: pa.Table.from_pandas(X),
    "arrow dictionary": lambda X: pa.table(
        {"size": X["size"], "colour": pa.array(X["colour"]).dictionary_encode(), "age": X["age"], "new": X["new"]}
    ),
    "record batch": lambda X: pa.RecordBatch.from_pandas(X),
    "polars": lambda X: pl.from_pandas(X),
    "polars categories": lambda X: pl.from_pandas(X).with_columns(pl.col("colour").cast(pl.Categorical)),
    "dictionaries": lambda X: X.to_dict("records"),
}
BY_POSITION = {
    "array of objects": lambda X: X.to_numpy(),
    "array of text": lambda X: X.to_numpy().astype(str),
    "lists": lambda X: X.to_numpy().tolist(),
    "rows of another library": lambda X: X.assign(new=X["new"].astype(int)).to_numpy(),
}


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"size": rng.lognormal(0, 2, 200), "colour": rng.choice(["red", "blue"], 200)})
    X["age"] = np.where(rng.random(200) < 0.1, np.nan, rng.normal(40, 10, 200))
    X["new"] = rng.random(200) < 0.5
    with pytest.warns(UserWarning, match="'new' alone predicts the target"):
        clf = TabularMLPClassifier(**QUICK).fit(X, np.where(X["new"], "yes", "no"))
    assert clf.score(X, np.where(X["new"], "yes", "no")) > 0.95
    return clf, X


@pytest.mark.parametrize("other", OTHER_TYPES)
def test_column_types_do_not_change_predictions(fitted, other):
    """A boolean column given as 0 and 1 must not count as unseen categories, which would halve the accuracy."""
    clf, X = fitted
    np.testing.assert_allclose(clf.predict_proba(OTHER_TYPES[other](X)), clf.predict_proba(X), rtol=1e-6)
    assert clf.notes_on(OTHER_TYPES[other](X)) == ()


@pytest.mark.parametrize("other", BY_POSITION)
def test_arrays_are_matched_by_position_with_a_warning(fitted, other):
    """scikit-learn's warning is given if X had names in training."""
    clf, X = fitted
    with pytest.warns(UserWarning, match="X does not have valid feature names, but TabularMLPClassifier was fitted"):
        p = clf.predict_proba(BY_POSITION[other](X))
    np.testing.assert_allclose(p, clf.predict_proba(X), rtol=1e-6)
    with (
        pytest.warns(UserWarning, match="X does not have valid feature names"),
        pytest.raises(ValueError, match="X has 3 features, but TabularMLPClassifier is expecting 4"),
    ):
        clf.predict(X.to_numpy()[:, :3])


def test_feature_names_absent_in_training_warn(rng):
    X, y = rng.normal(size=(50, 2)), np.arange(50.0)
    reg = TabularMLPRegressor(**QUICK).fit(X, y)
    with pytest.warns(UserWarning, match="X has feature names, but TabularMLPRegressor was fitted without"):
        np.testing.assert_array_equal(reg.predict(pd.DataFrame(X, columns=["a", "b"])), reg.predict(X))
    numbered = pd.DataFrame(X, columns=[10, 20])
    reg = TabularMLPRegressor(**QUICK).fit(numbered, y)
    np.testing.assert_array_equal(reg.predict(numbered[[20, 10]]), reg.predict(X))


def test_columns_unlike_training_warn(fitted):
    clf, X = fitted
    with pytest.warns(
        UserWarning, match=r"'colour' has categories unseen in training in all 200 cells \('BLUE', 'RED'"
    ):
        clf.predict(X.assign(colour=X["colour"].str.upper()))
    with pytest.warns(
        UserWarning, match="'size' is missing in all 200 cells, but in none of training; such cells count"
    ):
        clf.predict(X.assign(size=None))
    with pytest.warns(
        UserWarning, match=r"'size' holds no numbers in 1 of 200 cells \('n/a\?'\), which count as missing"
    ):
        clf.predict(X.assign(size=["n/a?", *X["size"][1:]]))
    few = X.assign(colour=["mauve", *X["colour"][1:]], size=[None, *X["size"][1:]])
    clf.predict(few)  # says nothing
    notes = clf.notes_on(few)
    assert [note.split(" in 1 of 200 cells")[0] for note in notes] == [
        "Column 'size' is missing",
        "Column 'colour' has categories unseen in training",
    ]


@pytest.mark.parametrize(
    "y", [pd.date_range("2020-01-01", periods=400), [f"{k}.5" for k in range(400)], np.arange(400).astype("m8[s]")]
)
def test_targets_only_convertible_to_numbers_raise(table, y):
    with pytest.raises(ValueError, match=r"y must hold numbers for a regression, but .* use TabularMLPClassifier\."):
        TabularMLPRegressor(**QUICK).fit(table[0], y)


@pytest.mark.parametrize(
    ("y", "other"), [(bool, int), (int, bool), (bool, str), (int, str), (str, int), (float, bool), (str, bool)]
)
def test_validation_labels_may_have_another_type(table, y, other):
    X, score = table
    truth = (score > 0).astype(int if {y, other} == {int, str} else bool)  # "1" for 1, but "True" for true
    labels, others = truth.astype(y), truth.astype(other)
    settings = QUICK | {"max_iter": 3, "n_nets": 1}
    models = [TabularMLPClassifier(**settings).fit(X, labels, validation_data=(X, held)) for held in (labels, others)]
    assert models[0].validation_loss_curve_ == models[1].validation_loss_curve_
    with pytest.raises(ValueError, match=r"y has the class .*, which was not among those to train on"):
        models[0].fit(X, labels, validation_data=(X, np.where(score > 0, "perhaps", "never")))


def test_one_net_has_curves_of_its_loss(table):
    X, score = table
    one = TabularMLPRegressor(**QUICK | {"n_nets": 1}).fit(X, score)
    assert isinstance(one.net_, MLP)
    assert one.history_.best_epoch is not None
    assert len(pickle.dumps(one)) < 3 * one.net_.params.nbytes + 50_000, "without data"
    assert len(one.loss_curve_) == len(one.validation_loss_curve_) == one.n_iter_
    assert not hasattr(one.set_params(n_nets=2).fit(X, score), "loss_curve_")
    whole = TabularMLPRegressor(**QUICK | {"n_nets": 1, "validation_fraction": 0.0}).fit(X, score)
    assert whole.validation_loss_curve_ is None
    assert whole.n_iter_ == 40


def test_validation_loss_is_weighted(table, rng):
    X, score = table
    settings = QUICK | {"n_nets": 1, "max_iter": 4}
    weights = rng.uniform(0.1, 3, 100)
    args = X[:300], score[:300]
    held = X[300:], score[300:]
    one, other = (TabularMLPRegressor(**settings).fit(*args, validation_data=data) for data in (held, (*held, weights)))
    errors = (one.predict(X[300:]) - score[300:]) ** 2 / one._std**2
    np.testing.assert_allclose(one.validation_loss_curve_[-1], errors.mean(), rtol=1e-4)
    np.testing.assert_allclose(other.validation_loss_curve_[-1], np.average(errors, weights=weights), rtol=1e-4)
    for bad in ((X,), X, (*held, weights, 1)):
        with pytest.raises(ValueError, match=r"validation_data must be \(X, y\) or \(X, y, sample_weight\)"):
            TabularMLPRegressor(**settings).fit(*args, validation_data=bad)


def test_class_weight_counts_in_both_kinds_of_validation(table):
    X, score = table
    y = np.where(score > 2, "rare", "usual")
    training, held = held_out_rows((score <= 2).astype(int), len(y), 0.2, np.random.RandomState(0))
    settings = QUICK | {"n_nets": 1, "max_iter": 3, "class_weight": {"rare": 5.0}, "label_smoothing": 0.0}
    drawn = TabularMLPClassifier(**settings).fit(X, y)
    given = TabularMLPClassifier(**settings).fit(X.iloc[training], y[training], validation_data=(X.iloc[held], y[held]))
    for clf in (drawn, given):
        clf.temperature_ = 1.0  # the loss is that of probabilities before their calibration
        p = clf.predict_proba(X.iloc[held])[np.arange(len(held)), np.searchsorted(clf.classes_, y[held])]
        expected = np.average(-np.log(p), weights=np.where(y[held] == "rare", 5.0, 1.0))
        np.testing.assert_allclose(min(clf.validation_loss_curve_), expected, rtol=1e-4)


def test_tabular_estimators_work_in_grid_search_and_pickle(table):
    X, score = table
    search = GridSearchCV(TabularMLPRegressor(**QUICK | {"n_nets": 1}), {"dropout": [0.0, 0.5]}, cv=2)
    assert search.fit(X, score).best_params_["dropout"] == 0.0
    same = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(same.predict(X), search.predict(X))
    assert not hasattr(clone(same), "net_")


@pytest.mark.parametrize("kind", [TabularMLPClassifier, TabularMLPRegressor])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_bins_are_where_targets_leap(kind, n_outputs, rng):
    """The edges come from training rows alone: other targets of the held-out rows do not move them."""
    x = np.arange(400.0)
    y = np.where(np.abs(x - 200) < 40, "in", "out") if kind is TabularMLPClassifier else 1.0 * (np.abs(x - 200) < 40)
    if n_outputs == 2 and kind is TabularMLPRegressor:
        y = np.stack([y, y + 0.01 * rng.normal(size=400)], axis=1)
    settings = {"hidden_layer_sizes": (4,), "n_nets": 1, "max_iter": 2, "random_state": 0}
    X, held_out = pd.DataFrame({"x": x}), (pd.DataFrame({"x": x}), y[::-1].copy())
    model = kind(**settings).fit(X, y, validation_data=held_out)
    (column,) = model.columns_
    assert column.kind == "piecewise_linear"
    for leap in (160.5, 239.5):
        assert np.abs(np.array(column.edges) - column.scores(np.array([leap]))).min() < 1e-9
    assert kind(**settings, numeric_encoding="quantile").fit(X, y).columns_[0].kind == "quantile"


BAD = [
    (TabularMLPClassifier(), [1.0] * 5, "one class"),
    (TabularMLPClassifier(), [0.5, 1.5, 2.5, 3.5, 4.5], "Unknown label type"),
    (TabularMLPRegressor(), list("abcde"), "y must hold numbers"),
    (TabularMLPRegressor(validation_fraction=1.0), [1, 2, 3, 4, 5], "validation_fraction must be a number"),
    (TabularMLPRegressor(n_nets=0), [1, 2, 3, 4, 5], "n_nets must be a whole number"),
    (TabularMLPRegressor(n_iter_no_change=0), [1, 2, 3, 4, 5], "n_iter_no_change must be a whole number"),
    (TabularMLPRegressor(batch_size="big"), [1, 2, 3, 4, 5], "batch_size must be a whole number"),
    (TabularMLPRegressor(categorical_features=["z"]), [1, 2, 3, 4, 5], "categorical_features names 'z'"),
    (TabularMLPRegressor(numeric_encoding="ple"), [1, 2, 3, 4, 5], "Unknown numeric_encoding 'ple'"),
]


@pytest.mark.parametrize("model, y, message", BAD)
def test_invalid_arguments_raise(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0, 5.0]}), y)


def test_unusable_tables_raise():
    with pytest.raises(ValueError, match="X has two columns named 'a', columns 1 and 2 of 2"):
        TabularMLPRegressor().fit(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [1, 2])
    with pytest.raises(ValueError, match="No column can be used to predict y: Column 'a' is left out"):
        TabularMLPRegressor().fit(pd.DataFrame({"a": [1, 1, 1]}), [1, 2, 3])
    model = TabularMLPRegressor(**QUICK).fit(pd.DataFrame({"a": range(9), "b": range(9)}), range(9))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize("n_nets, n_folds", [(1, 1), (2, 1), (1, 2)])
def test_multilabel_classification(table, tmp_path, n_nets, n_folds):
    X, score = table
    y = np.c_[score > 0, score > 1, X["age"] > 40].astype(int)
    clf = TabularMLPClassifier(**QUICK | {"n_nets": n_nets, "n_folds": n_folds}).fit(X, y)
    p = clf.predict_proba(X)
    assert p.shape == (400, 3)
    assert ((p > 0.5) == clf.predict(X)).all()
    assert clf.predict(X).dtype == np.int64
    assert (clf.predict(X) == y).mean() > 0.9
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), p)
    assert (p[:, 0] > p[:, 1]).mean() > 0.8, "no label excludes another"
    if n_folds > 1:
        assert clf.oof_prediction_.shape == (400, 3)
    clf.save(tmp_path / "labels.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "labels.safetensors").predict_proba(X), p)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))


def test_mistakes_in_y(table):
    X, score = table
    y = np.c_[score > 0, score > 1].astype(int)
    model = TabularMLPClassifier(**QUICK | {"max_iter": 1})
    with pytest.raises(ValueError, match="must hold 0 and 1, whether a row has the label"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="one column of classes, or a column of 0 and 1 for each label"):
        model.fit(X, np.c_[np.arange(400) % 3, np.arange(400) % 4])
    with pytest.raises(ValueError, match=r"y must have 2 columns, but it has shape \(400,\)"):
        model.fit(X, y, validation_data=(X, y[:, 0]))
    with pytest.raises(ValueError, match="y must have one column, but it has shape"):
        model.fit(X, y[:, 0], validation_data=(X, y))
    for labels in ([True, False], [3, 7]):
        objects = np.array(labels, object)[np.arange(len(X)) % 2]
        assert model.fit(X, objects).classes_.tolist() == sorted(labels), "objects that are truths or numbers"


def test_divergence_in_the_first_epoch_is_no_want_of_time(table):
    X = table[0]
    y = np.arange(len(X)) % 3
    model = TabularMLPClassifier((4,), n_nets=2, max_iter=2, learning_rate_init=1e30, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    texts = [str(warning.message) for warning in caught]
    assert (
        "Training diverged in the first epoch of 2 of 2 nets. No net is trained: fit again, with a lower" in texts[-1]
    )
    assert not any("time" in text for text in texts)
