"""`fastmlp diagnose` and `fastmlp xor --stuck`: accepted nets and tables, verdicts, reports."""

import html
import json

import numpy as np
import pytest
import stuck_nets
import toy_data as data
from typer.testing import CliRunner

import fastmlp
from fastmlp import MLP, Population
from fastmlp.commands.cli import app

pd = pytest.importorskip("pandas")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def moons(tmp_path):
    X, y = data.moons(0)
    table = pd.DataFrame({"x": X[:, 0], "y": X[:, 1], "label": np.where(y, "upper", "lower"), "number": y})
    table.drop(columns="number").to_csv(tmp_path / "words.csv", index=False)
    table.drop(columns="label").to_csv(tmp_path / "numbers.csv", index=False)
    return X, y


@pytest.mark.slow
def test_diagnose_command_accepts_nets_of_train(run, moons):
    trained = run("train", "words.csv", "--target", "label", "--n-nets", "1", "--epochs", "150")
    assert trained.exit_code == 0, trained.output
    found = run("diagnose", "model.safetensors", "words.csv")
    assert found.exit_code == 0, found.output
    assert "What to change:" in found.stdout
    named = run("diagnose", "model.safetensors", "words.csv", "--target", "label", "--json")
    assert json.loads(named.stdout)["is_healthy"]
    wrong = run("diagnose", "model.safetensors", "words.csv", "--target", "x")
    assert wrong.exit_code == 1
    assert "was trained to predict 'label', not 'x': leave --target out" in wrong.stderr


def noisy_table(seed, n=800):
    """A table that a wide net over-fits: its noise is as large as its signal."""
    X, y = stuck_nets.table(seed, n)
    return pd.DataFrame(X, columns=list("abcdefghij")).assign(target=y)


BROAD = ["--hidden", "128,128", "--epochs", "40", "--dropout", "0.2", "--learning-rate", "0.003"]
FEW_STEPS = ["--hidden", "64", "--epochs", "3", "--learning-rate", "0.001"]


def verdict_of_page(path):
    page = path.read_text(encoding="utf-8")
    return page.split('<p class="title">')[1].split("</p>")[0], page


@pytest.mark.thinned(3)
@pytest.mark.parametrize(
    "options, verdict",
    [
        (BROAD, "over_fitting"),
        (["--hidden", "", "--epochs", "60", "--learning-rate", "0.03"], None),
        (FEW_STEPS, "still_learning"),
    ],
)
@pytest.mark.slow
def test_diagnose_and_report_give_the_same_verdict(run, tmp_path, options, verdict):
    """Verdicts agree for the training table and for a table of other rows."""
    noisy_table(0).to_csv(tmp_path / "table.csv", index=False)
    noisy_table(1, 150).to_csv(tmp_path / "other.csv", index=False)
    trained = run("train", "table.csv", "--target", "target", "--n-nets", "1", *options)
    assert trained.exit_code == 0, trained.output
    for name in ("table.csv", "other.csv"):
        found = json.loads(run("diagnose", "model.safetensors", name, "--json").stdout)
        assert run("report", "model.safetensors", name).exit_code == 0
        title, page = verdict_of_page(tmp_path / "model.html")
        assert title == found["title"]
        assert html.escape(found["judged_on"]) in page
        assert {"epochs", "change of the loss"} & set(found["evidence"]), "the history in the file was used"
        if name == "table.csv":
            assert found["judged_on"] == "640 samples; 160 validation samples"
            assert "What was learned (validation samples)" in page
            assert verdict in (None, found["verdict"])
        else:
            assert found["judged_on"].startswith("150 samples that were given; the net was trained on 640")
            assert "What was learned (150 samples given)" in page
            assert "The net was trained on 640 samples." in page


@pytest.mark.full
@pytest.mark.thinned(2)
@pytest.mark.parametrize("split", [(), ("--validation", "0.2")])
def test_held_out_rows_count_for_several_nets_too(run, tmp_path, split):
    """Over-fitted nets: diagnosed on the rows they learned from, and on the others, which are those of each net."""
    noisy_table(0).to_csv(tmp_path / "table.csv", index=False)
    assert run("train", "table.csv", "--target", "target", "--n-nets", "4", *split, *BROAD).exit_code == 0
    found = json.loads(run("diagnose", "model.safetensors", "table.csv", "--json").stdout)
    assert set(found["counts"]) == {"over_fitting"}
    assert run("report", "model.safetensors", "table.csv").exit_code == 0
    title, page = verdict_of_page(tmp_path / "model.html")
    assert title == "Over-fitting"
    assert "What was learned (validation samples)" in page


