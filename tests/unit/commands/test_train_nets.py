"""`fastmlp train` with presets and several nets: what it writes is read by the other commands, and by Python."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np
import pytest
from command_runs import run_command as run
from command_runs import with_defaults

import fastmlp
from fastmlp.loading import load_net
from fastmlp.table_training import fits_in_time
from fastmlp.table_training.recipes import QUALITIES

pd = pytest.importorskip("pandas")
QUICK = ["--hidden", "8", "--epochs", "3", "--device", "cpu"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder: a table of numbers and classes, of which one in twenty is rare."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    table = pd.DataFrame({"size": x[:, 0], "age": x[:, 1], "price": x[:, 0] - x[:, 1]})
    table["kind"] = np.where(x[:, 0] > 1.6, "rare", "usual")
    table.to_csv("table.csv", index=False)
    return tmp_path


def train(target, *options, code=0):
    drop = "kind" if target == "price" else "price"
    return run("train", "table.csv", "--target", target, "--drop", drop, *with_defaults(QUICK, options), code=code)


@pytest.mark.parametrize("target", ["price", "kind"])
@pytest.mark.parametrize("quality", QUALITIES)
def test_what_train_writes_is_read_by_all_commands_and_by_python(target, quality):
    recipe, said = QUALITIES[quality], train(target, "--quality", quality)
    n_nets = recipe.n_nets_of_all_folds
    assert ("Trained 3 epochs" if n_nets == 1 else f"Trained {n_nets} nets in") in said
    assert ("out of fold" in said) == (n_nets > 1), "each net has rows of its own to hold out"
    assert getattr(load_net("model.safetensors"), "n_nets", 1) == n_nets
    run("predict", "model.safetensors", "table.csv", "--output", "predictions.csv")
    predicted, model = pd.read_csv("predictions.csv"), fastmlp.load("model.safetensors", device="cpu")
    table = pd.read_csv("table.csv")
    if target == "price":
        np.testing.assert_allclose(model.predict(table), predicted["prediction"], rtol=1e-4, atol=1e-6)
    else:
        assert (model.predict(table) == predicted["prediction"]).all()
        np.testing.assert_allclose(model.predict_proba(table)[:, 0], predicted["probability_rare"], rtol=1e-4)
    assert "Wrote net.h" in run("export", "model.safetensors", "net.h")
    assert model.get_params()["n_nets"] == n_nets


def test_a_report_on_several_nets_is_on_the_best():
    train("kind", "--n-nets", 3)
    assert "Wrote report.html" in run("report", "model.safetensors", "table.csv", "--output", "report.html")
    best = load_net("model.safetensors").result.best
    page = Path("report.html").read_text(encoding="utf-8")
    assert f"net {best}, the best of 3" in page
    assert "are of one of 3 nets, whose mean predicts" in page
    assert "holds 3 nets, and a report on the best of them needs a table" in run("report", "model.safetensors", code=1)
    assert "3 nets" in run("diagnose", "model.safetensors", "table.csv")


@pytest.mark.parametrize(
    "target, options, settings",
    [
        ("price", (), {}),
        ("kind", ("--class-weight", "balanced"), {"class_weight": "balanced"}),
        ("kind", ("--quality", "fast", "--seed", 7), {"quality": "fast", "random_state": 7}),
        ("price", ("--quality", "best", "--n-nets", 1), {"quality": "best", "n_nets": 1}),
        ("kind", ("--n-nets", 2, "--validation", 0.25), {"n_nets": 2, "validation_fraction": 0.25}),
        ("price", ("--n-nets", 1, "--validation", 0), {"n_nets": 1, "validation_fraction": 0.0}),
        ("price", ("--tune", 3, "--dropout", 0.2), {"tune": 3, "dropout": 0.2}),
    ],
    ids=["default", "weights", "fast", "folds", "same rows", "all rows", "tune"],
)
def test_nets_are_those_of_the_estimators(target, options, settings):
    """One trainer: the same rows are held out, and the nets, their calibration and predictions have the same bits."""
    from fastmlp import TabularMLPClassifier, TabularMLPRegressor

    table = pd.read_csv("table.csv")
    X = table.drop(columns=["kind", "price"])
    kind = TabularMLPRegressor if target == "price" else TabularMLPClassifier
    model = kind(**{"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0} | settings).fit(X, table[target])
    train(target, *options)
    nets = load_net("model.safetensors")
    np.testing.assert_array_equal(nets.params, model.net_.params)
    assert nets.preprocessing.columns == model.columns_
    same = fastmlp.load("model.safetensors", device="cpu")
    predict = lambda of: of.predict(X) if target == "price" else of.predict_proba(X)
    np.testing.assert_array_equal(predict(same), predict(model))
    before, after = (of.settings if hasattr(of, "settings") else of.arguments for of in (model.history_, same.history_))
    for name in ("optimizer", "schedule", "batch_size", "early_stopping", "shuffle"):
        assert before.get(name) == after.get(name)


def test_class_weights_find_the_rare_class():
    shares, weights = [], ("--class-weight", "balanced")
    for options in (weights, ()):
        said = train("kind", *options, "--n-nets", 1, "--epochs", 30)
        assert ("weighted validation loss" in said) == bool(options)
        shares.append((fastmlp.load("model.safetensors").predict(pd.read_csv("table.csv")) == "rare").mean())
    assert shares[0] > shares[1]


def test_rows_of_a_test_table_with_classes_unseen_in_training_are_left_out():
    test = pd.read_csv("table.csv").iloc[:40]
    test.to_csv("known.csv", index=False)
    test.iloc[[0, 0, 1]].assign(kind=["odd", "odd", None]).to_csv("odd.csv", index=False)
    pd.concat([test, pd.read_csv("odd.csv")]).to_csv("test.csv", index=False)
    said = train("kind", "--n-nets", 1, "--test", "test.csv")
    assert "Test table: 1 row whose target 'kind' is missing is left out." in said
    assert "Test table: 2 of 42 rows are left out of the metrics, because of classes that training had not: 'odd'." in (
        said
    )
    figures = lambda text: re.findall(r"│ test .*", text)
    assert figures(said) == figures(train("kind", "--n-nets", 1, "--test", "known.csv")) != []
    said = train("kind", "--n-nets", 1, "--test", "odd.csv", code=1)
    assert "holds the class 'odd', which did not occur in training; the model knows 'rare', 'usual'" in said


def test_a_time_limit_leaves_out_epochs_with_a_sentence():
    said = train("price", "--time-limit", 0.000001)
    assert "1 net of 1 epoch is all that is trained, instead of 6 nets of 3 epochs; raise the limit." in said
    assert "the time limit is too short for a test whether" in said
    assert "Trained 1 epoch in" in said


def test_a_time_limit_that_leaves_out_nets_lets_the_others_hold_out_the_same_rows(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    monkeypatch.setattr("fastmlp.table_training.fits_in_time.seconds_per_epoch", lambda *_: 2.0)
    said = train("price", "--epochs", 20, "--time-limit", 75)
    assert "is enough for 3 nets of 11 epochs, instead of 6 nets of 20 epochs" in said
    assert load_net("model.safetensors").result.arguments["n_samples"] == 250
    assert re.search(r"validation\s+│ 50 ", said)


@pytest.mark.parametrize("n_epochs", [0, 2])
@pytest.mark.parametrize("options", [("--n-nets", 2), ("--quality", "best")])
def test_ctrl_c_saves_the_nets_that_had_begun_beside_the_output(options, n_epochs, monkeypatch):
    from fastmlp.console.progress_bar import Progress
    from fastmlp.table_training import model

    show, fit, begun = Progress.show, model.fit_nets, []

    def fit_nets(*arguments, **settings):
        begun.append(arguments)
        return fit(*arguments, **settings)

    def shown(self, done, *others):
        show(self, done, *others)
        if begun and done >= n_epochs:  # on a slow machine, what comes before the training is shown, too
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(model, "fit_nets", fit_nets)
    monkeypatch.setattr(Progress, "show", shown)
    said = train("price", *options, "--hidden", "300,300", code=130)
    assert "Interrupted" in said
    if Path("model.safetensors.interrupted").exists():
        assert "mean validation loss" in said
        assert load_net("model.safetensors.interrupted").n_nets >= 1
    else:  # Ctrl-C came before a net had finished an epoch
        assert "nothing was" in said


@pytest.mark.parametrize("options", [(), ("--quality", "best", "--n-nets", 1)], ids=["default", "folds"])
def test_a_checkpoint_changes_no_net(options, monkeypatch):
    """Nets that hold out a fold each have a file each, and go on to the same nets after Ctrl-C."""
    train("price", *options)
    nets = load_net("model.safetensors")
    saving = (*options, "--checkpoint", "run.ckpt")
    monkeypatch.setattr("fastmlp.commands.train_options.EVERY", 1)
    fit, begun = fits_in_time.fit_nets, []

    def interrupted(*arguments, **further):
        begun.append(further["checkpoint"].path.name)
        if len(begun) == 2:
            signal.raise_signal(signal.SIGINT)
        return fit(*arguments, **further)

    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")  # nets in turn
    monkeypatch.setattr("fastmlp.table_training.model.fit_nets", interrupted)
    assert "The same command with --resume goes on." in train("price", *saving, code=130)
    assert begun == ["run.ckpt.0", "run.ckpt.1"]
    monkeypatch.setattr("fastmlp.table_training.model.fit_nets", fit)
    said = train("price", *saving, code=1)
    assert (
        "There is a checkpoint 'run.ckpt.0' already. Go on from it (Checkpoint(..., resume=True), on the command line"
        in said
    )
    assert "The fit goes on after epoch 3 of 3, from 'run.ckpt.0'." in train("price", *saving, "--resume")
    found = load_net("model.safetensors")
    np.testing.assert_array_equal(found.params, nets.params)
    np.testing.assert_array_equal(found.result.best_value, nets.result.best_value)
    assert found.preprocessing.target == nets.preprocessing.target
