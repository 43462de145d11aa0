"""The `fastmlp` command line: each subcommand end to end, help, exit codes and error messages."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import with_defaults
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app
from fastmlp.commands.train_options import Task

QUICK = ["--n-nets", "1", "--epochs", "30", "--hidden", "16", "--learning-rate", "0.01", "--device", "cpu"]


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tables(tmp_path, rng):
    """Two CSV files of 300 and 100 rows with classes and numbers that can be learned."""
    pd = pytest.importorskip("pandas")
    n = 400
    size, colour = rng.normal(size=n), rng.choice(["red", "blue"], n)
    score = 2 * size + (colour == "red")
    table = pd.DataFrame(
        {
            "size": np.where(rng.random(n) < 0.1, np.nan, size),
            "colour": colour,
            "key": [f"row {k}" for k in range(n)],
            "price": 1000 + 50 * score,
            "label": np.where(score > 0.5, "yes", "no"),
        }
    )
    train, test = tmp_path / "train.csv", tmp_path / "test.csv.gz"
    table[:300].to_csv(train, index=False)
    table[300:].to_csv(test, index=False)
    return train, test


def error_line(result):
    """The line on stderr after a mistake; asserts that it is the only one, and that the exit code is 1."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("fastmlp: ")
    assert "Traceback" not in result.stderr
    return lines[0]


def test_version_option_prints_the_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, fastmlp.__version__)


def test_python_m_fastmlp_runs_the_command(fresh_python):
    done = fresh_python(
        "import runpy, sys\nsys.argv = ['fastmlp', '--version']\nrunpy.run_module('fastmlp', run_name='__main__')"
    )
    assert done.stdout.strip() == fastmlp.__version__


def test_help_names_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for command in ("xor", "devices", "train", "predict"):
        assert command in result.stdout
        assert run(command, "--help").exit_code == 0


@pytest.mark.slow
def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom fastmlp.commands.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'numba', 'scipy', 'pandas', 'safetensors') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().endswith("[]")


def test_devices_command_lists_names_and_reasons(run):
    result = run("devices")
    assert result.exit_code == 0
    for device in fastmlp.devices():
        assert device.name in result.stdout
        assert device.reason in result.stdout, "the reason is in one line, since it may hold a command to copy"


def test_measuring_without_a_gpu_fails(run):
    if fastmlp.devices()[1].available:
        pytest.skip("this machine has CUDA")
    result = run("devices", "--measure")
    assert result.exit_code == 1
    assert "no GPU that could be measured" in result.stderr


def test_measuring_prints_times_and_stores_thresholds(run, cuda, monkeypatch, tmp_path):
    """A row is printed for each size, then the thresholds of "auto"."""
    from fastmlp.commands import measure_gpu
    from fastmlp.execution.gpu_costs import ESTIMATED_COSTS
    from fastmlp.runtime import auto_device

    monkeypatch.setattr(auto_device, "base_folder", lambda: tmp_path)
    auto_device.known_work.cache_clear()
    assert "device='auto' takes cuda from 5e+10 multiply-adds in all" in run("devices").stdout
    seconds = {"cpu": 2e-6, "cuda": 1e-6}
    job = lambda device, size: measure_gpu.Job(f"size {size}", size, 1, lambda: size * seconds[device])
    for name, value in (("WIDTHS", (8, 16)), ("NETS", (3,)), ("one_net", job), ("population", job)):
        monkeypatch.setattr(measure_gpu, name, value)
    monkeypatch.setattr(measure_gpu, "seconds_of_step", lambda job: job.fit())
    monkeypatch.setattr(measure_gpu, "seconds_to_start", lambda device: 1.0)
    monkeypatch.setattr(measure_gpu, "NAMES", "print('cuda')")
    monkeypatch.setattr("fastmlp.commands.measure_costs.measure_costs", lambda gpu: ESTIMATED_COSTS)
    result = run("devices", "--measure")
    auto_device.known_work.cache_clear()
    assert result.exit_code == 0
    *table, costs, last = result.stdout.splitlines()[-5:]
    assert costs == f"kernel families are chosen by: {ESTIMATED_COSTS}"
    assert [row.split()[:2] for row in table] == [["size", "8"], ["size", "16"], ["size", "3"]]
    assert table[1].split()[3:] == ["32.0", "16.0"]
    assert "8e+00 at once, 3e+00 where nets train in one launch (measured here)" in last


