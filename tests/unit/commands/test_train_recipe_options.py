"""`fastmlp train`: options that change the recipe of the nets or the kinds of columns, as the estimators have them."""

from __future__ import annotations

import numpy as np
import pytest
from command_runs import run_command as run
from command_runs import with_defaults

import fastmlp
from fastmlp.commands.train_settings import TrainSettings
from fastmlp.loading import load_net

pd = pytest.importorskip("pandas")
QUICK = ["--hidden", "8", "--epochs", "3", "--device", "cpu", "--n-nets", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder: a table of numbers, codes and classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    table = pd.DataFrame({"size": x[:, 0], "age": x[:, 1], "zone": rng.integers(1, 6, 300)})
    table["price"] = np.sin(4 * x[:, 0]) + (table["zone"] == 3)
    table["kind"] = np.where(table["price"] > 0.5, "dear", "cheap")
    table.to_csv("table.csv", index=False)
    return tmp_path


def train(target, *options, code=0):
    drop = "kind" if target == "price" else "price"
    return run("train", "table.csv", "--target", target, "--drop", drop, *with_defaults(QUICK, options), code=code)


# ---- columns


def test_columns_of_numbers_as_categories():
    train("price", "--categorical", "zone", "--numeric-encoding", "standard")
    names = load_net("model.safetensors").preprocessing.feature_names
    assert names == ["size", "age", *(f"zone = {k}" for k in range(1, 6))]
    run("predict", "model.safetensors", "table.csv", "--output", "predictions.csv")
    table = pd.read_csv("table.csv")
    predicted = fastmlp.load("model.safetensors", device="cpu").predict(table)
    np.testing.assert_allclose(pd.read_csv("predictions.csv")["prediction"], predicted, rtol=1e-5)
    as_floats = fastmlp.load("model.safetensors", device="cpu").predict(table.astype({"zone": float}))
    np.testing.assert_array_equal(as_floats, predicted)


@pytest.mark.slow
def test_categories_of_a_table_that_is_read_in_pieces():
    from large_tables import LIMIT, make_table

    make_table(20_000).drop(columns=["kind", "day"]).to_csv("large.csv", index=False)
    options = "--categorical", "c", "--n-bins", 7, "--numeric-encoding", "piecewise_linear", "--memory-limit", LIMIT
    said = run("train", "large.csv", "--target", "value", *with_defaults(QUICK, options))
    assert "in pieces" in said
    columns = {column.name: column for column in load_net("model.safetensors").preprocessing.columns}
    assert columns["c"].categories == ("0", "1", "2", "3", "4")
    assert max(columns[name].n_bins for name in "ab") == 7


def test_fewer_bins():
    options = "--numeric-encoding", "piecewise_linear"
    found = []
    for further in ((), ("--n-bins", 3)):
        train("price", *options, *further)
        found.append(load_net("model.safetensors").preprocessing.columns[0].n_bins)
    assert found[1] == 3 < found[0]


# ---- nets


def test_settings_of_nets_reach_them():
    options = "--l2", 0.25, "--label-smoothing", 0.125, "--calibration", "none", "--n-folds", 3
    said = train("kind", *options)
    assert "out of fold" in said
    nets = load_net("model.safetensors")
    assert (nets.n_nets, nets.network.l2, nets.network.label_smoothing) == (3, 0.25, 0.125)
    assert nets.preprocessing.target.temperature == 1.0


def test_one_fold_is_none():
    assert TrainSettings("y", quality="best", n_folds=1, validation=0.1).recipe().validation_fraction == 0.1
    assert "validation" in train("price", "--quality", "best", "--n-folds", 1)


@pytest.mark.slow
def test_calibration_of_a_net_that_the_preset_would_leave_as_it_is():
    temperatures = {}
    for calibration in ("temperature", "none"):
        options = "--quality", "fast", "--label-smoothing", 0.9, "--learning-rate", 0.03, "--epochs", 20
        train("kind", *options, "--calibration", calibration)
        temperatures[calibration] = load_net("model.safetensors").preprocessing.target.temperature
    assert temperatures["temperature"] < 0.9
    assert temperatures["none"] == 1.0


def test_greedy_weights():
    found = {}
    for weights in ("equal", "greedy"):
        train("price", "--n-nets", 4, "--net-weights", weights, "--n-folds", 1)
        found[weights] = [net.tobytes() for net in load_net("model.safetensors").params]
    assert len(set(found["equal"])) == len(found["greedy"]) == 4
    assert set(found["greedy"]) < set(found["equal"]), "some nets are picked twice, and others not at all"


# ---- all rows


def figures(said, part):
    return said.split(f"│ {part}")[1].split("│ baseline")[0]


@pytest.mark.parametrize("target, n_nets", [("price", 1), ("kind", 2)])
def test_refit_trains_new_nets_on_all_rows(target, n_nets):
    options = "--n-nets", n_nets, "--epochs", 12, "--learning-rate", 0.05, "--patience", 3
    before = train(target, *options)
    first = load_net("model.safetensors")
    said = train(target, *options, "--refit")
    nets = load_net("model.safetensors")
    record = nets.history if n_nets == 1 else nets.result
    settings = record.settings if n_nets == 1 else record.arguments
    assert (settings["n_samples"], settings["n_validation"]) == (300, 0)
    best = (first.history if n_nets == 1 else first.result).best_epoch
    n_epochs = round(float(np.median(best)) + 1)
    assert int(np.max(record.epochs)) == n_epochs
    assert f"New nets are trained on all 300 rows, for {n_epochs} epoch" in said
    assert "of the nets before --refit, which have not seen its rows" in said
    assert figures(said, "validation") == figures(before, "validation")
    assert not np.array_equal(nets.params, first.params)
    assert nets.preprocessing.target == first.preprocessing.target, "the temperature, too"
    if n_nets == 1:
        assert "validation samples" not in run("diagnose", "model.safetensors", "table.csv")


@pytest.mark.slow
@pytest.mark.parametrize("n_epochs", [None, 2], ids=["before", "during"])
def test_ctrl_c_in_the_fit_to_all_rows_leaves_the_nets_of_the_first_training(n_epochs, monkeypatch):
    from fastmlp.commands import train_nets

    fit_nets = train_nets.fit_nets

    def interrupted(nets, rows, held_out, recipe, **further):
        if held_out is None and n_epochs is None:
            raise KeyboardInterrupt
        history = fit_nets(nets, rows, held_out, recipe, **further)
        if held_out is None:
            history.stopped_by = "interrupt"
        return history

    train("price")
    monkeypatch.setattr(train_nets, "fit_nets", interrupted)
    assert "Interrupted after 3 epochs" in train("price", "--refit", "--output", "again", code=130)
    np.testing.assert_array_equal(load_net("again.interrupted").params, load_net("model.safetensors").params)


# ---- mistakes


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "options, words",
    [
        (["--categorical", "zones"], "The table has no --categorical column 'zones'. Did you mean 'zone'?"),
        (["--categorical", "price"], "--categorical names 'price', which is not among the columns to learn from"),
        (["--categorical", "kind"], "--categorical names 'kind', which is not among the columns to learn from"),
        (["--categorical", "zone", "--text", "zone"], "--text and --categorical both name 'zone'"),
        (["--label-smoothing", "0.1"], "--label-smoothing is given, but 'price' is predicted as a number"),
        (["--calibration", "none"], "--calibration is given, but 'price' is predicted as a number"),
        (["--calibration", "temperature", "--validation", "0"], "--calibration temperature needs held-out rows"),
        (["--n-bins", "1001"], "n_bins must be a whole number from 2 to 1,000"),
        (["--l2", "-1"], "l2 must be"),
        (["--n-folds", "3", "--validation", "0.1"], "--n-folds 3 holds out each of 3 folds in turn: leave it out"),
        (["--refit", "--n-folds", "3"], "which --n-folds 3 does not go with"),
        (["--refit", "--quality", "best"], "which --quality best does not go with"),
        (["--refit", "--validation", "0"], "--refit needs held-out rows"),
        (["--refit", "--checkpoint", "c"], "which --checkpoint does not go with"),
        (["--refit", "--n-nets", "3", "--net-weights", "greedy"], "which --net-weights greedy does not go with"),
        (["--target", "price,kind"], "There is one target column, but 'price,kind' names 2"),
    ],
    ids=str,
)
def test_mistakes_get_sentences(options, words):
    given = with_defaults(["--target", "price", "--drop", "kind"], with_defaults(QUICK, options))
    assert words in run("train", "table.csv", *given, code=1)


@pytest.mark.slow
def test_options_that_known_nets_have_already_are_refused():
    train("price")
    go_on = "--continue-from", "model.safetensors", "--output", "more"
    for options in (("--categorical", "zone"), ("--n-bins", 7)):
        assert f"which {options[0]} would change" in train("price", *go_on, *options, code=1)
    assert "which --continue-from does not go with" in train("price", *go_on, "--refit", code=1)
