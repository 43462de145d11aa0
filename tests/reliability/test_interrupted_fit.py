"""Fits of every kind that are interrupted at random moments, by one SIGINT or by two.

After the interrupt, the parameters are finite, and with early stopping they are those of the best epoch; all records
have the same length; the nets can be saved and loaded, and fitted again.
"""

import gc
import os
import signal
import sys
import tempfile
import threading
import time
import timeit
from contextlib import suppress

import numpy as np
import pytest
from fit_kinds import ALL, KINDS, fit, make, use_small_parts

import fastmlp
from fastmlp import Converged, EarlyStopping

UNCLOSED = "ignore:unclosed file:ResourceWarning"  # after an interrupt between a block of `with` and its exit
FOREVER = 10**6
GIVEN = {  # arguments of fits that do not end by themselves, by the option
    "plain": {},
    "full batches": {"early_stopping": EarlyStopping(FOREVER, "loss")},
    "early stopping": {"early_stopping": EarlyStopping(FOREVER)},
    "early stopping by accuracy": {"early_stopping": EarlyStopping(FOREVER, "accuracy")},
    "early stopping by a metric": {
        "early_stopping": EarlyStopping(FOREVER, "validation_roc_auc"),
        "callbacks": lambda epoch, history: None,
        "time_limit": 3600.0,
    },
    "restarts": {"converged": Converged(1e-9, restart_after=100)},
}
ENDLESS = {"early_stopping": None, "callbacks": (), "time_limit": None}  # what a fit of some epochs is without
CASES = [(kind, option) for kind, option in ALL if option in GIVEN]
pytestmark = pytest.mark.filterwarnings("ignore:Training was interrupted", UNCLOSED)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch, tmp_path):
    """Small blocks of rows on disk, in files that the test removes, and small tasks of workers."""
    use_small_parts(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def check_net(kind, option, net, place):
    """Check that records have one length, and that parameters are those of the best epoch."""
    history = net.history
    if history is None:  # the interrupt came before the first epoch
        return
    assert {len(values) for values in history.records().values()} == {history.epochs}, place
    rule = GIVEN[option].get("early_stopping")
    assert history.epochs or history.best_epoch is None, place
    if rule is None or not history.epochs:
        return
    monitored = history.record(rule.monitor or "validation_loss")
    best = monitored.argmin() if rule.sign_of(rule.monitor or "validation_loss") > 0 else monitored.argmax()
    assert history.best_epoch == best, place
    n = int(best) + (option != "full batches")  # whose loss is that of the parameters before the step
    expected = make(kind, option)
    if n:
        fit(kind, option, nets=expected, epochs=n, **ENDLESS)
    np.testing.assert_array_equal(net.params, expected.params, err_msg=place)


def send_sigints(pauses, sent):
    for pause in pauses:
        time.sleep(pause)
        os.kill(os.getpid(), signal.SIGINT)
    sent.set()


def in_spite_of_ctrl_c(*steps):
    """Do one step after the other, and go on with the next one after a KeyboardInterrupt."""
    if steps:
        with suppress(KeyboardInterrupt):
            in_spite_of_ctrl_c(*steps[:-1])
            steps[-1]()


def interrupted(train, seconds, n_signals=1):
    """Call a function, send SIGINT after so many seconds, and return what it returned, or None after a second one."""
    found, sent = [], threading.Event()
    sender = threading.Thread(target=send_sigints, args=([seconds, *[0.002] * (n_signals - 1)], sent))
    wait = lambda: (sent.wait(), time.sleep(0.001))  # an interrupted `join` would not wait again
    in_spite_of_ctrl_c(lambda: (sender.start(), found.append(train())), wait, wait)
    sender.join()
    return found[0] if found else None


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")
# Python prints a second Ctrl-C that comes in a weakref callback, and drops it; the first has ended the fit.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("n_signals", [1, 2])
@pytest.mark.parametrize("kind, option", CASES)
def test_signal_at_any_moment_leaves_a_consistent_fit(kind, option, n_signals, ctrl_c, tmp_path, is_long, count):
    rng, path, given = np.random.default_rng(1), tmp_path / "nets.safetensors", GIVEN[option] | {"epochs": FOREVER}
    n, n_ended = 100 if is_long else 4, 0
    fit(kind, option, epochs=1)  # Python would warn of a module that it was reading when the signal came
    started = time.perf_counter()
    fit(kind, option, epochs=1)
    longest = max(0.03, 2.0 * (time.perf_counter() - started))  # beside other programs, a fit begins later
    for _ in range(n):
        nets = make(kind, option)
        train = lambda nets=nets: fit(kind, option, nets=nets, **given)[1]
        record = interrupted(train, rng.uniform(0.003, longest), n_signals)
        assert np.isfinite(nets.params).all()
        if KINDS[kind].n_nets is None:
            n_ended += nets.history is not None and nets.history.stopped_by == "interrupt"
            check_net(kind, option, nets, f"a signal after epoch {nets.history and nets.history.epochs}")
        elif record is not None:
            n_ended += record.interrupted
            assert record is nets.result
            assert not record.converged[record.epochs == 0].any()
        nets.save(path)
        loaded = fastmlp.load(path)
        np.testing.assert_array_equal(loaded.params, nets.params)
        if KINDS[kind].n_nets is None and nets.history is not None:
            for name, values in nets.history.records().items() if loaded.history is not None else ():
                np.testing.assert_array_equal(loaded.history.record(name), values)
        assert np.all(fit(kind, nets=nets, epochs=1)[1].epochs == 1)
    assert n_ended > n // 2 or (KINDS[kind].n_nets and n_signals == 2), "the signals came before the fits"
    count(f"{n_signals} signals to a fit ({kind}; {option})", n)


def test_a_second_ctrl_c_ends_a_callback_that_does_not_end(ctrl_c):
    """The first one waits for the callback, which may write a file; the net keeps what it has reached."""

    def hangs(epoch, history):
        signal.raise_signal(signal.SIGINT)
        reached.append(history.net.params.copy())
        signal.raise_signal(signal.SIGINT)

    net, reached = make("net"), []
    with pytest.raises(KeyboardInterrupt):
        fit("net", nets=net, callbacks=hangs)
    np.testing.assert_array_equal(net.params, reached[0])
    assert (net.history.stopped_by, net.history.epochs) == ("interrupt", 1)


def test_a_handler_of_somebody_else_is_left_alone(ctrl_c):
    class Ends(Exception):
        pass

    def handler(number, frame):
        raise Ends

    signal.signal(signal.SIGINT, handler)
    net = make("net")
    with pytest.raises(Ends):
        fit("net", nets=net, callbacks=lambda epoch, history: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is handler
    assert (net.history.stopped_by, net.history.epochs) == ("error", 1)


PROGRAM = """
import sys
import numpy as np
import fastmlp

X = np.random.default_rng(0).normal(size=(2000, 20))
net = fastmlp.MLP((20, 64, 1), random_state=0)
net.fit(X, X[:, 0], epochs=1, verbose=0)
print("ready", flush=True)
history = net.fit(X, X[:, 0], epochs=10**6, verbose=0)
print(history.stopped_by, np.isfinite(net.params).all(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_ctrl_c_of_a_terminal_ends_a_fit(tmp_path):
    """The terminal sends SIGINT to the program in its foreground, as to any that a user watches."""
    import pty

    (tmp_path / "program.py").write_text(PROGRAM)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        os.execv(sys.executable, [sys.executable, str(tmp_path / "program.py")])
    text = b""
    with suppress(OSError):  # the terminal of a program that has ended
        while piece := os.read(terminal, 1000):
            text += piece
            if b"ready" in text and b"^C" not in text:
                time.sleep(0.2)
                os.write(terminal, b"\x03")
                text += b"^C"
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert b"interrupt True" in text, text
    assert b"The program goes on after fit" in text
    assert status == 0


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("n_signals", [1, 2])
def test_signals_leave_no_rows_on_disk(n_signals, ctrl_c, tmp_path, is_long, count):
    """At any moment of the fit, its end among them; the second one of two comes at most 4 ms after the first."""
    rng, kind, given = np.random.default_rng(n_signals), "net, rows on disk", GIVEN["early stopping"] | {"epochs": 4}
    lasts = min(timeit.repeat(lambda: fit(kind, "early stopping", **given), number=1, repeat=9))
    n, n_left, n_interrupted = 1250 if is_long else 60, 0, 0
    for _ in range(n):
        found, sent = [], threading.Event()
        pauses = [rng.uniform(0.0, 1.1 * lasts), *rng.uniform(0.0, 0.004, n_signals - 1)]
        sender = threading.Thread(target=send_sigints, args=(pauses, sent))
        start = sender.start
        train = lambda found=found: found.append(fit(kind, "early stopping", **given)[1])
        wait = lambda sent=sent: (sent.wait(), time.sleep(0.001))  # an interrupted `join` would not wait again
        in_spite_of_ctrl_c(lambda start=start, train=train: (start(), train()), wait, wait)
        sender.join()
        n_interrupted += not found or found[0].stopped_by == "interrupt"
        gc.collect()
        n_left += len(list(tmp_path.iterdir()))
    assert n_left == 0
    assert n_interrupted > n // 3
    count(f"fits to rows on disk, {n_interrupted} of them interrupted", n)
