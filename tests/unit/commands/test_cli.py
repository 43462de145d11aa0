"""The `fastmlp` command line: help, exit statuses, and a sentence for each mistake."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from command_runs import run_command, with_defaults
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands import cli, numpy_benchmark, reproduce
from fastmlp.commands.cli import app
from fastmlp.commands.predict import check_table_path, write
from fastmlp.commands.train_options import TASKS
from fastmlp.streams.table_sources import read_table
from fastmlp.tables import target

pd = pytest.importorskip("pandas")
QUICK = ["--n-nets", "1", "--epochs", "30", "--hidden", "16", "--learning-rate", "0.01", "--device", "cpu"]
TRAIN = "train train.csv --target label"
WIDE = {"COLUMNS": "400", "TERMINAL_WIDTH": "400"}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=WIDE)


@pytest.fixture
def tables(tmp_path, rng, monkeypatch):
    """Two CSV files of 300 and 100 rows, in the current folder, with classes and numbers that can be learned."""
    monkeypatch.chdir(tmp_path)
    n = 400
    size, colour = rng.normal(size=n), rng.choice(["red", "blue"], n)
    score = 2 * size + (colour == "red")
    cells = {"size": np.where(rng.random(n) < 0.1, np.nan, size), "colour": colour}
    cells |= {"key": [f"row {k}" for k in range(n)], "price": 1000 + 50 * score}
    table = pd.DataFrame(cells | {"label": np.where(score > 0.5, "yes", "no")})
    table[:300].to_csv("train.csv", index=False)
    table[300:].to_csv("test.csv.gz", index=False)
    os.symlink("train.csv", "link.csv")
    fastmlp.MLP((3, 1)).save("net.csv")
    return table


def trained(*options):
    """Train a net on the table of the current folder, and return what was printed."""
    return run_command("train", "train.csv", *with_defaults(QUICK, options))


def error_line(result):
    """The line on stderr after a mistake; asserts that it is the only one, and that the exit code is 1."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("fastmlp: ")
    return line


# ---- help


