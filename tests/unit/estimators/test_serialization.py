"""Serialisation of tabular estimators to files, without pickle."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

import fastmlp
from fastmlp import Population, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.class_probabilities import log_probabilities
from fastmlp.commands.cli import app
from fastmlp.tables.bins import Gain


class Size(tuple):
    """A subclass of tuple, as torch.Size."""

    __slots__ = ()


QUICK = {"hidden_layer_sizes": Size((8,)), "max_iter": 3, "random_state": 0}
LABELS = {
    "text": np.array(["no", "yes", "perhaps"]),
    "objects": np.array(["no", "yes", "perhaps"], object),
    "integers": np.array([3, -1, 7], np.int16),
    "floats": np.array([0.0, 1.0, 2.0], np.float32),
    "truths": np.array([False, True, True]),
    "dates": np.array(["2020-01-01", "1969-12-31", "2020-01-01"], "datetime64[ns]"),
    "durations": np.array([1, 30, 2], "timedelta64[D]"),
}


@pytest.fixture
def table(rng):
    n = 60
    return pd.DataFrame(
        {
            "size": rng.lognormal(0, 2, n),
            "colour": pd.Series(rng.choice(["red", "green"], n)).where(np.arange(n) % 7 != 0),
            "new": rng.random(n) < 0.5,
            "count": rng.integers(0, 5, n),
        }
    )


def again(estimator, path):
    estimator.save(path)
    return fastmlp.load(path, device="cpu")


def assert_same(same, estimator, table):
    assert type(same) is type(estimator)
    assert same.get_params() == estimator.get_params()
    for method in ("predict", "predict_proba"):
        if hasattr(estimator, method):
            expected, found = getattr(estimator, method)(table), getattr(same, method)(table)
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype
    names = ["columns_", "notes_", "n_iter_", "n_features_in_", "n_outputs_"]
    for name in [*names, *(["loss_curve_", "validation_loss_curve_"] if estimator.n_nets == 1 else [])]:
        assert getattr(same, name) == getattr(estimator, name)
    assert list(getattr(same, "feature_names_in_", ())) == list(getattr(estimator, "feature_names_in_", ()))
    for model in (same, estimator):
        if model.n_nets == 1:
            assert model.history_ is model.net_.history
            assert model.history_.net is model.net_


@pytest.mark.parametrize("n_nets", [1, 2])
@pytest.mark.parametrize("labels", LABELS)
def test_classifiers_round_trip_through_files(table, tmp_path, labels, n_nets, monkeypatch):
    y, path = LABELS[labels][np.arange(60) % 3], tmp_path / "clf.safetensors"
    settings = QUICK | {"n_nets": n_nets, "categorical_features": ["count"]}
    if y.dtype.kind not in "mM":
        settings["class_weight"] = {y[0]: 2.0}
    clf = TabularMLPClassifier(**settings).fit(table, y)
    same = again(clf, path)
    assert_same(same, clf, table)
    assert same.score(table, y) == clf.score(table, y)
    # as in versions that cannot read classes that are dates
    monkeypatch.setattr("fastmlp.persistence.safetensors_file.FORMAT", 1)
    if y.dtype.kind in "mM":
        with pytest.raises(ValueError, match=r"a newer fastmlp .* wrote it in format 2, .* reads formats up to 1"):
            fastmlp.load(path)
    else:
        fastmlp.load(path)


@pytest.mark.parametrize("kind", ["one output", "two outputs", "bins and dates"])
def test_regressors_round_trip_through_files(table, tmp_path, rng, kind, monkeypatch):
    y, settings, path = 1e3 + rng.normal(size=60) / 3, QUICK | {"n_nets": 2}, tmp_path / "reg.safetensors"
    X = table.to_numpy()
    if kind == "two outputs":
        y = np.c_[y, 2 * y]
    elif kind == "bins and dates":
        monkeypatch.setattr(Gain, "is_worth_it", True)
        settings |= {"n_nets": 1}
        X = table.assign(day=pd.Series(pd.date_range("2020-01-01", periods=60)).where(np.arange(60) % 9 != 0))
        y = (table["size"] > 1.0).to_numpy()
    reg = TabularMLPRegressor(**settings).fit(X, y)
    same = again(reg, path)
    assert_same(same, reg, X)
    if kind == "bins and dates":
        kinds = ["piecewise_linear", "category", "category", "standard", "date"]
        assert [column.kind for column in same.columns_] == kinds
        assert same.encoded_feature_names()[:3] == ["size", "size in bin 1", "size in bin 2"]
    again(same, tmp_path / "reg2.safetensors")
    assert path.read_bytes() == (tmp_path / "reg2.safetensors").read_bytes()


def test_records_of_the_training_are_kept(table, tmp_path):
    y = np.arange(60) % 2
    settings = QUICK | {"hidden_layer_sizes": "auto", "n_nets": 2, "n_folds": 2, "tune": 3}
    clf = TabularMLPClassifier(**settings).fit(table, y)
    clf.tuning_results_[-1]["score"] = -np.inf  # of a training that diverged
    same = again(clf, tmp_path / "clf.safetensors")
    assert same.best_settings_ == clf.best_settings_
    assert same.tuning_results_ == clf.tuning_results_
    assert not hasattr(same, "oof_prediction_"), "predictions of rows are data"
    again(same, tmp_path / "again.safetensors")
    assert (tmp_path / "clf.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_estimator_files_can_be_loaded_as_nets(table, tmp_path):
    """`fastmlp predict` reads an estimator's file through load_net, as a net with its preprocessing."""
    path = tmp_path / "model.safetensors"
    y = pd.Series(np.where(np.arange(60) % 2, "yes", "no"), name="bought")
    clf = TabularMLPClassifier(**QUICK, n_nets=2).fit(table, y)
    clf.save(path)
    net = fastmlp.loading.load_net(path)
    assert isinstance(net, Population)
    assert net.preprocessing.target.name == "bought"
    features = net.preprocessing.transform(table)
    p = np.exp(log_probabilities(net, features, temperature=clf.temperature_))
    np.testing.assert_allclose(p, clf.predict_proba(table), rtol=1e-6)
    clf.net_.save(path)
    same = fastmlp.load(path)
    assert isinstance(same, TabularMLPClassifier), "as a file of `fastmlp train`"
    np.testing.assert_array_equal(same.predict_proba(table), clf.predict_proba(table))
    assert same.n_iter_ == clf.n_iter_
    table.to_csv(tmp_path / "table.csv", index=False)
    from fastmlp.commands.predict import predictions

    clf.save(path)
    predicted = next(predictions(path, tmp_path / "table.csv", "cpu"))
    assert predicted["prediction"].tolist() == clf.predict(table).tolist()
    np.testing.assert_allclose(predicted["probability_yes"], clf.predict_proba(table)[:, 1], rtol=1e-5)


