"""Interruption: a fit that Ctrl-C ended also ends the command or loop around it."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from interrupted_fits import interrupt_populations
from toy_data import XOR_X, XOR_Y
from typer.testing import CliRunner

import fastmlp
from fastmlp import MLP, Population
from fastmlp.commands import measure_gpu, predict, xor_demo
from fastmlp.commands.cli import app
from fastmlp.fit.interruption import interrupt_message, require_complete
from fastmlp.history import History


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
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ValueError), interrupt_message("nothing to say"):
        raise ValueError


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("early_stopping", [None, 50])
def test_a_net_whose_fit_is_interrupted_says_so_once(early_stopping):
    net = MLP((2, 2, 1), random_state=0)
    stop = lambda epoch, _: signal.raise_signal(signal.SIGINT) if epoch == 4 else None
    settings = {"epochs": 1000, "callbacks": [stop], "early_stopping": early_stopping, "verbose": 0}
    with pytest.warns(UserWarning, match=r"interrupted in epoch \d+; the net is") as caught:
        history = net.fit(XOR_X, XOR_Y, **settings)
    assert history.stopped_by == "interrupt"
    assert len(caught) == 1
    assert caught[0].filename == __file__
    place = f"at its best epoch, {history.best_epoch + 1}." if early_stopping else "as far as it had come."
    assert place in str(caught[0].message)


def test_a_population_whose_fit_is_interrupted_says_so_once(monkeypatch):
    pop = Population((2, 2, 1), 40, random_state=0)
    initial = pop.params.copy()
    interrupt_populations(monkeypatch)
    with pytest.warns(UserWarning, match="0 of 40 nets had come to their end") as caught:
        result = pop.fit(XOR_X, XOR_Y, epochs=1000, verbose=0)
    assert result.interrupted
    assert len(caught) == 1
    assert caught[0].filename == __file__
    begun = result.epochs > 0
    np.testing.assert_array_equal(pop.params[~begun], initial[~begun])
    said = str(caught[0].message)
    assert f"; {(~begun).sum()} have finished no epoch, and those of them that had not begun keep the" in said
    assert "before the fit. `ensemble_predict` and `export(..., mean=True)` leave them out. The program goes on" in said


def interrupted_population(monkeypatch):
    """A population in whose first fit some nets have been trained for an epoch, and the others not at all."""
    pop = Population((2, 2, 1), 40, random_state=0)
    with monkeypatch.context() as patches:
        interrupt_populations(patches)
        with pytest.warns(UserWarning, match="leave them out"):
            begun = pop.fit(XOR_X, XOR_Y, epochs=1000, verbose=0).epochs > 0
    assert begun.any()
    assert not begun.all()
    return pop, begun


def test_nets_that_have_finished_no_epoch_are_no_part_of_the_mean(monkeypatch, tmp_path):
    pop, begun = interrupted_population(monkeypatch)
    outputs = pop.predict(XOR_X)
    expected = outputs[begun].mean(axis=0)
    np.testing.assert_allclose(pop.ensemble_predict(XOR_X), expected, rtol=1e-6)
    np.testing.assert_allclose(pop.ensemble_predict(XOR_X, top=40), expected, rtol=1e-6)
    everything = pop.ensemble_predict(XOR_X, weights=np.ones(40))
    np.testing.assert_allclose(everything, outputs.mean(axis=0), rtol=1e-5)
    assert not pop.greedy_weights(XOR_X, XOR_Y)[~begun].any()
    assert begun[pop.result.best]
    pop.export(tmp_path / "mean.h", mean=True)
    assert f"/= {np.count_nonzero(begun)}.0f" in (tmp_path / "mean.h").read_text()
    pop.save(tmp_path / "pop.safetensors")
    loaded = fastmlp.load(tmp_path / "pop.safetensors")
    np.testing.assert_array_equal(loaded.ensemble_predict(XOR_X), pop.ensemble_predict(XOR_X))


def test_nets_of_an_earlier_fit_are_a_part_of_the_mean(monkeypatch):
    pop = Population((2, 2, 1), 40, random_state=0)
    pop.fit(XOR_X, XOR_Y, epochs=2, verbose=0)
    interrupt_populations(monkeypatch)
    with pytest.warns(UserWarning, match=r"before the fit\. The program goes on"):
        pop.fit(XOR_X, XOR_Y, epochs=1000, verbose=0)
    np.testing.assert_allclose(pop.ensemble_predict(XOR_X), pop.predict(XOR_X).mean(axis=0), rtol=1e-5)


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


COMMANDS = ("bench", "devices", "diagnose", "export", "predict", "report", "reproduce", "warmup")


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_command_exits_with_130_and_keeps_its_output(monkeypatch, tmp_path, command):
    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    output = tmp_path / "out.csv"
    output.write_text("before")
    arguments = {
        "diagnose": ["m", "t.csv"],
        "export": ["m", tmp_path / "net.h"],
        "predict": ["m", "t.csv", "--output", output],
        "report": ["m"],
    }
    for where in (
        "commands.predict.load_net",
        "commands.report.load_net",
        "commands.diagnose.load_net",
        "commands.cli.console",
        "loading.load",
        "commands.numpy_benchmark.lines",
        "commands.reproduce.show_all",
        "commands.warmup.warm_up",
    ):
        monkeypatch.setattr(f"fastmlp.{where}", interrupt)
    if command == "bench":
        monkeypatch.chdir(tmp_path)
    assert_exits_with_130(command, *arguments.get(command, []))
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "before"
    assert predict.load_net is interrupt


def test_every_command_is_interrupted_in_a_test():
    """Those of xor are above; train, which saves what it has reached, has its own in tests/unit/commands."""
    assert {command.callback.__name__ for command in app.registered_commands} == {*COMMANDS, "train", "xor"}