def test_version_and_help(fresh_python):
    result = run("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, fastmlp.__version__)
    listed = run("--help").stdout
    for command in (
        "xor",
        "reproduce",
        "bench",
        "devices",
        "warmup",
        "train",
        "predict",
        "report",
        "diagnose",
        "export",
    ):
        assert command in listed
        assert run(command, "--help").exit_code == 0
    done = fresh_python(
        "import runpy, sys\nsys.argv = ['fastmlp', '--help']\n"
        "try:\n    runpy.run_module('fastmlp', run_name='__main__')\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('numpy', 'numba', 'scipy', 'pandas', 'safetensors') if name in sys.modules])"
    )
    assert done.stdout.strip().endswith("[]"), "nothing heavy is imported"


def test_help_lists_all_options_and_choices_and_no_python_types():
    words = run("train", "--help").stdout
    options = set(re.findall(r"--[\w-]+", words)) - {"--help"}
    assert 20 <= len(options) <= 24
    assert {"--id", "--class-weight", "--n-nets"} <= options
    assert "OUTPUT.interrupted" in words
    assert "class" not in words.split("--hidden")[1].split("--dropout")[0]
    assert "|".join(TASKS) in words


def test_names_of_options_are_those_of_the_modules_that_help_does_not_import():
    assert TASKS == target.TASKS
    assert set(cli.CLASSICS) == {"all", *reproduce.EXPERIMENTS}
    assert set(cli.BENCH_GROUPS) == {"all", *(case.group for case in numpy_benchmark.cases())}


# ---- mistakes


@pytest.mark.parametrize(
    "command, words",
    [
        ("train t.csv", "Missing option '--target'"),
        (f"{TRAIN} --hidden a,b", "expected numbers of units, such as 256,128, but got 'a,b'"),
        (f"{TRAIN} --epochs 0", "Invalid value for '--epochs'"),
        (f"{TRAIN} --epochs 1.5", "Invalid value for '--epochs'"),
        (f"{TRAIN} --seed -1", "Invalid value for '--seed'"),
        (f"{TRAIN} --learning-rate fast", "Invalid value for '--learning-rate'"),
        ("reproduce --nets many", "Invalid value for '--nets'"),
        (f"{TRAIN} --epoch 1", "No such option: --epoch"),
    ],
)
def test_wrong_options_exit_with_2_and_a_sentence(command, words):
    result = run(*command.split())
    assert result.exit_code == 2
    output = " ".join(re.sub("[╭╮╰╯─│]", " ", result.output).split())
    assert words in output
    assert len(output) < 450
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "command, words",
    [
        ("train train.csv --target lable", "Unknown target column 'lable'. Did you mean 'label'?"),
        (f"{TRAIN} --task regression", "'label' should hold numbers, but holds"),
        ("train train.csv --target key", "too many for classes"),
        (f"{TRAIN} --drop colr", "Unknown --drop column 'colr'. Did you mean 'colour'?"),
        (
            f"{TRAIN} --drop size,colour",
            "--drop takes one column at a time, but it is 'size,colour': give --drop 'size' --d",
        ),
        ("bench xorr", "Unknown group 'xorr'. Did you mean 'xor'?"),
        (f"{TRAIN} --device cuda:99", "device='cuda:99' is not available"),
        (f"{TRAIN} --learning-rate 0", "--learning-rate must be a number"),
        (f"{TRAIN} --learning-rate nan", "--learning-rate must be a number"),
        (f"{TRAIN} --hidden 16,0", "layer_sizes[2] must be a whole number of at least 1"),
        (f"{TRAIN} --dropout 1", "dropout must be a number in [0, 1)"),
        (f"{TRAIN} --validation -0.1", "validation_fraction must be a number in [0, 1)"),
        (f"{TRAIN} --task other", "Unknown task 'other'. Choose from: auto, classification, regression"),
        (f"{TRAIN} --quality bst", "Unknown quality 'bst'. Did you mean 'best'?"),
        (f"{TRAIN} --class-weight balancd", "Unknown class weight 'balancd'. Did you mean 'balanced'?"),
        (f"{TRAIN} --test nothing.csv", "There is no file 'nothing.csv'"),
        (f"{TRAIN} --output nowhere/m.safetensors", "There is no folder 'nowhere' for the output"),
        (f"{TRAIN} --time-limit 0", "time_limit must be"),
        (f"{TRAIN} --memory-limit much", "memory_limit must be a number of bytes"),
        (f"{TRAIN} --quality best --validation 0.1", "--validation is given, but with 10 folds each"),
        (f"{TRAIN} --time-limit 9 --checkpoint c", "--time-limit may shorten a training"),
        (f"{TRAIN} --tune 4 --checkpoint c", "--checkpoint does not go with it"),
        (f"{TRAIN} --tune 4 --validation 0", "--tune 4 needs held-out rows: set --validation above 0"),
        (f"{TRAIN} --resume", "--resume needs --checkpoint FILE"),
        (f"{TRAIN} --checkpoint model.safetensors", "must be two files"),
        (f"{TRAIN} --checkpoint train.csv", "is the same file as the input"),
        ("train train.csv --target price --class-weight balanced", "'price' is predicted as a number"),
        ("train no.csv --target y --drop a --drop b --id c --id d", "There is no file"),  # options to be repeated
        ("predict train.csv train.csv", "should be a net saved by fastmlp"),
        ("predict net.csv train.csv", "it knows no table columns"),
        ("predict net.csv train.csv --output no/p.csv", "There is no folder"),
    ],
)
def test_mistakes_print_one_line_and_exit_with_1(tables, command, words):
    assert words in error_line(run(*command.split()))
    assert not Path("model.safetensors").exists()