def test_choices_of_options_equal_the_librarys():
    from fastmlp.tables.target import TASKS

    assert tuple(task.value for task in Task) == TASKS


def test_train_and_predict_a_classification(run, tables, tmp_path):
    pd = pytest.importorskip("pandas")
    train, test = tables
    model, predictions = tmp_path / "model.safetensors", tmp_path / "predictions.csv"
    table = pd.read_csv(train).drop(columns="price")
    table.to_csv(train, index=False)
    result = run("train", train, "--target", "label", "--test", test, "--output", model, *QUICK)
    assert result.exit_code == 0, result.output
    for words in (
        "classification of 'label': 240 rows",
        "'key' is left out",
        "validation",
        "test",
        "accuracy",
        "ROC AUC",
    ):
        assert words in result.stdout
    assert run("predict", model, test, "--output", predictions).exit_code == 0
    predicted, truth = pd.read_csv(predictions), pd.read_csv(test)
    assert list(predicted.columns) == ["prediction", "probability_no", "probability_yes"]
    assert (predicted["prediction"] == truth["label"]).mean() > 0.8
    np.testing.assert_allclose(predicted[["probability_no", "probability_yes"]].sum(axis=1), 1.0, atol=1e-5)
    assert ((predicted["probability_yes"] > 0.5) == (predicted["prediction"] == "yes")).all()
    for ending, read in ((".csv.gz", pd.read_csv), (".parquet", pd.read_parquet)):
        other = tmp_path / f"predictions{ending}"
        assert run("predict", model, test, "--output", other).exit_code == 0
        pd.testing.assert_frame_equal(
            read(other).astype({"probability_no": float, "probability_yes": float}), predicted
        )


@pytest.mark.slow
def test_train_and_predict_a_regression_to_stdout(run, tables, tmp_path):
    pd = pytest.importorskip("pandas")
    train, test = tables
    model = tmp_path / "model.safetensors"
    table = pd.read_csv(train).drop(columns="label")
    table.loc[:4, "price"] = np.nan
    table.to_csv(train, index=False)
    result = run("train", train, "--target", "price", "--output", model, "--validation", "0.25", *QUICK)
    assert result.exit_code == 0, result.output
    for words in ("5 rows whose target 'price' is missing", "regression of 'price'", "RMSE", "MAE", "R2"):
        assert words in result.stdout
    result = run("predict", model, test)
    assert result.exit_code == 0
    predicted, truth = pd.read_csv(io.StringIO(result.stdout)), pd.read_csv(test)
    assert list(predicted.columns) == ["prediction"]
    assert np.corrcoef(predicted["prediction"], truth["price"])[0, 1] > 0.8
    assert abs(predicted["prediction"].mean() - truth["price"].mean()) < truth["price"].std()


@pytest.mark.slow
def test_same_seed_gives_the_same_file(run, tables, tmp_path):
    models = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        arguments = ("--target", "label", "--seed", seed, "--output", model, *with_defaults(QUICK, ["--epochs", 3]))
        assert run("train", tables[0], *arguments).exit_code == 0
    # All but the wall time, the checksum, of which it is a part, and the blanks that fill the header up after it.
    changing = rb'seconds\\": [0-9.e-]+|blake2b:[0-9a-f]+| '
    first, same, other = (re.sub(changing, b"", model.read_bytes()[8:]) for model in models)
    assert b"stopped_by" in first
    assert first == same
    assert first != other


@pytest.mark.slow
def test_training_without_validation_reports_training_metrics(run, tables, tmp_path):
    arguments = ("--validation", 0, "--hidden", "", "--epochs", 3, "--output", tmp_path / "m.safetensors")
    result = run("train", tables[0], "--target", "label", *arguments)
    assert result.exit_code == 0, result.output
    assert "training" in result.stdout
    assert fastmlp.load(tmp_path / "m.safetensors").net_.network.layer_sizes[-1] == 2


