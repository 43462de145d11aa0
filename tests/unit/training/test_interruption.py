"""Interruption: a fit that Ctrl-C ended also ends the command or loop around it."""

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


def test_require_complete_passes_finished_fits_and_raises_for_interrupted_ones():
    history, result = History(), SimpleNamespace(interrupted=False, stopped_by=np.array(["epochs", "interrupt"]))
    assert require_complete(history) is history
    assert require_complete(result) is result
    for record in (interrupted_history(), SimpleNamespace(interrupted=True)):
        with pytest.raises(KeyboardInterrupt):
            require_complete(record)


def test_innermost_interrupt_message_wins():
    with pytest.raises(KeyboardInterrupt, match=r"^inner$"), interrupt_message("outer"), interrupt_message("inner"):
        raise KeyboardInterrupt
    with pytest.raises(ValueError), interrupt_message("nothing to say"):
        raise ValueError


def assert_exits_with_130(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 130, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fastmlp: Interrupted")
    return result


def test_interrupted_xor_demo_exits_with_130(monkeypatch):
    monkeypatch.setattr(xor_demo.MLP, "fit", lambda *_, **__: interrupted_history())
    assert_exits_with_130("xor")


@pytest.mark.parametrize("n_finished", [0, 3])
def test_interrupted_xor_population_prints_a_summary_of_finished_nets(monkeypatch, n_finished):
    result = SimpleNamespace(interrupted=True, n_finished=n_finished, summary=lambda: "three nets")
    monkeypatch.setattr(xor_demo.Population, "fit", lambda *_, **__: result)
    assert ("three nets" in assert_exits_with_130("xor", "--nets", 5).stdout) == bool(n_finished)


def test_interrupted_gpu_measurement_raises_keyboard_interrupt(monkeypatch):
    for kind in (MLP, Population):
        monkeypatch.setattr(kind, "fit", lambda *_, **__: interrupted_history())
    for job in (measure_gpu.one_net("cpu", 8), measure_gpu.population("cpu", 3)):
        with pytest.raises(KeyboardInterrupt):
            job.fit(epochs=1)


COMMANDS = ("bench", "devices", "diagnose", "export", "predict", "report", "reproduce", "sweep", "warmup")


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_command_exits_with_130_and_keeps_its_output(monkeypatch, tmp_path, command):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    output = tmp_path / "out.csv"
    output.write_text("before")
    arguments = {
        "devices": ["--measure"],
        "diagnose": ["m", "t.csv"],
        "export": ["m", tmp_path / "net.h"],
        "predict": ["m", "t.csv", "--output", output],
        "report": ["m"],
        "sweep": ["t.csv", "--target", "y", "--output", tmp_path / "net"],
    }
    for where in (
        "commands.train_predict.load_net",
        "commands.diagnose.load_net",
        "commands.measure_gpu.starts_of_gpus",
        "commands.sweep.read_parts",
        "loading.load",
        "benchmarks.quick_suite.run",
        "commands.reproduce.show_all",
        "commands.warmup.warm_up",
    ):
        monkeypatch.setattr(f"fastmlp.{where}", interrupt)
    if command == "bench":
        monkeypatch.chdir(tmp_path)
    assert_exits_with_130(command, *arguments.get(command, []))
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "before"
    assert train_predict.load_net is interrupt


def test_every_command_is_interrupted_in_a_test():
    """Those of xor are above; train, which saves what it has reached, has its own in tests/unit/commands."""
    assert {command.callback.__name__ for command in app.registered_commands} == {*COMMANDS, "train", "xor"}