def test_unsavable_parameters_warn_and_are_dropped(table, tmp_path):
    y = np.arange(60) % 2
    settings = QUICK | {"n_nets": 1, "random_state": np.random.RandomState(0)}
    clf = TabularMLPClassifier(**settings).fit(table, y)
    with pytest.warns(UserWarning, match=r"random_state=RandomState.* cannot be written to a file"):
        clf.save(tmp_path / "clf.safetensors")
    same = fastmlp.load(tmp_path / "clf.safetensors")
    assert same.random_state is None
    np.testing.assert_array_equal(same.predict(table), clf.predict(table))
    with pytest.raises(ValueError, match="not fitted yet"):
        TabularMLPClassifier().save(tmp_path / "new.safetensors")
    clf.classes_ = np.array([b"a", b"b"])
    with pytest.raises(ValueError, match="Classes can be saved if they are text"):
        clf.save(tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists()


def changed(path, change):
    """Change the description in a file, without the checksum, which would tell."""
    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["fastmlp"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("checksum", "version"):
        description.pop(name, None)
    change(description)
    save_file(arrays, path, {"fastmlp": json.dumps(description)})


def test_damaged_descriptions_are_refused(table, tmp_path):
    path, damaged = tmp_path / "clf.safetensors", tmp_path / "damaged.safetensors"
    TabularMLPClassifier(**QUICK, n_nets=1).fit(table, np.arange(60) % 2).save(path)
    changes = [
        lambda d: d.update({"class": "object"}),
        lambda d: d["params"].update(hidden_layer_sizes={"frozenset": [1]}),
        lambda d: d["fitted"].update(n_iter_="3"),
        lambda d: d["fitted"].update(n_features_in_=3),
        lambda d: d["fitted"].update(n_outputs_=5),
        lambda d: d["arrays"].update(columns_=[1.0]),
        lambda d: d["classes"].update(dtype="V8"),
        lambda d: d["classes"].update(labels=[1, 2, 3]),
        lambda d: d.pop("names"),
        lambda d: d.update(notes=3),
    ]
    of_file = [lambda d, change=change: change(d["estimator"]) for change in changes]
    of_file += [lambda d, whole=whole: d.update(estimator=whole) for whole in (3, [], "text", {})]
    for change in of_file:
        shutil.copy(path, damaged)
        changed(damaged, change)
        with pytest.raises(ValueError, match=r"damaged.safetensors' should be an estimator saved by fastmlp, but "):
            fastmlp.load(damaged)


def test_parameters_of_earlier_versions_are_passed_over(table, tmp_path):
    def as_earlier(description):
        former = {"refit": False, "n_bins": "auto", "dtype": "float32", "schedule": {"schedule": ["Cosine", {}]}}
        description["estimator"]["params"] |= former
        description["estimator"]["records"]["validation_scores_"] = {"list": [0.5]}

    clf = TabularMLPClassifier(**QUICK, n_nets=1).fit(table, np.arange(60) % 2)
    clf.save(tmp_path / "clf.safetensors")
    changed(tmp_path / "clf.safetensors", as_earlier)
    assert_same(fastmlp.load(tmp_path / "clf.safetensors"), clf, table)


# ---- files of `fastmlp train`: estimators take the table itself and agree with `fastmlp predict`

ROWS = 120


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    size, colour = rng.normal(100.0, 30.0, ROWS), rng.choice(["red", "blue", "green"], ROWS)
    price = 3000.0 * size + 50_000.0 * (colour == "red") + rng.normal(0.0, 1000.0, ROWS)
    sold = np.where(price > np.median(price), "late", "soon")
    made = pd.DataFrame({"house": np.arange(ROWS), "size": size, "colour": colour, "price": price, "sold": sold})
    made.to_csv(tmp_path / "houses.csv", index=False)
    return made


def run(*arguments):
    result = CliRunner().invoke(app, [str(word) for word in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture
def trained(houses, tmp_path):
    """Return a function that trains on a target column, and returns the loaded model and the command's predictions."""

    def train(target, other):
        model, predicted = tmp_path / "model.safetensors", tmp_path / "predicted.csv"
        options = ("--n-nets", 1, "--drop", other, "--id", "house", "--epochs", 20, "--hidden", "16", "--device", "cpu")
        run("train", tmp_path / "houses.csv", "--target", target, "--output", model, *options)
        run("predict", model, tmp_path / "houses.csv", "--output", predicted)
        return fastmlp.load(model, device="cpu"), pd.read_csv(predicted)

    return train


def test_regressor_predicts_in_units_of_the_target(trained, houses):
    model, predicted = trained("price", "sold")
    assert type(model).__name__ == "TabularMLPRegressor"
    assert model.net_.history.epochs == model.n_iter_ == len(model.loss_curve_)
    inputs = houses[["colour", "size"]]
    np.testing.assert_allclose(model.predict(inputs), predicted["prediction"], rtol=1e-5)
    assert model.score(inputs, houses["price"]) > 0.2


def test_classifier_predicts_labels_and_probabilities(trained, houses):
    model, predicted = trained("sold", "price")
    assert list(model.classes_) == ["late", "soon"]
    assert (model.predict(houses) == predicted["prediction"]).all()
    np.testing.assert_allclose(model.predict_proba(houses)[:, 1], predicted["probability_soon"], rtol=1e-4, atol=1e-6)
    assert model.get_params()["hidden_layer_sizes"] == (16,)


def test_table_may_have_further_columns_but_not_lack_one(trained, houses, tmp_path):
    """As for `fastmlp predict`, since training leaves columns out."""
    model, _ = trained("price", "sold")
    both = model.predict(houses), model.predict(houses[["size", "colour"]])
    np.testing.assert_array_equal(*both)
    with pytest.raises(ValueError, match="colour") as raised:
        model.predict(houses.drop(columns="colour"))
    assert "unseen" not in str(raised.value), "further columns are no mistake"
    model.save(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "again.safetensors").predict(houses), both[0])
    model.set_params(max_iter=1).fit(houses[["size", "colour"]], houses["price"])
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(houses)
