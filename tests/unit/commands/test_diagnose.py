"""`fastmlp diagnose` and `fastmlp report`: accepted nets and tables, the same verdict, judged on held-out rows."""

import html
import json
import re

import numpy as np
import pytest
import stuck_nets
import toy_data as data
from typer.testing import CliRunner

import fastmlp
from fastmlp import MLP, Population
from fastmlp.commands.cli import app

pd = pytest.importorskip("pandas")
LOSS = {"loss": "binary_cross_entropy", "random_state": 0}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def moons(tmp_path):
    X, y = data.moons(0)
    table = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "label": np.where(y, "upper", "lower"), "number": y})
    table.drop(columns="number").to_csv(tmp_path / "words.csv", index=False)
    table.drop(columns="label").to_csv(tmp_path / "numbers.csv", index=False)


def report_title(path):
    page = path.read_text(encoding="utf-8")
    return page.split('<p class="title">')[1].split("</p>")[0], page


@pytest.mark.parametrize("options", [("--n-nets", "1"), ("--n-nets", "4", "--validation", "0.2")])
def test_diagnose_and_report_judge_on_the_rows_that_nets_have_held_out(run, tmp_path, options):
    """They agree for the training table and for a table of other rows, of nets that over-fit."""
    pytest.importorskip("matplotlib")
    for seed, n, name in ((0, 800, "table.csv"), (1, 150, "other.csv")):
        X, y = stuck_nets.table(seed, n)
        pd.DataFrame(X, columns=list("abcdefghij")).assign(target=y).to_csv(name, index=False)
    broad = ["--hidden", "128,128", "--epochs", "40", "--dropout", "0.2", "--learning-rate", "0.003"]
    trained = run("train", "table.csv", "--target", "target", *options, *broad)
    assert trained.exit_code == 0, trained.output
    found = json.loads(run("diagnose", "model.safetensors", "table.csv", "--json").stdout)
    assert run("report", "model.safetensors", "table.csv").exit_code == 0
    title, page = report_title(tmp_path / "model.html")
    assert "What was learned (validation samples)" in page
    if options[1] == "4":
        assert "over_fitting" in found["counts"]
        return
    assert title == "Over-fitting"
    assert (found["verdict"], found["judged_on"]) == ("over_fitting", "640 samples; 160 validation samples")
    assert {"epochs", "change of the loss"} & set(found["evidence"]), "the history in the file was used"
    assert "is kept already" in page
    assert re.search("targets checksum.{1,40}[0-9a-f]{8}<", page)
    other = json.loads(run("diagnose", "model.safetensors", "other.csv", "--json").stdout)
    assert other["judged_on"].startswith("150 samples that were given; the net was trained on 640")
    assert run("report", "model.safetensors", "other.csv").exit_code == 0
    title, page = report_title(tmp_path / "model.html")
    assert title == other["title"]
    assert html.escape(other["judged_on"]) in page
    assert "What was learned (150 samples given)" in page


def test_nets_without_preprocessing_are_diagnosed_on_tables(run, moons):
    MLP((2, 8, 1), hidden_activation="tanh", init="zeros", **LOSS).save("net.safetensors")
    found = run("diagnose", "net.safetensors", "numbers.csv", "--target", "number")
    assert "The weights are equal, or all of one sign (unsuitable_weights)" in found.stdout, found.output
    Population((2, 4, 1), 20, **LOSS).save("nets.safetensors")
    found = run("diagnose", "nets.safetensors", "numbers.csv", "--target", "number")
    assert found.stdout.startswith("20 nets\n")


@pytest.mark.parametrize(
    "command, n_inputs, arguments, words",
    [
        ("diagnose", 2, ("numbers.csv",), "name the column to predict with --target"),
        ("diagnose", 2, ("words.csv", "--target", "x"), "the column 'label' holds text"),
        ("diagnose", 3, ("numbers.csv", "--target", "number"), "has 3 inputs, but the table has 2 columns besides"),
        ("diagnose", 1, ("numbers.csv", "--target", "number"), "has 1 input, but the table has 2 columns"),
        ("report", 2, ("numbers.csv",), "name the column to predict with --target"),
        ("report", 2, ("none.csv", "--target", "number"), "There is no file"),
        ("report", 2, (), "There is nothing to report"),
    ],
)
def test_samples_that_do_not_fit_the_net_are_refused(run, moons, command, n_inputs, arguments, words):
    MLP((n_inputs, 8, 1), **LOSS).save("net.safetensors")
    found = run(command, "net.safetensors", *arguments)
    assert (found.exit_code, found.stdout) == (1, "")
    assert words in " ".join(found.stderr.split())


def test_another_target_than_that_of_the_training_is_refused(run, moons):
    quick = "--n-nets", "1", "--epochs", "1"
    assert run("train", "words.csv", "--target", "label", *quick).exit_code == 0
    for command in ("diagnose", "report"):
        assert run(command, "model.safetensors", "words.csv", "--target", "label").exit_code == 0
        found = run(command, "model.safetensors", "words.csv", "--target", "x")
        assert found.exit_code == 1
        assert "was trained to predict 'label', not 'x': leave --target out" in " ".join(found.stderr.split())


def test_a_report_of_several_nets_needs_the_record_of_a_fit_and_a_table(run):
    nets = Population((2, 1), 3, **LOSS)
    nets.save("nets.safetensors")
    assert "holds 3 nets without the record of a fit" in run("report", "nets.safetensors").stderr
    nets.fit(np.eye(2), np.array([0, 1]), epochs=1)
    nets.save("nets.safetensors")
    assert "holds 3 nets, and a report on the best of them needs a table" in run("report", "nets.safetensors").stderr


@pytest.mark.parametrize("n_nets", [1, 2])
def test_nets_with_class_weights_are_not_called_ill_for_them(run, rng, n_nets):
    """Samples of a class of one in eight, which three columns make more likely; no learning rate is advised."""
    X = rng.normal(size=(1500, 6))
    odds = np.exp(1.3 * (X[:, 0] + 0.8 * X[:, 1] - 0.5 * X[:, 2] * X[:, 0]) - 2.8)
    table = pd.DataFrame(X, columns=list("abcdef"))
    table["kind"] = np.where(rng.random(1500) < odds / (1.0 + odds), "yes", "no")
    table.to_csv("rare.csv", index=False)
    options = "--target", "kind", "--class-weight", "balanced", "--n-nets", n_nets, "--device", "cpu"
    assert "weighted log loss" in run("train", "rare.csv", *options).stdout
    found = json.loads(run("diagnose", "model.safetensors", "rare.csv", "--json").stdout)
    model = fastmlp.load("model.safetensors")
    same = fastmlp.diagnose(model, table.drop(columns="kind"), table["kind"])
    verdicts = {found["verdict"], same.verdict} if n_nets == 1 else {*found["counts"], *same.counts()}
    assert not any("rate" in verdict for verdict in verdicts)
    if n_nets == 1:
        assert "without the weights that samples had in the training" in found["judged_on"]
