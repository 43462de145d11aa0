"""Serialisation of tabular estimators to files, without pickle."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import fastmlp
from fastmlp import MLP, Population, TabularMLPClassifier, TabularMLPRegressor

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
LABELS = {
    "text": lambda k: np.array(["no", "yes", "perhaps"])[k],
    "objects": lambda k: np.array(["no", "yes", "perhaps"], object)[k],
    "integers": lambda k: np.array([3, -1, 7], np.int16)[k],
    "floats": lambda k: np.array([0.0, 1.0, 2.0], np.float32)[k],
    "truths": lambda k: k > 0,
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


@pytest.mark.parametrize("n_nets", [1, 2])
@pytest.mark.parametrize("labels", LABELS)
def test_classifiers_round_trip_through_files(table, tmp_path, labels, n_nets):
    y = LABELS[labels](np.arange(60) % 3)
    clf = TabularMLPClassifier(**QUICK, n_nets=n_nets, class_weight={y[0]: 2.0}, categorical_features=["count"])
    same = again(clf.fit(table, y), tmp_path / "clf.safetensors")
    assert type(same) is TabularMLPClassifier
    assert same.get_params() == clf.get_params()
    np.testing.assert_array_equal(same.predict_proba(table), clf.predict_proba(table))
    np.testing.assert_array_equal(same.predict(table), clf.predict(table))
    assert same.predict(table).dtype == clf.predict(table).dtype
    assert same.score(table, y) == clf.score(table, y)
    names = ["columns_", "notes_", "n_iter_", "n_features_in_", "n_outputs_"]
    for name in [*names, *(["loss_curve_", "validation_loss_curve_"] if n_nets == 1 else [])]:
        assert getattr(same, name) == getattr(clf, name)
    assert same.feature_names_in_.tolist() == clf.feature_names_in_.tolist()
    assert type(same.history_) is type(clf.history_)


@pytest.mark.parametrize("dates", [["2020-01-01", "1969-12-31"], [1, 30]])
def test_classes_that_are_dates_or_durations_round_trip(table, tmp_path, dates, monkeypatch):
    y = np.array(dates, "datetime64[ns]" if isinstance(dates[0], str) else "timedelta64[D]")[np.arange(60) % 2]
    clf = TabularMLPClassifier(**QUICK, n_nets=1).fit(table, y)
    same = again(clf, tmp_path / "clf.safetensors")
    np.testing.assert_array_equal(same.classes_, np.unique(y))
    np.testing.assert_array_equal(same.predict(table), clf.predict(table))
    assert same.predict(table).dtype == y.dtype
    monkeypatch.setattr("fastmlp.loading.FORMAT", 1)  # as in versions that cannot read such classes
    with pytest.raises(ValueError, match=r"a newer fastmlp .* wrote it in format 2, .* reads formats up to 1"):
        fastmlp.load(tmp_path / "clf.safetensors")


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressors_round_trip_through_files(table, tmp_path, rng, n_outputs):
    y = 1e3 + rng.normal(size=(60, n_outputs)) / 3
    y = y[:, 0] if n_outputs == 1 else y
    reg = TabularMLPRegressor(**QUICK, n_nets=2).fit(table.to_numpy(), y)
    same = again(reg, tmp_path / "reg.safetensors")
    np.testing.assert_array_equal(same.predict(table.to_numpy()), reg.predict(table.to_numpy()))
    assert same.get_params() == reg.get_params()
    assert not hasattr(same, "feature_names_in_")
    again(same, tmp_path / "reg2.safetensors")
    assert (tmp_path / "reg.safetensors").read_bytes() == (tmp_path / "reg2.safetensors").read_bytes()


def test_bins_and_dates_round_trip_through_files(table, tmp_path):
    days = pd.Series(pd.date_range("2020-01-01", periods=60)).where(np.arange(60) % 9 != 0)
    frame = table.assign(day=days)
    settings = {"numeric_encoding": "piecewise_linear", "n_nets": 1}
    model = TabularMLPRegressor(**QUICK, **settings).fit(frame, (table["size"] > 1.0).to_numpy())
    assert [column.kind for column in model.columns_] == [
        "piecewise_linear",
        "category",
        "category",
        "standard",
        "date",
    ]
    same = again(model, tmp_path / "model.safetensors")
    assert (same.get_params(), same.columns_) == (model.get_params(), model.columns_)
    assert same.encoded_feature_names()[:3] == ["size", "size in bin 1", "size in bin 2"]
    np.testing.assert_array_equal(same.predict(frame), model.predict(frame))


def test_history_knows_its_net_after_loading(table, tmp_path):
    fitted = TabularMLPRegressor(**QUICK, n_nets=1).fit(table, np.arange(60.0))
    same = again(fitted, tmp_path / "model")
    for model in (fitted, same):
        assert model.history_ is model.net_.history
        assert model.history_.net is model.net_


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


def test_warm_start_continues_after_loading(table, tmp_path):
    y = np.arange(60) % 2
    settings = QUICK | {"n_nets": 1, "warm_start": True}
    clf = TabularMLPClassifier(**settings).fit(table, y)
    same = again(clf, tmp_path / "clf.safetensors")
    for estimator in (clf, same):
        estimator.fit(table, y)
        assert len(estimator.loss_curve_) == 6
    np.testing.assert_array_equal(same.predict_proba(table), clf.predict_proba(table))


def test_estimator_files_can_be_loaded_as_nets(table, tmp_path):
    """`fastmlp predict` reads an estimator's file through load_net, as a net with its preprocessing."""
    path = tmp_path / "model.safetensors"
    y = pd.Series(np.where(np.arange(60) % 2, "yes", "no"), name="bought")
    clf = TabularMLPClassifier(**QUICK, n_nets=2, calibration="none").fit(table, y)
    clf.save(path)
    net = fastmlp.loading.load_net(path)
    assert isinstance(net, Population)
    assert net.preprocessing.target.name == "bought"
    features = net.preprocessing.transform(table)
    np.testing.assert_allclose(net.ensemble_predict(features), clf.predict_proba(table), rtol=1e-6)
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