def test_preprocessing_is_fitted_on_the_training_part_only(run, tables, tmp_path):
    model = tmp_path / "m.safetensors"
    assert (
        run(
            "train", tables[0], "--target", "label", "--output", model, *with_defaults(QUICK, ["--epochs", 1])
        ).exit_code
        == 0
    )
    preprocessing = fastmlp.load(model).net_.preprocessing
    price = next(column for column in preprocessing.columns if column.name == "price")
    assert len(price.quantiles) == max(240 // 30, 10)
    assert price.quantiles[-1] - price.quantiles[0] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "lable"], "no target column 'lable'. Did you mean 'label'?"),
        (["--target", "label", "--task", "regression"], "'label' should hold numbers, but holds"),
        (["--target", "key"], "too many for classes"),
        (["--target", "label", "--drop", "colr"], "no --drop column 'colr'. Did you mean 'colour'?"),
        (["--target", "label", "--drop", "size,colour"], "give --drop 'size' --drop 'colour'"),
        (["--target", "label", "--keep", "size", "--drop", "key"], "--drop and --keep cannot be combined"),
        (["--target", "label", "--drop", "label"], "'label' is the target"),
        (["--target", "label", "--keep", "key", "--id", "key"], "An id column is not used as an input"),
        (["--target", "label", "--device", "gpu"], "Unknown device 'gpu'"),
        (["--target", "label", "--learning-rate", "0"], "learning_rate must be a number"),
        (["--target", "label", "--test", "nothing.csv"], "There is no file 'nothing.csv'"),
        (["--target", "label", "--output", "nowhere/m.safetensors"], "There is no folder 'nowhere' for the output"),
        (["--target", "label", "--output", "."], "but '.' is a folder"),
    ],
)
def test_mistakes_print_one_line_and_exit_with_1(run, tables, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in error_line(run("train", tables[0], *arguments))
    assert not (tmp_path / "model.safetensors").exists()


def test_unreadable_inputs_print_one_line(run, tables, tmp_path):
    nothing, folder = tmp_path / "nothing.csv", tmp_path
    assert "There is no file" in error_line(run("train", nothing, "--target", "y"))
    assert "has no files *.parquet" in error_line(run("train", folder, "--target", "y"))
    assert "There is no file" in error_line(run("predict", tmp_path / "nothing.safetensors", tables[0]))
    assert "should be a net saved by fastmlp" in error_line(run("predict", tables[0], tables[0]))


@pytest.mark.slow
def test_invalid_predictions_print_one_line(run, tables, tmp_path):
    pd = pytest.importorskip("pandas")
    model = tmp_path / "m.safetensors"
    assert (
        run(
            "train", tables[0], "--target", "label", "--output", model, *with_defaults(QUICK, ["--epochs", 1])
        ).exit_code
        == 0
    )
    other = tmp_path / "other.csv"
    pd.DataFrame({"size": [1.0], "colour": ["red"]}).to_csv(other, index=False)
    assert "lacks columns that the model was trained on: 'price'" in error_line(run("predict", model, other))
    assert "There is no folder" in error_line(run("predict", model, tables[1], "--output", tmp_path / "no" / "p.csv"))
    fastmlp.MLP((3, 1)).save(model)
    assert "it knows no table columns" in error_line(run("predict", model, other))


def test_predicting_without_pandas_prints_one_line(run, tables, tmp_path, monkeypatch):
    model = tmp_path / "model.safetensors"
    fastmlp.MLP((3, 1)).save(model)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "Tables need pandas, which is not installed" in error_line(run("predict", model, tables[1]))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--target", "y", "--hidden", "a,b"],
        ["--target", "y", "--hidden", "16,0"],
        ["--target", "y", "--dropout", "1"],
        ["--target", "y", "--validation", "-0.1"],
        ["--target", "y", "--epochs", "0"],
        ["--target", "y", "--task", "other"],
        ["--target", "y", "--unknown"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(run, arguments):
    result = run("train", "table.csv", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_population_options_need_nets_option(run):
    result = run("xor", "--restart-after", "40")
    assert result.exit_code == 2
    assert "--restart-after" in result.stderr
    assert "--nets" in result.stderr


def test_xor_with_many_nets_prints_statistics(run):
    done = run("xor", "--nets", 500, "--optimizer", "quickprop", "--epochs", 100)
    assert done.exit_code == 0, done.output
    for words in ("XOR, 2-2-1, tanh", "500 nets", "95 % interval", "histogram", "best restart"):
        assert words in done.output
    again = run("xor", "--nets", 500, "--optimizer", "quickprop", "--epochs", 100, "--restart-after", 30)
    assert "restarts" in again.output


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("xor", "--nets", 5, "--optimizer", "quikprop"), "Did you mean 'quickprop'"),
        (("xor", "--nets", 5, "--activation", "tahn"), "Did you mean 'tanh'"),
        (("reproduce", "two-spirals", "--data", "nowhere"), "--data must name the folder"),
    ],
)
def test_invalid_population_options_print_one_line(run, arguments, words):
    assert words in error_line(run(*arguments))


