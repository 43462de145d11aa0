"""Tabular estimators whose nets share weights: fitted, kept, exported, and refused where nets are trained apart."""

import warnings

import numpy as np
import pytest

import fastmlp
from fastmlp import TabularMLPClassifier, TabularMLPRegressor

pd = pytest.importorskip("pandas")

SMALL = {"hidden_layer_sizes": (16,), "n_nets": 4, "max_iter": 20, "shared_weights": True, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.integers(0, 5, 300), "c": rng.choice(["x", "y"], 300)})
    return frame, 3 * np.sin(frame["a"]) + frame["b"] * (frame["c"] == "x"), (frame["a"] * frame["b"] > 1).map(str)


@pytest.mark.quick
def test_regressor_learns_and_its_file_predicts_the_same(table, tmp_path):
    X, y, _ = table
    model = TabularMLPRegressor(**SMALL | {"max_iter": 60}).fit(X, y)
    assert model.net_.shared_weights
    assert model.score(X, y) > 0.8
    model.save(tmp_path / "model.st")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "model.st").predict(X), model.predict(X))


def test_classifier_is_calibrated_and_goes_on(table):
    X, _, y = table
    model = TabularMLPClassifier(**SMALL, warm_start=True, calibration="temperature").fit(X, y)
    first = model.score(X, y)
    assert model.fit(X, y).score(X, y) >= first - 0.02
    assert model.net_.fits == 2
    assert model.temperature_ > 0


def test_refit_trains_all_rows_with_shared_weights(table):
    X, y, _ = table
    model = TabularMLPRegressor(**SMALL, refit=True).fit(X, y)
    assert model.net_.shared_weights
    assert model.net_.n_nets == 4


def test_exported_ensemble_predicts_the_same(table, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    X, y, _ = table
    model = TabularMLPRegressor(**SMALL).fit(X, y)
    model.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    kinds = {"a": np.float64, "b": np.float64, "c": object}
    inputs = {i.name: X[[i.name]].to_numpy().astype(kinds[i.name]) for i in session.get_inputs()}
    (found, *_) = session.run(None, inputs)
    expected = model.predict(X)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_nets": 1}, "n_nets is 1"),
        ({"n_folds": 3}, "without the folds"),
        ({"numeric_encoding": "periodic"}, "no input embedding"),
        ({"category_embedding": True}, "no input embedding"),
        ({"eval_metric": "r2"}, "eval_metric trains nets"),
        ({"tune": 3}, "tune trains nets"),
        ({"callbacks": print}, "callbacks trains nets"),
        ({"shared_weights": 2}, "must be True, False or 'auto'"),
    ],
)
def test_settings_of_nets_that_are_trained_apart_are_refused(settings, message, table):
    X, y, _ = table
    with pytest.raises(ValueError, match=message):
        TabularMLPRegressor(**SMALL | settings).fit(X, y)


def test_a_time_limit_is_kept(table):
    X, y, _ = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TabularMLPRegressor(**SMALL | {"max_iter": 10**5, "time_limit": 1.0}).fit(X, y)
    assert model.n_iter_ < 10**5
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.slow
def test_command_goes_on_with_shared_weights_and_its_report_finds_the_held_out_rows(table, tmp_path):
    from typer.testing import CliRunner

    from fastmlp.commands.cli import app

    X, y, _ = table
    path, model, second = tmp_path / "table.csv", tmp_path / "m.st", tmp_path / "n.st"
    X.assign(y=y).to_csv(path, index=False)
    run = lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])
    small = ("--target", "y", "--hidden", "16", "--epochs", "5")
    done = run("train", path, *small, "--n-nets", 4, "--shared-weights", "--output", model)
    assert done.exit_code == 0, done.output
    assert run("train", path, *small, "--continue-from", model, "--output", second).exit_code == 0
    assert fastmlp.load(second).net_.shared_weights
    assert fastmlp.load(second).shared_weights is True
    refused = run("train", path, *small, "--n-nets", 4, "--output", model)
    assert refused.exit_code == 0
    refused = run("train", path, *small, "--continue-from", model, "--shared-weights", "--output", second)
    assert refused.exit_code != 0
    assert "share no weights" in refused.output + refused.stderr
    net = fastmlp.load(second).net_
    features = fastmlp.load(second).net_.preprocessing.transform(X.assign(y=y))
    targets = net.preprocessing.target.encode(y)
    from fastmlp.commands.train import split_rows
    from fastmlp.tables.held_out_rows import training_split

    assert set(training_split(net, features, targets, split_rows)) == {"training", "validation"}