@pytest.mark.full
def test_report_of_an_over_fitted_net_shows_its_best_epoch(run, tmp_path):
    noisy_table(0).to_csv(tmp_path / "table.csv", index=False)
    run("train", "table.csv", "--target", "target", "--n-nets", "1", *BROAD)
    assert run("report", "model.safetensors", "table.csv").exit_code == 0
    title, page = verdict_of_page(tmp_path / "model.html")
    assert title == "Over-fitting"
    assert "is kept already" in page
    assert "best epoch" in page
    assert "validation loss" in page


@pytest.mark.slow
def test_diagnose_command_accepts_nets_without_preprocessing(run, moons):
    MLP((2, 8, 1), hidden_activation="tanh", loss="binary_cross_entropy", init="zeros").save("net.safetensors")
    found = run("diagnose", "net.safetensors", "numbers.csv", "--target", "number")
    assert found.exit_code == 0
    assert "The weights are equal, or all of one sign (unsuitable_weights)" in found.stdout
    assert (
        "the column of its targets must be named: add --target"
        in run("diagnose", "net.safetensors", "numbers.csv").stderr
    )
    text = run("diagnose", "net.safetensors", "words.csv", "--target", "x")
    assert "the column 'label' of the table holds text" in text.stderr


def test_diagnose_with_a_table_of_another_width_fails(run, moons):
    MLP((3, 8, 1)).save("net.safetensors")
    found = run("diagnose", "net.safetensors", "numbers.csv", "--target", "number")
    assert (found.exit_code, found.stdout) == (1, "")
    assert "has 3 inputs, but the table has 2 columns besides 'number'" in found.stderr
    MLP((1, 8, 1)).save("net.safetensors")
    found = run("diagnose", "net.safetensors", "numbers.csv", "--target", "number")
    assert "has 1 input, but the table has 2 columns" in found.stderr


def test_diagnose_command_accepts_populations(run, moons):
    pop = Population((2, 4, 1), 20, loss="binary_cross_entropy", random_state=0)
    pop.save("pop.safetensors")
    found = run("diagnose", "pop.safetensors", "numbers.csv", "--target", "number")
    assert found.stdout.startswith("20 nets\n")


@pytest.mark.full
def test_xor_stuck_prints_the_verdict(run):
    found = run("xor", "--stuck")
    assert found.exit_code == 0, found.output
    assert "The outputs cannot reach the targets" in found.stdout


@pytest.fixture
def rare_table(tmp_path, rng):
    """A table of 1,500 rows with a class of one in eight, which three of its columns make more likely."""
    X = rng.normal(size=(1500, 6))
    odds = np.exp(1.3 * (X[:, 0] + 0.8 * X[:, 1] - 0.5 * X[:, 2] * X[:, 0]) - 2.8)
    table = pd.DataFrame(X, columns=list("abcdef"))
    table["kind"] = np.where(rng.random(1500) < odds / (1.0 + odds), "yes", "no")
    table.to_csv(tmp_path / "rare.csv", index=False)
    return table


@pytest.mark.parametrize("n_nets", [1, 6])
def test_nets_with_class_weights_are_judged_by_the_weighted_loss(run, tmp_path, rare_table, n_nets):
    """Measured without weights, a step would lower the loss much, and the learning rate would seem too low."""
    options = "--target", "kind", "--class-weight", "balanced", "--n-nets", n_nets, "--device", "cpu"
    said = run("train", "rare.csv", *options).stdout
    assert "no better than" not in said
    assert "the class weights are the cause" in said
    found = json.loads(run("diagnose", "model.safetensors", "rare.csv", "--json").stdout)
    if n_nets == 1:
        assert found["is_healthy"], found
        assert "rows of 1,500, of each class as many as its weight asks for" in found["judged_on"]
        assert run("report", "model.safetensors", "rare.csv").exit_code == 0
        title, page = verdict_of_page(tmp_path / "model.html")
        assert title == found["title"]
        assert "weighted validation accuracy" in page
    else:
        assert set(found["counts"]) == {"converged"}


@pytest.mark.parametrize("n_nets", [1, 4])
def test_no_learning_rate_is_advised_where_the_weights_of_the_training_are_unknown(rare_table, n_nets):
    X, y = rare_table.drop(columns="kind"), rare_table["kind"]
    model = fastmlp.TabularMLPClassifier(class_weight="balanced", n_nets=n_nets, device="cpu", random_state=0)
    found = fastmlp.diagnose(model.fit(X, y), X, y)
    verdicts = {found.verdict} if n_nets == 1 else set(found.counts())
    assert not any("rate" in verdict for verdict in verdicts)
    assert n_nets > 1 or "without the weights that samples had in the training" in found.judged_on