def test_nets_are_loaded_as_nets(tmp_path):
    MLP((2, 3, 1), random_state=0).save(tmp_path / "net.safetensors")
    assert isinstance(fastmlp.load(tmp_path / "net.safetensors"), MLP)


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


def test_damaged_descriptions_are_refused(table, tmp_path):
    path, damaged = tmp_path / "clf.safetensors", tmp_path / "damaged.safetensors"
    TabularMLPClassifier(**QUICK, n_nets=1).fit(table, np.arange(60) % 2).save(path)
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["fastmlp"]
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    changes = [
        lambda d: d.update({"class": "object"}),
        lambda d: d.pop("class"),
        lambda d: d["params"].update(strange=1),
        lambda d: d["params"].update(dropout={"a": 1, "b": 2}),
        lambda d: d["params"].update(hidden_layer_sizes={"frozenset": [1]}),
        lambda d: d["fitted"].update(n_iter_="3"),
        lambda d: d["fitted"].update(net_=3),
        lambda d: d["fitted"].update(temperature_="hot"),
        lambda d: d["fitted"].update(n_features_in_=3),
        lambda d: d["fitted"].update(n_outputs_=5),
        lambda d: d["records"].update(net_=3),
        lambda d: d["records"].update(best_settings_={"float": "x"}),
        lambda d: d["arrays"].update(columns_=[1.0]),
        lambda d: d["arrays"].update(_mean="x"),
        lambda d: d["classes"].update(dtype="V8"),
        lambda d: d["classes"].update(dtype="nothing"),
        lambda d: d["classes"].update(labels=[1, 2, 3]),
        lambda d: d.pop("names"),
        lambda d: d.update(notes=3),
    ]
    for change in changes:
        description = json.loads(text)
        for name in ("checksum", "version"):  # a damage that the checksum is not there to tell
            description.pop(name, None)
        change(description["estimator"])
        save_file(arrays, damaged, {"fastmlp": json.dumps(description)})
        with pytest.raises(ValueError, match=r"damaged.safetensors' should be an estimator saved by fastmlp, but "):
            fastmlp.load(damaged)
    for whole in (3, [], "text", {}):
        description = {**json.loads(text), "estimator": whole}
        for name in ("checksum", "version"):
            description.pop(name, None)
        save_file(arrays, damaged, {"fastmlp": json.dumps(description)})
        with pytest.raises(ValueError, match="should be an estimator saved by fastmlp, but "):
            fastmlp.load(damaged)


def test_parameters_of_earlier_versions_are_passed_over(table, tmp_path):
    path = tmp_path / "clf.safetensors"
    clf = TabularMLPClassifier(**QUICK, n_nets=1).fit(table, np.arange(60) % 2)
    clf.save(path)
    with safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["fastmlp"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("checksum", "version"):
        description.pop(name, None)
    former = {"refit": False, "n_bins": "auto", "dtype": "float32", "schedule": {"schedule": ["Cosine", {}]}}
    description["estimator"]["params"] |= former
    description["estimator"]["records"]["validation_scores_"] = {"list": [0.5]}
    save_file(arrays, path, {"fastmlp": json.dumps(description)})
    same = fastmlp.load(path)
    np.testing.assert_array_equal(same.predict(table), clf.predict(table))
    assert same.get_params() == clf.get_params()


def test_parameters_of_subclasses_of_list_and_tuple_are_saved(table, tmp_path):
    class Size(tuple):
        __slots__ = ()

    clf = TabularMLPClassifier(**QUICK | {"hidden_layer_sizes": Size((8,)), "n_nets": 1}).fit(table, np.arange(60) % 2)
    assert again(clf, tmp_path / "clf.safetensors").hidden_layer_sizes == (8,)
