"""`fastmlp train --tune`: what is searched, said and saved."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from command_runs import run_command, with_defaults

import fastmlp
from fastmlp.table_training import tuning
from fastmlp.table_training.recipes import QUALITIES

pd = pytest.importorskip("pandas", reason="the command reads tables with pandas")
QUICK = ["--hidden", "8", "--epochs", "12", "--device", "cpu"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a table whose numbers have bins."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(400, 2))
    table = pd.DataFrame({"size": x[:, 0], "age": x[:, 1], "price": np.sin(4 * x[:, 0])})
    table["kind"] = np.where(table["price"] + 0.5 * x[:, 1] > 0, "up", "down")
    table.to_csv("table.csv", index=False)
    return tmp_path


def train(target, *options, code=0):
    drop = "kind" if target == "price" else "price"
    arguments = ["train", "table.csv", "--target", target, "--drop", drop, *with_defaults(QUICK, options)]
    return run_command(*arguments, code=code)


@pytest.mark.parametrize("quality", ["fast", "best"])
def test_the_nets_are_trained_with_what_was_chosen(quality):
    said = train("kind", "--tune", 6, "--quality", quality, "--class-weight", "balanced", "--test", "table.csv")
    assert "--tune 6 compared 6 configurations by a score of held-out rows" in said
    assert "test" in said
    model = fastmlp.load("model.safetensors", device="cpu")
    assert any(note.startswith("--tune 6 compared") for note in model.notes_)
    assert model.score(pd.read_csv("table.csv").drop(columns=["price", "kind"]), pd.read_csv("table.csv")["kind"]) > 0.7
    assert getattr(model.net_, "n_nets", 1) == (20 if quality == "best" else 1)


@pytest.mark.parametrize(("quality", "n_held_out"), (("fast", 80), ("best", 100)))
def test_all_configurations_are_compared_on_the_same_rows(quality, n_held_out, monkeypatch):
    """Of folds, on the first one, whatever the encoding."""
    scores, seen = tuning.scores_of, set()

    def look(nets, held_out):
        seen.add((held_out.n_rows, held_out.y.tobytes(), held_out.weights.tobytes()))
        return scores(nets, held_out)

    monkeypatch.setattr(tuning, "scores_of", look)
    monkeypatch.setitem(QUALITIES, "best", replace(QUALITIES["best"], n_nets=1, n_folds=4))
    train("kind", "--tune", 16, "--seed", 1, "--quality", quality, "--class-weight", "balanced", "--epochs", 3)
    ((n_rows, *_),) = seen
    assert n_rows == n_held_out


@pytest.mark.parametrize(
    "target, options, searched",
    [
        ("kind", ["--dropout", "0.1"], "learning_rate weight_decay batch_size label_smoothing numeric_encoding"),
        ("price", ["--learning-rate", "0.1"], "weight_decay dropout batch_size numeric_encoding"),
    ],
)
def test_given_options_are_not_searched(target, options, searched, monkeypatch):
    found, configurations = [], tuning.configurations
    look = lambda recipe, names, *rest: found.append(names) or configurations(recipe, names, *rest)
    monkeypatch.setattr(tuning, "configurations", look)
    train(target, "--tune", 2, "--quality", "fast", "--epochs", 2, *options)
    assert found == [searched.split()]


def test_a_table_in_pieces_has_no_search():
    rows = np.random.default_rng(0).normal(size=(60_000, 4))
    pd.DataFrame(rows, columns=["size", "age", "price", "kind"]).to_csv("table.csv", index=False)
    assert "--tune cannot be used with a table" in train("price", "--tune", 4, "--memory-limit", "1MB", code=1)


def test_ctrl_c_leaves_the_best_net_so_far_beside_the_output(folder, monkeypatch):
    train("kind", "--quality", "fast")
    before, scores, n_done = (folder / "model.safetensors").read_bytes(), tuning.scores_of, []

    def interrupt(*arguments):
        if n_done:
            signal.raise_signal(signal.SIGINT)
        n_done.append(1)
        return scores(*arguments)

    monkeypatch.setattr(tuning, "scores_of", interrupt)
    said = train("kind", "--tune", 9, code=130)
    assert "Interrupted while settings were compared; the best net so far is in" in said
    assert "the best net so far is in 'model.safetensors.interrupted', and 'model.safetensors' is as it was" in said
    assert (folder / "model.safetensors").read_bytes() == before
    model = fastmlp.load("model.safetensors.interrupted", device="cpu")
    assert set(model.predict(pd.read_csv("table.csv"))) <= {"up", "down"}