@pytest.mark.parametrize(
    "command",
    [
        "predict net.csv train.csv --output train.csv",
        "predict net.csv train.csv --output link.csv",
        "train train.csv --target label --output ./link.csv",
        "train train.csv --target label --test net.csv --output net.csv",
        "report net.csv train.csv --output train.csv",
    ],
)
def test_output_never_replaces_an_input(tables, command):
    before = {path: path.read_bytes() for path in Path.cwd().iterdir()}
    message = error_line(run(*command.split()))
    assert "The output '" in message
    assert message.endswith("which it would replace; choose another name for the output.")
    assert {path: path.read_bytes() for path in Path.cwd().iterdir()} == before


def test_predicting_without_pandas_prints_one_line(tables, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "Tables need pandas, which is not installed" in error_line(run("predict", "m.safetensors", "train.csv"))


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


# ---- commands


def test_devices_command_lists_names_and_reasons():
    result = run("devices")
    assert result.exit_code == 0
    for device in fastmlp.devices():
        assert device.name in result.stdout
        assert device.reason in result.stdout, "the reason is in one line, since it may hold a command to copy"


def test_train_and_predict_a_classification(tables):
    said = trained("--target", "label", "--drop", "price", "--test", "test.csv.gz")
    for words in ("classification of 'label': 240 rows", "'key' is left out", "validation", "test", "ROC AUC"):
        assert words in said
    run_command("predict", "model.safetensors", "test.csv.gz", "--output", "predictions.csv")
    predicted, truth = pd.read_csv("predictions.csv"), tables["label"][300:].to_numpy()
    assert list(predicted.columns) == ["prediction", "probability_no", "probability_yes"]
    assert (predicted["prediction"] == truth).mean() > 0.8
    np.testing.assert_allclose(predicted[["probability_no", "probability_yes"]].sum(axis=1), 1.0, atol=1e-5)
    assert ((predicted["probability_yes"] > 0.5) == (predicted["prediction"] == "yes")).all()
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
    header, *rows = run("predict", "model.safetensors", "test.csv.gz").stdout.splitlines()
    assert header == "prediction"
    assert np.corrcoef(list(map(float, rows)), tables["price"][300:])[0, 1] > 0.8


def test_the_seed_decides_the_bytes_of_the_file(tables):
    # All but the wall time, the checksum, of which it is a part, and the blanks that fill the header up after it.
    changing = rb'seconds\\": [0-9.e-]+|blake2b:[0-9a-f]+| '
    files = []
    for seed in (1, 1, 2):
        trained("--target", "label", "--seed", seed, "--epochs", "3")
        files.append(re.sub(changing, b"", Path("model.safetensors").read_bytes()[8:]))
    assert b"stopped_by" in files[0]
    assert files[0] == files[1] != files[2]


def test_preprocessing_is_fitted_on_the_training_part_only(tables):
    trained("--target", "label", "--epochs", "1")
    columns = fastmlp.load("model.safetensors").net_.preprocessing.columns
    price = next(column for column in columns if column.name == "price")
    assert len(price.quantiles) == max(240 // 30, 10)


def test_report_command_writes_a_page(tables):
    pytest.importorskip("matplotlib")
    trained("--target", "label")
    assert run_command("report", "model.safetensors") == "Wrote model.html"
    page = Path("model.html").read_text(encoding="utf-8")
    assert "Curves of the loss over the epochs" in page
    assert "Verdict" not in page, "there are no samples"
    run_command("report", "model.safetensors", "test.csv.gz", "--output", "page.html")
    assert "How often each true class was predicted as each class" in Path("page.html").read_text(encoding="utf-8")


def test_bench_command_prints_a_line_per_case(monkeypatch):
    monkeypatch.setattr(numpy_benchmark, "LONG_ENOUGH", 1e-3)
    assert " XOR 2-2-2-1, cross-entropy: fastmlp " in run_command("bench", "xor")


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
