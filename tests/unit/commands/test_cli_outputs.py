"""Output files of the `fastmlp` command: written atomically, never over an input or a device."""

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save as to_bytes
from typer.testing import CliRunner

import fastmlp
from fastmlp.commands.cli import app
from fastmlp.commands.predict_and_report import write_table
from fastmlp.persistence import KEY
from fastmlp.tables.preprocessing import Preprocessing
from fastmlp.tables.table_files import read_table

pd = pytest.importorskip("pandas")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A table and a net for it in the current folder, with links to both."""
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 3, "y": np.arange(20.0) / 7})
    table.to_csv("table.csv", index=False)
    table.to_csv("test.csv", index=False)
    net = fastmlp.MLP((2, 3, 1), random_state=0, device="cpu")
    net.preprocessing = Preprocessing.fit(table, "y")
    net.save("net.csv")  # .csv, so that the name is valid for a table and for a net
    os.symlink("table.csv", "link.csv")
    os.link("net.csv", "hard.csv")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.thinned(2)
@pytest.mark.parametrize(
    "command",
    [
        "predict net.csv table.csv --output table.csv",
        "predict net.csv table.csv --output net.csv",
        "predict net.csv table.csv --output link.csv",
        "predict net.csv link.csv --output table.csv",
        "predict net.csv table.csv --output hard.csv",
        "train table.csv --target y --output table.csv",
        "train table.csv --target y --output ./link.csv",
        "train table.csv --target y --test test.csv --output test.csv",
        "report net.csv table.csv --output net.csv",
        "report net.csv table.csv --output table.csv",
        "report net.csv --output hard.csv",
    ],
)
def test_output_never_replaces_an_input(files, command):
    before = {path: path.read_bytes() for path in files.iterdir()}
    result = run(*command.split())
    assert result.exit_code == 1, result.output
    message = " ".join(result.stderr.split())
    assert message.startswith("fastmlp: The output '")
    assert message.endswith("which it would replace; choose another name for the output.")
    assert {path: path.read_bytes() for path in files.iterdir()} == before


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/null", "pipe.csv"])
def test_predictions_to_a_device_or_pipe_are_refused(files, name):
    if not name.startswith("/"):
        os.mkfifo(name)
    elif not os.path.exists(name):
        pytest.skip(f"no {name}")
    result = run("predict", "net.csv", "table.csv", "--output", name)
    message = " ".join(result.stderr.split())
    assert result.exit_code == 1
    if name == "/dev/stdout":  # may be a file here
        return
    assert "; give the name of a file, or leave out --output for a CSV on standard output." in message


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.tsv", "out.tsv.gz", "out.parquet"])
def test_interrupted_table_write_leaves_the_old_file(files, monkeypatch, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    table = pd.DataFrame({"prediction": ["a, b", "ü"], "probability_c": [0.25, 0.5]})
    os.mkdir("out")
    path = files / "out" / name
    write_table(table, path)
    pd.testing.assert_frame_equal(read_table(path), table, check_dtype=False)
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written \(No space left on device\); the existing file"):
            write_table(table[:1], path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [name]


@pytest.mark.slow
def test_failed_report_write_leaves_the_old_page(files, monkeypatch):
    pytest.importorskip("matplotlib")
    history = fastmlp.MLP((2, 3, 1), random_state=0, device="cpu").fit([[0, 1], [1, 0]], [0, 1], epochs=3)
    history.report("page.html")
    before = (files / "page.html").read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="could not be written"):
        history.report("page.html")
    assert (files / "page.html").read_bytes() == before
    assert not list(files.glob(".*"))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("command", ["predict", "diagnose"])
def test_damaged_history_warns_and_the_command_continues(files, command):
    """Records of unequal length, which interrupted fits of an earlier version saved."""
    net = fastmlp.load("net.csv").net_
    history = {"seconds": 1.0, "best_epoch": 3, "stopped_by": "interrupt", "settings": {}}
    parts = {"settings": net.get_settings(), "preprocessing": net.preprocessing.to_dict(), "history": history}
    description = {"format": 1, **parts}
    arrays = {"params": net.params, "history.loss": np.ones(10), "history.validation_loss": np.ones(9)}
    (files / "old.safetensors").write_bytes(to_bytes(arrays, {KEY: json.dumps(description)}))
    result = run(command, "old.safetensors", "table.csv")
    assert result.exit_code == 0, result.output
    message = " ".join(result.stderr.split())
    assert (
        "fastmlp: 'old.safetensors': The history of the last fit is left out, since its history has 10 epochs of loss"
        in message
    )
