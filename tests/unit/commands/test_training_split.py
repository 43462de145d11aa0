"""`training_split`: recovers the rows that nets of `fastmlp train` have held out, but only if they are certain."""

import numpy as np
import pytest
import toy_data as data
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app
from fastmlp.commands.training_split import read_samples, training_split
from fastmlp.population import subset_of

pd = pytest.importorskip("pandas")

ONE = "--n-nets", "1", "--validation", "0.3"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A function that trains on a table of a task and returns the net and its samples."""
    monkeypatch.chdir(tmp_path)

    def train(task, *further):
        X, y = data.blobs(0) if task == "classification" else data.friedman(0)
        table = pd.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
        table["y"] = [f"class {k}" for k in y] if task == "classification" else y
        table.to_csv("table.csv", index=False)
        options = ["--target", "y", "--hidden", "8", "--epochs", "5", "--seed", "3"]
        done = CliRunner().invoke(app, ["train", "table.csv", *options, *further])
        assert done.exit_code == 0, done.output
        net = fastmlp.load("model.safetensors").net_
        X, y, _ = read_samples(net, tmp_path / "table.csv", None)
        return net, X, y

    return train


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_training_split_recovers_training_and_validation_rows(trained, task):
    net, X, y = trained(task, *ONE)
    parts = training_split(net, X, y).common
    assert list(parts) == ["training", "validation"]
    assert len(parts["training"][0]) == net.history.settings["n_samples"]
    last = -1 if net.history.best_epoch is None else net.history.best_epoch
    loss = net.evaluate(*parts["validation"])["loss"]
    assert loss == pytest.approx(net.history.validation_loss[last], rel=1e-4)
    assert sum(len(part[0]) for part in parts.values()) == len(X)


def test_training_split_of_other_rows_is_unknown(trained):
    net, X, y = trained("regression", *ONE)
    for other in ((X[:-1], y[:-1]), (X[::-1], y[::-1]), (X, y + 0.1)):
        assert list(training_split(net, *other).of_all) == [""]


def test_training_split_of_nets_from_fit_is_unknown():
    net = fastmlp.MLP((2, 1), random_state=0)
    assert list(training_split(net, np.ones((3, 2)), np.ones(3)).of_all) == [""]
    net.fit(np.ones((3, 2)), np.ones(3), epochs=1, verbose=0)
    assert list(training_split(net, np.ones((3, 2)), np.ones(3)).of_all) == [""]


@pytest.mark.parametrize("options, n_each", [((), 1), (("--quality", "best"), 2)])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_training_split_of_nets_that_hold_out_other_rows_each(trained, task, options, n_each):
    """Each net is looked at on its own fold."""
    nets, X, y = trained(task, *options)
    samples = training_split(nets, X, y)
    assert list(samples.common) == [""]
    assert list(samples.of_all) == ["training", "validation"]
    rows = set()
    for k in range(nets.n_nets):
        parts = samples.of_net(k)
        recorded, n_folds = nets.result.best_value[k], nets.n_nets // n_each
        assert nets.net(k).evaluate(*parts["validation"])["loss"] == pytest.approx(recorded, rel=0.05)
        assert len(parts["training"][0]) in (len(X) - -(-len(X) // n_folds), len(X) - len(X) // n_folds)
        rows |= {row.tobytes() for row in parts["validation"][0]}
    assert len(rows) >= len(X) - nets.n_nets, "the folds are parts of the rows, but for one row each, of uneven ones"
    some = subset_of(nets, np.arange(nets.n_nets - 1))
    assert list(training_split(some, X, y).of_all) == [""]
