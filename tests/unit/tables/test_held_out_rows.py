"""`training_split`: recovers the validation rows of `fastmlp train`, but only if they are certain."""

import numpy as np
import pytest
import toy_data as data
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app
from fastmlp.commands.train_predict import read_samples, split_rows
from fastmlp.tables.held_out_rows import training_split

pd = pytest.importorskip("pandas")


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A function that trains on a table of a task and returns the net and its samples."""
    monkeypatch.chdir(tmp_path)

    def train(task, n_nets=1):
        X, y = data.blobs(0) if task == "classification" else data.friedman(0)
        table = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
        table["y"] = [f"class {k}" for k in y] if task == "classification" else y
        table.to_csv("table.csv", index=False)
        options = ["--target", "y", "--hidden", "8", "--epochs", "5", "--seed", "3", "--validation", "0.3"]
        options += ["--n-nets", str(n_nets)]
        done = CliRunner().invoke(app, ["train", "table.csv", *options])
        assert done.exit_code == 0, done.output
        net = fastmlp.load("model.safetensors").net_
        X, y, _ = read_samples(net, tmp_path / "table.csv", None)
        return net, X, y

    return train


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_training_split_recovers_training_and_validation_rows(trained, task):
    net, X, y = trained(task)
    parts = training_split(net, X, y, split_rows)
    assert list(parts) == ["training", "validation"]
    assert len(parts["training"][0]) == net.history.settings["n_samples"]
    last = -1 if net.history.best_epoch is None else net.history.best_epoch
    loss = net.evaluate(*parts["validation"])["loss"]
    assert loss == pytest.approx(net.history.validation_loss[last], rel=1e-4)
    assert sum(len(part[0]) for part in parts.values()) == len(X)


def test_training_split_of_several_nets(trained):
    nets, X, y = trained("classification", 3)
    parts = training_split(nets, X, y, split_rows)
    assert list(parts) == ["training", "validation"]
    assert nets.evaluate(*parts["validation"])["loss"] == pytest.approx(nets.result.best_value, rel=1e-4)
    nets.params = np.zeros_like(nets.params)
    assert list(training_split(nets, X, y, split_rows)) == [""]


def test_training_split_of_other_rows_is_unknown(trained):
    net, X, y = trained("regression")
    for other in ((X[:-1], y[:-1]), (X[::-1], y[::-1]), (X + 0.1, y)):
        assert list(training_split(net, *other, split_rows)) == [""]
    net.params = np.zeros_like(net.params)
    assert list(training_split(net, X, y, split_rows)) == [""], "parameters that the history does not belong to"


def test_training_split_of_nets_from_fit_is_unknown():
    net = fastmlp.MLP((2, 1), random_state=0)
    assert list(training_split(net, np.ones((3, 2)), np.ones(3), split_rows)) == [""]
    net.fit(np.ones((3, 2)), np.ones(3), epochs=1, verbose=0)
    assert list(training_split(net, np.ones((3, 2)), np.ones(3), split_rows)) == [""]
