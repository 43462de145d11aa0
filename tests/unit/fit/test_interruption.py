"""Ctrl-C: a fit ends with what it has reached and says so, and the command or loop around it ends, too."""

import signal
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from fit_kinds import EPOCHS, KINDS, WRONG, cut_calls, fit, make
from interrupted_fits import with_sigint
from resumed_fits import train
from small_blocks import X
from typer.testing import CliRunner

import fastmlp
from fastmlp import MLP, EarlyStopping, Population
from fastmlp.commands import predict, xor_demo
from fastmlp.commands.cli import app
from fastmlp.diagnosis.monitor import Monitor
from fastmlp.execution import thresholds
from fastmlp.executors.workers import Workers
from fastmlp.fit.interrupt_warnings import interrupt_message
from fastmlp.history import History
from fastmlp.streams.row_file import RowFile

NETS = [kind for kind in KINDS if KINDS[kind].n_nets]
HERE = ["nets in lanes", "nets one by one", "nets, rows on disk"]
pytestmark = pytest.mark.usefixtures("small_parts", "ctrl_c")


def interrupted_history():
    history = History()
    history.stopped_by = "interrupt"
    return history


def test_innermost_interrupt_message_wins():
    with pytest.raises(KeyboardInterrupt, match=r"^inner$"), interrupt_message("outer"), interrupt_message("inner"):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(ValueError), interrupt_message("nothing to say"):
        raise ValueError


def interrupted(kind, n_calls, monkeypatch, **given):
    """Return the nets and the record of a fit that Ctrl-C ends after this kernel call, each of one step."""
    with monkeypatch.context() as patches:
        cut_calls(patches, last=n_calls)
        with pytest.warns(UserWarning, match="interrupted") as caught:
            found = fit(kind, **given)
    assert len(caught) == 1
    assert caught[0].filename == train.__code__.co_filename, "the place of the user's call"
    return *found, str(caught[0].message)


@pytest.mark.parametrize("early_stopping", [None, 50])
@pytest.mark.parametrize("kind", ["net", "net, rows on disk"])
def test_a_net_whose_fit_is_interrupted_says_so_once(kind, early_stopping, monkeypatch):
    """The unfinished epoch is not recorded, and the net goes on where it is told to."""
    net, history, said = interrupted(kind, 31, monkeypatch, early_stopping=early_stopping)
    assert (history.stopped_by, history.epochs, len(history.loss)) == ("interrupt", 3, 3)
    place = f"as it was at its best epoch, {history.best_epoch + 1}." if early_stopping else "as far as it had come."
    assert f"interrupted in epoch 4; the net is {place}" in said
    assert np.isfinite(net.predict(X)).all()
    assert fit(kind, nets=net, epochs=2)[1].stopped_by == "epochs"


PLACES = {"nets in lanes": 17, "nets in lanes on workers": 17}  # kernel call in which some nets have ended