def test_reproduce_prints_a_table(run):
    done = run("reproduce", "xor-million", "--nets", 2000)
    assert done.exit_code == 0, done.output
    assert "float64" in done.output


@pytest.fixture
def verdict(monkeypatch):
    """Replace the diagnosis, which has separate tests."""
    from types import SimpleNamespace

    diagnosis = SimpleNamespace(title="Converged", confidence=1.0, evidence={}, remedy="", experiment="")
    monkeypatch.setattr(fastmlp, "diagnose", lambda *given, **others: diagnosis, raising=False)


@pytest.mark.slow
def test_report_command_writes_a_page_for_a_trained_table(run, tables, tmp_path, verdict):
    pytest.importorskip("matplotlib")
    train, test = tables
    model = tmp_path / "model.safetensors"
    assert run("train", train, "--target", "label", "--output", model, *QUICK).exit_code == 0
    result = run("report", model)
    assert (result.exit_code, result.stdout) == (0, f"Wrote {tmp_path / 'model.html'}\n")
    page = (tmp_path / "model.html").read_text(encoding="utf-8")
    assert "Loss over 30 epochs" not in page, "text of pictures is drawn as shapes"
    assert "Curves of the loss over the epochs" in page
    assert "Verdict" not in page, "there are no samples"
    result = run("report", model, test, "--output", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Converged" in page
    assert "How often each true class was predicted as each class" in page
    assert "leave it out" in error_line(run("report", model, test, "--target", "price"))


@pytest.mark.full
def test_report_command_accepts_nets_without_preprocessing(run, tmp_path, verdict, rng):
    pytest.importorskip("matplotlib")
    pd = pytest.importorskip("pandas")
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    net = fastmlp.MLP((2, 1), loss="binary_cross_entropy", random_state=0)
    net.fit(X, y, epochs=3)
    net.save(tmp_path / "net.safetensors")
    pd.DataFrame({"height": X[:, 0], "y": y, "weight": X[:, 1]}).to_csv(tmp_path / "data.csv", index=False)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    np.savez(tmp_path / "other.npz", X=X)
    for arguments in (["data.csv", "--target", "y"], ["data.npz"]):
        file, *others = arguments
        result = run("report", tmp_path / "net.safetensors", tmp_path / file, *others)
        assert result.exit_code == 0, result.output
        assert "over the plane of its two inputs" in (tmp_path / "net.html").read_text(encoding="utf-8")
    net_file = tmp_path / "net.safetensors"
    assert "name the column to predict with --target" in error_line(run("report", net_file, tmp_path / "data.csv"))
    assert "must hold arrays X and y, but it holds X" in error_line(run("report", net_file, tmp_path / "other.npz"))
    assert "There is no file" in error_line(run("report", net_file, tmp_path / "none.npz"))
    fastmlp.MLP((2, 1)).save(net_file)
    assert "There is nothing to report" in error_line(run("report", net_file))
    pop = fastmlp.Population((2, 1), 3)
    pop.save(net_file)
    assert "holds 3 nets without the record of a fit" in error_line(run("report", net_file))
    pop.fit(X, y, epochs=1)
    pop.save(net_file)
    assert "holds 3 nets, and a report on the best of them needs a table" in error_line(run("report", net_file))


def test_bench_command_prints_a_line_per_case(run, monkeypatch):
    from fastmlp.commands import numpy_benchmark

    monkeypatch.setattr(numpy_benchmark, "LONG_ENOUGH", 1e-3)
    result = run("bench", "xor")
    assert result.exit_code == 0, result.output
    assert "\nXOR 2-2-2-1, cross-entropy, SGD: fastmlp " in result.stdout
    assert result.stdout.endswith(" times as long\n")
