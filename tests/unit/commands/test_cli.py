"""The `fastmlp` command line: each subcommand end to end, help, exit codes and error messages."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import with_defaults
from safetensors.numpy import save as to_bytes
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app
from fastmlp.commands.predict import check_table_path, write
from fastmlp.commands.train_options import Task
from fastmlp.persistence import KEY
from fastmlp.tables.table_files import read_table
from fastmlp.tables.target import TASKS

pd = pytest.importorskip("pandas")
QUICK = ["--n-nets", "1", "--epochs", "30", "--hidden", "16", "--learning-rate", "0.01", "--device", "cpu"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tables(tmp_path, rng, monkeypatch):
    """Two CSV files of 300 and 100 rows, in the current folder, with classes and numbers that can be learned."""
    monkeypatch.chdir(tmp_path)
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
    table[:300].to_csv("train.csv", index=False)
    table[300:].to_csv("test.csv.gz", index=False)
    os.symlink("train.csv", "link.csv")
    return table


def trained(*options):
    """Train a net on the table of the current folder, and return what was printed."""
    result = run("train", "train.csv", *with_defaults(QUICK, list(options)))
    assert result.exit_code == 0, result.output
    return result.stdout


def error_line(result):
    """The line on stderr after a mistake; asserts that it is the only one, and that the exit code is 1."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("fastmlp: ")
    return lines[0]


def test_version_and_help(fresh_python):
    result = run("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, fastmlp.__version__)
    result = run("--help")
    for command in ("xor", "devices", "train", "predict"):
        assert command in result.stdout
        assert run(command, "--help").exit_code == 0
    done = fresh_python(
        "import runpy, sys\nsys.argv = ['fastmlp', '--help']\n"
        "try:\n    runpy.run_module('fastmlp', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'numba', 'scipy', 'pandas', 'safetensors') if name in sys.modules])"
    )
    assert done.stdout.strip().endswith("[]"), "nothing heavy is imported"


def test_devices_command_lists_names_and_reasons():
    result = run("devices")
    assert result.exit_code == 0
    for device in fastmlp.devices():
        assert device.name in result.stdout
        assert device.reason in result.stdout, "the reason is in one line, since it may hold a command to copy"
    if not fastmlp.devices()[1].available:
        assert "no GPU that could be measured" in error_line(run("devices", "--measure"))


def test_measuring_prints_times_and_stores_thresholds(cuda, monkeypatch, tmp_path):
    """A row is printed for each size, then the thresholds of "auto"."""
    from fastmlp.commands import measure_gpu
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
    monkeypatch.setattr("fastmlp.commands.measure_costs.measure_costs", lambda gpu: "costs")
    result = run("devices", "--measure")
    auto_device.known_work.cache_clear()
    assert result.exit_code == 0
    *table, costs, last = result.stdout.splitlines()[-5:]
    assert costs == "kernel families are chosen by: costs"
    assert [row.split()[:2] for row in table] == [["size", "8"], ["size", "16"], ["size", "3"]]
    assert table[1].split()[3:] == ["32.0", "16.0"]
    assert "8e+00 at once, 3e+00 where nets train in one launch (measured here)" in last


def test_train_and_predict_a_classification(tables):
    tables[:300].drop(columns="price").to_csv("train.csv", index=False)
    said = trained("--target", "label", "--test", "test.csv.gz")
    for words in ("classification of 'label': 240 rows", "'key' is left out", "validation", "test", "ROC AUC"):
        assert words in said
    assert run("predict", "model.safetensors", "test.csv.gz", "--output", "predictions.csv").exit_code == 0
    predicted, truth = pd.read_csv("predictions.csv"), tables["label"][300:].to_numpy()
    assert list(predicted.columns) == ["prediction", "probability_no", "probability_yes"]
    assert (predicted["prediction"] == truth).mean() > 0.8
    np.testing.assert_allclose(predicted[["probability_no", "probability_yes"]].sum(axis=1), 1.0, atol=1e-5)
    assert ((predicted["probability_yes"] > 0.5) == (predicted["prediction"] == "yes")).all()
    wrong = run("predict", "model.safetensors", "test.csv.gz", "--output", "no/p.csv")
    assert "There is no folder" in error_line(wrong)
    pd.DataFrame({"colour": ["red"]}).to_csv("other.csv", index=False)
    wrong = run("predict", "model.safetensors", "other.csv")
    assert "lacks columns that the model was trained on: 'size'" in error_line(wrong)


def test_train_and_predict_a_regression_to_stdout(tables):
    table = tables[:300].drop(columns="label")
    table.loc[:4, "price"] = np.nan
    table.to_csv("train.csv", index=False)
    said = trained("--target", "price", "--validation", "0.25")
    for words in ("5 rows whose target 'price' is missing", "regression of 'price'", "RMSE", "MAE", "R2"):
        assert words in said
    predicted = pd.read_csv(io.StringIO(run("predict", "model.safetensors", "test.csv.gz").stdout))
    assert list(predicted.columns) == ["prediction"]
    assert np.corrcoef(predicted["prediction"], tables["price"][300:])[0, 1] > 0.8


def test_the_seed_decides_the_bytes_of_the_file(tables):
    # All but the wall time, the checksum, of which it is a part, and the blanks that fill the header up after it.
    changing = rb'seconds\\": [0-9.e-]+|blake2b:[0-9a-f]+| '
    files = []
    for seed in (1, 1, 2):
        trained("--target", "label", "--seed", str(seed), "--epochs", "3")
        files.append(re.sub(changing, b"", Path("model.safetensors").read_bytes()[8:]))
    assert b"stopped_by" in files[0]
    assert files[0] == files[1] != files[2]


def test_preprocessing_is_fitted_on_the_training_part_only(tables):
    trained("--target", "label", "--epochs", "1")
    columns = fastmlp.load("model.safetensors").net_.preprocessing.columns
    price = next(column for column in columns if column.name == "price")
    assert len(price.quantiles) == max(240 // 30, 10)


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
        (["--target", "label", "--device", "gpu"], "Unknown device 'gpu'. Did you mean 'cuda'?"),
        (["--target", "label", "--class-weight", "balancd"], "--class-weight should be balanced"),
        (["--target", "label", "--learning-rate", "0"], "learning_rate must be a number"),
        (["--target", "label", "--test", "nothing.csv"], "There is no file 'nothing.csv'"),
        (["--target", "label", "--output", "nowhere/m.safetensors"], "There is no folder 'nowhere' for the output"),
        (["--target", "label", "--output", "."], "but '.' is a folder"),
    ],
)
def test_mistakes_print_one_line_and_exit_with_1(tables, arguments, words):
    assert words in error_line(run("train", "train.csv", *arguments))
    assert not Path("model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "nothing.csv", "--target", "y"), "There is no file"),
        (("train", ".", "--target", "y"), "has no files *.parquet"),
        (("predict", "nothing.safetensors", "train.csv"), "There is no file"),
        (("predict", "train.csv", "train.csv"), "should be a net saved by fastmlp"),
        (("predict", "net.safetensors", "train.csv"), "it knows no table columns"),
        (("xor", "--nets", 5, "--optimizer", "quikprop"), "Did you mean 'quickprop'"),
        (("xor", "--nets", 5, "--activation", "tahn"), "Did you mean 'tanh'"),
        (("reproduce", "two-spirals", "--data", "nowhere"), "--data must name the folder"),
    ],
)
def test_unreadable_inputs_and_unknown_names_print_one_line(tables, arguments, words):
    fastmlp.MLP((3, 1)).save("net.safetensors")
    assert words in error_line(run(*arguments))