@pytest.mark.parametrize("kind", NETS)
def test_a_population_whose_fit_is_interrupted_says_so_once(kind, monkeypatch):
    """Some nets have ended, others are in training, and the rest has not begun."""
    before, whole = make(kind).params, fit(kind)[0]
    pop, result, said = interrupted(kind, PLACES.get(kind, 12 * 9 + 31), monkeypatch)
    assert result.interrupted
    ended, begun = result.stopped_by == "epochs", result.epochs > 0
    assert set(result.stopped_by) == {"epochs", "interrupt"}
    assert f"{ended.sum()} of {pop.n_nets} nets had come to their end" in said
    assert f"; {(~begun).sum()} have finished no epoch, and those of them that had not begun keep the" in said
    assert "before the fit. `ensemble_predict` and `export(..., mean=True)` leave them out. The program goes on" in said
    assert 0 < ended.sum() < begun.sum() < pop.n_nets
    assert (result.epochs[ended] == EPOCHS).all()
    np.testing.assert_array_equal(pop.params[ended], whole.params[ended])
    np.testing.assert_array_equal(pop.params[~begun], before[~begun])
    assert np.isfinite(pop.params).all()
    assert np.isnan(result.accuracy[~begun]).all()
    assert not result.converged[~begun].any()
    assert result.n_finished == ended.sum()
    assert (fit(kind, nets=pop, epochs=3)[1].epochs == 3).all(), "the population is usable"


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy", "accuracy"])
@pytest.mark.parametrize("kind", ["net", "net, rows on disk", *HERE])
def test_interrupted_early_stopping_keeps_each_nets_best_parameters(kind, monitor, monkeypatch, tmp_path):
    given = {"validation_data": WRONG, "epochs": 10**6}
    rule = EarlyStopping(10**6, monitor)
    nets, record, _ = interrupted(kind, 7 if KINDS[kind].lanes else 60, monkeypatch, early_stopping=rule, **given)
    alone = [(nets, record)] if not KINDS[kind].n_nets else []
    for k in range(len(alone), KINDS[kind].n_nets or 0):
        if record.epochs[k]:
            alone.append((SimpleNamespace(params=nets.params[k], net=make(kind).net(k)), k))
        else:
            assert record.best_epoch[k] == -1
            np.testing.assert_array_equal(nets.params[k], make(kind).params[k])
    assert alone
    for found, k in alone:
        best = record.best_epoch if k is record else record.best_epoch[k]
        net = make(kind) if k is record else found.net
        single = "net, rows on disk" if KINDS[kind].on_disk else "net"
        _, history = fit(single, nets=net, **given | {"epochs": int(best) + 1})
        values = history.record(monitor) * (-1 if monitor.endswith("accuracy") else 1)
        assert np.argmin(values.round(6)) == best
        np.testing.assert_allclose(found.params, net.params, rtol=2e-3, atol=2e-4)
    nets.save(tmp_path / "nets.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "nets.safetensors").params, nets.params)


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("unrolled", [0, 40], ids=["loops", "unrolled"])
def test_interrupted_nets_in_lanes_have_the_loss_of_their_last_epoch(unrolled, batch_size, monkeypatch):
    """Also between the epochs whose losses are recorded or checked."""
    sizes = (3, 2, 1)
    monkeypatch.setattr(thresholds, "UNROLLED_NETS_UP_TO_PARAMS", unrolled)
    monkeypatch.setattr(fastmlp.population_result.recorded_epochs, "MAX_RECORDS", 2)
    settings = {"loss": "binary_cross_entropy", "dtype": "float64", "device": "cpu"}
    pop = Population(sizes, 40, random_state=0, **settings)
    given = {"batch_size": batch_size, "epochs": 10**6 + 1}
    _, result, _ = interrupted("nets in lanes", 7, monkeypatch, nets=pop, **given)
    begun = np.flatnonzero(result.epochs)
    assert (result.epochs[begun] == 7).all()
    assert 7 not in result.record_epochs, "of which the losses were known before"
    for k in begun:
        net = MLP(sizes, random_state=int(pop.seeds[k]), **settings)
        _, history = fit("net", nets=net, **given | {"epochs": 7})
        assert result.loss[k] == pytest.approx(history.loss[-1], rel=1e-6)
        assert result.accuracy[k] == pytest.approx(history.accuracy[-1])


@pytest.mark.parametrize("kind", HERE)
def test_nets_that_have_finished_no_epoch_are_no_part_of_the_mean(kind, monkeypatch, tmp_path):
    pop, result, _ = interrupted(kind, 31, monkeypatch)
    begun, outputs = result.epochs > 0, pop.predict(X)
    expected = outputs[begun].mean(axis=0)
    np.testing.assert_allclose(pop.ensemble_predict(X), expected, rtol=1e-5)
    np.testing.assert_allclose(pop.ensemble_predict(X, top=pop.n_nets), expected, rtol=1e-5)
    assert begun[pop.result.best]
    if KINDS[kind].lanes:  # of the others one has begun
        pop.export(tmp_path / "mean.h", mean=True)
        assert f"/= {np.count_nonzero(begun)}.0f" in (tmp_path / "mean.h").read_text()
    pop.save(tmp_path / "pop.safetensors")
    loaded = fastmlp.load(tmp_path / "pop.safetensors")
    np.testing.assert_array_equal(loaded.ensemble_predict(X), pop.ensemble_predict(X))


@pytest.mark.parametrize("kind", HERE)
def test_nets_of_an_earlier_fit_are_a_part_of_the_mean(kind, monkeypatch):
    pop, _ = fit(kind, epochs=2)
    said = interrupted(kind, 7 if KINDS[kind].lanes else 31, monkeypatch, nets=pop)[2]
    assert "before the fit. The program goes on" in said
    np.testing.assert_allclose(pop.ensemble_predict(X), pop.predict(X).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("kind, n_calls", [("nets in lanes", 13), ("nets one by one", 80 + 36)])
def test_interruption_counts_no_net_twice(kind, n_calls, monkeypatch):
    """In the second attempt: nets that had not begun it keep the epochs of their first, and no loss."""
    given = {"epochs": 6, "converged": fastmlp.Converged(1e-9, restart_after=3)}
    result = interrupted(kind, n_calls, monkeypatch, **given)[1]
    waiting = np.isnan(result.loss)
    assert 0 < waiting.sum() < result.n_nets
    assert (result.epochs[waiting] == 3).all()
    assert (result.restarts == 1).all()
    assert np.isnan(result.records[:, waiting]).all()
    assert result.n_finished < result.n_nets
    assert result.epoch_statistics.n_trials == result.n_finished
    assert f"interrupted; {result.n_finished} had come to their end" in result.summary()


def test_nets_on_two_threads_end_soon(monkeypatch):
    """A net that is training stops, not after all its epochs."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    stop = lambda epoch, history: signal.raise_signal(signal.SIGINT) if epoch == 500 else None
    with pytest.warns(UserWarning, match="interrupted"):
        result = fit("nets one by one", epochs=10**6, callbacks=stop)[1]
    assert result.interrupted
    assert set(result.stopped_by) == {"interrupt"}
    assert (result.epochs < 10**6).all()


@pytest.mark.filterwarnings("ignore:Training was interrupted")
@pytest.mark.parametrize(
    "kind, place, name",
    [
        ("nets one by one", Monitor, "look_at_nets"),
        ("nets one by one on workers", Workers, "close"),
        ("net, rows on disk", RowFile, "close"),
        ("nets, rows on disk", RowFile, "close"),
    ],
    ids=["monitor", "shared arrays", "rows of a net", "rows of nets"],
)
def test_ctrl_c_at_the_end_of_a_fit_leaves_the_result_and_no_rows(kind, place, name, monkeypatch, tmp_path):
    expected, _ = fit(kind, monitor=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(place, name, with_sigint(getattr(place, name)))
    nets, record = fit(kind, monitor=True)
    np.testing.assert_array_equal(nets.params, expected.params)
    assert list(tmp_path.iterdir()) == []
    assert np.all(np.asarray(record.epochs) == EPOCHS)
    assert record.stopped_by == "interrupt" if KINDS[kind].n_nets is None else record.interrupted
    assert nets.fits == 1


# ---- commands


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
        "commands.diagnose.load_net",
        "commands.cli.console",
        "loading.load",
        "commands.warmup.warm_up",
        "commands.numpy_benchmark.lines",
    ):
        monkeypatch.setattr(f"fastmlp.{where}", interrupt)
    assert_exits_with_130(command, *arguments.get(command, []))
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_text() == "before"
    assert predict.load_net is interrupt


def test_every_command_is_interrupted_in_a_test():
    """Those of xor are above; train, which saves what it has reached, has its own in tests/unit/commands."""
    assert {command.callback.__name__ for command in app.registered_commands} == {*COMMANDS, "train", "xor"}
