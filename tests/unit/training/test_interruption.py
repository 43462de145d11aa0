"""fastmlp.training.interruption: a fit that Ctrl-C ended ends what comes after it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from fastmlp import MLP, Population
from fastmlp.commands import measure_gpu, train_predict, xor_demo
from fastmlp.commands.cli import app
from fastmlp.history import History
from fastmlp.training.interruption import interrupt_message, require_complete


def interrupted_history():
    history = History()
    history.stopped_by = "interrupt"
    return history


def test_whole_fits_pass():
    history, result = History(), SimpleNamespace(interrupted=False, stopped_by=np.array(["epochs", "interrupt"]))
    assert require_complete(history) is history
    assert require_complete(result) is result
    for record in (interrupted_history(), SimpleNamespace(interrupted=True)):
        with pytest.raises(KeyboardInterrupt):
            require_complete(record)


def test_a_sentence_is_added_once():
    with pytest.raises(KeyboardInterrupt, match=r"^inner$"), interrupt_message("outer"), interrupt_message("inner"):
        raise KeyboardInterrupt
    with pytest.raises(ValueError), interrupt_message("nothing to say"):
        raise ValueError


def says_130(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 130, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fastmlp: Interrupted")
    return result


def test_the_four_nets_of_xor(monkeypatch):
    monkeypatch.setattr(xor_demo.MLP, "fit", lambda *_, **__: interrupted_history())
    says_130("xor")


@pytest.mark.parametrize("n_finished", [0, 3])
def test_many_nets_are_summed_up_as_far_as_they_came(monkeypatch, n_finished):
    result = SimpleNamespace(interrupted=True, n_finished=n_finished, summary=lambda: "three nets")
    monkeypatch.setattr(xor_demo.Population, "fit", lambda *_, **__: result)
    assert ("three nets" in says_130("xor", "--nets", 5).stdout) == bool(n_finished)


def test_measuring_devices(monkeypatch):
    for kind in (MLP, Population):
        monkeypatch.setattr(kind, "fit", lambda *_, **__: interrupted_history())
    for job in (measure_gpu.one_net("cpu", 8), measure_gpu.population("cpu", 3)):
        with pytest.raises(KeyboardInterrupt):
            job.fit(epochs=1)


@pytest.mark.parametrize("command", ["bench", "reproduce", "predict", "report", "diagnose"])
def test_other_commands(monkeypatch, tmp_path, command):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    output = tmp_path / "out.csv"
    output.write_text("before")
    arguments = {"predict": ["m", "t.csv", "--output", output], "report": ["m"], "diagnose": ["m", "t.csv"]}
    for where in (
        "commands.train_predict.load_net",
        "commands.diagnose.load_net",
        "benchmarks.quick_suite.run",
        "commands.reproduce.show_all",
    ):
        monkeypatch.setattr(f"fastmlp.{where}", interrupt)
    if command == "bench":
        monkeypatch.chdir(tmp_path)
    says_130(command, *arguments.get(command, []))
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "before"
    assert train_predict.load_net is interrupt
