"""Tabular estimators whose nets share weights: fitted, kept, exported, and refused where nets are trained apart."""

import warnings

import numpy as np
import pytest

import fastmlp
from fastmlp import TabularMLPClassifier, TabularMLPRegressor
from fastmlp.population import subset_of
from fastmlp.table_training.folds import nets_share_by_fold
from fastmlp.table_training.recipes import QUALITIES, recipe_of

pd = pytest.importorskip("pandas")

SMALL = {"hidden_layer_sizes": (16,), "n_nets": 4, "max_iter": 20, "shared_weights": True, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.integers(0, 5, 300), "c": rng.choice(["x", "y"], 300)})
    return frame, 3 * np.sin(frame["a"]) + frame["b"] * (frame["c"] == "x"), (frame["a"] * frame["b"] > 1).map(str)


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
        ({"eval_metric": "r2"}, "eval_metric looks at each net"),
        ({"callbacks": print}, "callbacks looks at each net"),
        ({"shared_weights": 2}, "must be True, False or 'auto'"),
    ],
)
def test_settings_of_nets_that_are_trained_apart_are_refused(settings, message, table):
    X, y, _ = table
    with pytest.raises(ValueError, match=message):
        TabularMLPRegressor(**SMALL | settings).fit(X, y)


@pytest.mark.slow
def test_nets_of_a_fold_share_weights_and_predict_the_rows_they_have_not_seen(table, tmp_path):
    X, _, y = table
    model = TabularMLPClassifier(**SMALL, n_folds=3, calibration="none").fit(X, y)
    net = model.net_
    assert (net.n_nets, net.shared_weights) == (12, False)
    last = [net.net(k).weights[-2:] for k in range(12)]  # of the hidden layer and of the output layer
    ratio = lambda i, j: last[i][0] / last[j][0]
    np.testing.assert_allclose(ratio(0, 3), ratio(0, 3)[:, :1] * np.ones((1, 16)), rtol=1e-3)
    assert np.ptp(ratio(0, 4), axis=1).max() > 0.01, "nets of different folds share nothing"
    assert not np.array_equal(last[0][1], last[1][1])
    assert nets_share_by_fold(net, 3)
    assert not nets_share_by_fold(net, 2)
    picked = subset_of(net, np.arange(3).repeat(2))
    assert not nets_share_by_fold(picked, 3), "one net for each fold, picked twice"
    assert len(net.result.epochs) == 12
    expected = np.mean([model.net_.net(k).predict(model.encoded_samples(X, y)[0]) for k in range(12)], axis=0)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-5)
    assert np.isfinite(model.oof_prediction_).all()
    accuracy = np.mean(model.classes_[model.oof_prediction_.argmax(axis=1)] == y)
    assert max(y.value_counts(normalize=True)) - 0.05 < accuracy <= 1.0
    model.save(tmp_path / "model.st")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "model.st").predict_proba(X), model.predict_proba(X))


def test_warm_start_goes_on_with_the_nets_of_folds(table):
    X, y, _ = table
    model = TabularMLPRegressor(**SMALL, n_folds=2, warm_start=True).fit(X, y)
    assert nets_share_by_fold(model.fit(X, y).net_, 2)
    assert model.net_.fits == 2


EMBEDDED = [
    {"numeric_encoding": "piecewise_linear", "bin_embedding": True},
    {"numeric_encoding": "periodic"},
    {"category_embedding": True},
]


@pytest.mark.parametrize("encoding", EMBEDDED, ids=str)
def test_input_embeddings_are_in_common(encoding, table, tmp_path):
    X, y, _ = table
    X = X.assign(town=np.array(list("abcdefghijkl"))[np.arange(len(X)) % 12])
    model = TabularMLPRegressor(**SMALL, **encoding).fit(X, y)
    n = model.net_.network.n_embedding_layers
    assert n == (2 if encoding is EMBEDDED[1] else 1)
    common = model.net_.params[:, : model.net_.network.layout.weight_offsets[n]]
    np.testing.assert_array_equal(common, common[:1].repeat(4, axis=0))
    model.save(tmp_path / "model.st")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "model.st").predict(X), model.predict(X))


def test_the_preset_with_folds_has_eight_nets_for_each():
    assert recipe_of("best", {"shared_weights": True}).n_nets == 8
    assert recipe_of("best", {"shared_weights": True, "n_nets": 3}).n_nets == 3
    assert recipe_of("best", {"shared_weights": "auto"}) == QUALITIES["best"]


def test_a_search_compares_ensembles_and_trains_the_best(table):
    X, y, _ = table
    model = TabularMLPRegressor(**SMALL | {"max_iter": 4, "tune": 3}).fit(X, y)
    assert model.net_.shared_weights
    assert model.net_.n_nets == 4
    assert len(model.tuning_results_) == 3
    assert all(np.isfinite(row["score"]) for row in model.tuning_results_)


@pytest.mark.thinned(2)
@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"time_limit": 60.0}], ids=str)
def test_tables_that_are_read_in_pieces(settings, table, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    X, y, _ = table
    rows = np.tile(np.arange(300), 200)
    table = X.iloc[rows].assign(y=np.asarray(y)[rows])
    table.to_parquet(tmp_path / "table.parquet", row_group_size=10_000, index=False)
    model = TabularMLPRegressor(**SMALL | {"max_iter": 2}, **settings)
    model.fit(tmp_path / "table.parquet", "y", memory_limit="1MB")
    assert "read from disk in each epoch" in capsys.readouterr().err
    assert model.net_.shared_weights
    assert model.net_.n_nets == 4
    assert model.score(X, y) > 0.5


def test_a_time_limit_is_kept(table):
    X, y, _ = table
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TabularMLPRegressor(**SMALL | {"max_iter": 10**5, "time_limit": 1.0}).fit(X, y)
    assert model.n_iter_ < 10**5
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.slow
def test_command_trains_folds_of_nets_with_shared_weights_and_goes_on(table, tmp_path):
    from typer.testing import CliRunner

    from fastmlp.commands.cli import app

    X, y, _ = table
    path, model, second = tmp_path / "table.csv", tmp_path / "m.st", tmp_path / "n.st"
    X.assign(y=y).to_csv(path, index=False)
    small = ("--target", "y", "--hidden", "16", "--epochs", "3", "--quality", "best")
    run = lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])
    done = run("train", path, *small, "--n-nets", 2, "--shared-weights", "--output", model)
    assert done.exit_code == 0, done.output
    assert "out of fold" in done.output
    done = run("train", path, *small, "--continue-from", model, "--output", second)
    assert done.exit_code == 0, done.output
    assert nets_share_by_fold(fastmlp.load(second).net_, 10)


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
    from fastmlp.commands.training_split import training_split

    assert set(training_split(net, features, targets).common) == {"training", "validation"}