def test_predicting_without_pandas_prints_one_line(tables, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "Tables need pandas, which is not installed" in error_line(run("predict", "m.safetensors", "train.csv"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["train", "table.csv"], "--target"),
        (["train", "table.csv", "--target", "y", "--hidden", "a,b"], "--hidden"),
        (["train", "table.csv", "--target", "y", "--hidden", "16,0"], "--hidden"),
        (["train", "table.csv", "--target", "y", "--dropout", "1"], "--dropout"),
        (["train", "table.csv", "--target", "y", "--validation", "-0.1"], "--validation"),
        (["train", "table.csv", "--target", "y", "--epochs", "0"], "--epochs"),
        (["train", "table.csv", "--target", "y", "--task", "other"], "--task"),
        (["train", "table.csv", "--target", "y", "--unknown"], "--unknown"),
        (["xor", "--restart-after", "40"], "give --nets too"),
        (["xor", "--stuck", "--nets", "5"], "leave --nets out"),
    ],
)
def test_usage_errors_exit_with_2(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert words in result.stderr


def test_the_tasks_of_the_option_are_those_of_the_library():
    assert tuple(task.value for task in Task) == TASKS


def test_xor_with_many_nets_prints_statistics():
    done = run("xor", "--nets", 500, "--optimizer", "quickprop", "--epochs", 100, "--restart-after", 30)
    assert done.exit_code == 0, done.output
    for words in ("XOR, 2-2-1, tanh", "500 nets", "95 % interval", "histogram", "best restart", "restarts"):
        assert words in done.output


def test_reproduce_prints_a_table():
    done = run("reproduce", "xor-quickprop", "--nets", 20)
    assert done.exit_code == 0, done.output
    assert "published" in done.output


def test_report_command_writes_a_page(tables):
    pytest.importorskip("matplotlib")
    trained("--target", "label")
    result = run("report", "model.safetensors")
    assert (result.exit_code, result.stdout) == (0, "Wrote model.html\n")
    page = Path("model.html").read_text(encoding="utf-8")
    assert "Curves of the loss over the epochs" in page
    assert "Verdict" not in page, "there are no samples"
    result = run("report", "model.safetensors", "test.csv.gz", "--output", "page.html")
    assert result.exit_code == 0, result.output
    assert "How often each true class was predicted as each class" in Path("page.html").read_text(encoding="utf-8")


def test_bench_command_prints_a_line_per_case(monkeypatch):
    from fastmlp.commands import numpy_benchmark

    monkeypatch.setattr(numpy_benchmark, "LONG_ENOUGH", 1e-3)
    result = run("bench", "xor")
    assert result.exit_code == 0, result.output
    assert "\nXOR 2-2-2-1, cross-entropy, SGD: fastmlp " in result.stdout


@pytest.mark.parametrize(
    "command",
    [
        "predict net.csv train.csv --output train.csv",
        "predict net.csv train.csv --output net.csv",
        "predict net.csv train.csv --output link.csv",
        "predict net.csv link.csv --output train.csv",
        "train train.csv --target label --output ./link.csv",
        "train train.csv --target label --test net.csv --output net.csv",
        "report net.csv train.csv --output net.csv",
        "report net.csv train.csv --output train.csv",
    ],
)
def test_output_never_replaces_an_input(tables, command):
    fastmlp.MLP((3, 1)).save("net.csv")
    before = {path: path.read_bytes() for path in Path.cwd().iterdir()}
    message = error_line(run(*command.split()))
    assert "The output '" in message
    assert message.endswith("which it would replace; choose another name for the output.")
    assert {path: path.read_bytes() for path in Path.cwd().iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="pipes and permissions are POSIX")
def test_outputs_that_cannot_be_written_are_refused_at_once(tables):
    os.mkfifo("pipe.csv")
    for name in ("/dev/null", "pipe.csv"):
        message = error_line(run("predict", "net.csv", "train.csv", "--output", name))
        assert "; give the name of a file, or leave out --output for a CSV on standard output." in message
    Path("locked").mkdir()
    Path("locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    folder = "/proc/self" if Path("/proc/self").exists() else "locked"  # root may write into a locked folder
    message = error_line(run("train", "no.csv", "--target", "y", "--output", f"{folder}/net.safetensors"))
    assert "The output cannot be written to the folder" in message
    with pytest.raises(ValueError, match=r"A table should be a file ending in \.csv, .* but it is"):
        check_table_path(Path("out.xyz"))


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.tsv", "out.tsv.gz", "out.parquet"])
def test_a_table_is_written_completely_or_not_at_all(tmp_path, monkeypatch, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    table = pd.DataFrame({"prediction": ["a, b", "ü"], "probability_c": [0.25, 0.5]})
    path = tmp_path / name
    check_table_path(path)
    write(iter([table[:1], table[1:]]), path)
    pd.testing.assert_frame_equal(read_table(path), table, check_dtype=False)
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written \(No space left on device\); the existing file"):
        write(iter([table[:1]]), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("command", ["predict", "diagnose"])
def test_damaged_history_warns_and_the_command_continues(tables, command):
    """Records of unequal length, which interrupted fits of an earlier version saved."""
    trained("--target", "label", "--epochs", "1")
    net = fastmlp.load("model.safetensors").net_
    history = {"seconds": 1.0, "best_epoch": 3, "stopped_by": "interrupt", "settings": {}}
    parts = {"settings": net.get_settings(), "preprocessing": net.preprocessing.to_dict(), "history": history}
    arrays = {"params": net.params, "history.loss": np.ones(10), "history.validation_loss": np.ones(9)}
    Path("old.safetensors").write_bytes(to_bytes(arrays, {KEY: json.dumps({"format": 1, **parts})}))
    result = run(command, "old.safetensors", "train.csv")
    assert result.exit_code == 0, result.output
    assert "The history of the last fit is left out, since its history has 10 epochs of loss" in result.stderr
