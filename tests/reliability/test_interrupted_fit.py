"""Fits that are interrupted in every phase.

After the interrupt, the parameters are finite, and with early stopping they are those of the best epoch; all records
have the same length; the net can be saved and loaded, and fitted again. SIGINT comes at random moments, once or twice.
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
from pathlib import Path

import numpy as np
import pytest
from executor_cases import InPlace
from small_blocks import Rows, use_small_blocks

import fastmlp
from fastmlp import MLP, Population
from fastmlp.callbacks import EarlyStopping

SRC = Path(fastmlp.__file__).parent
UNCLOSED = "ignore:unclosed file:ResourceWarning"  # after an interrupt between a block of `with` and its exit
EPOCHS = 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.float32)
HELD = X[36:], Y[36:]
FITS = {
    "validation": {"validation_data": HELD, "batch_size": 9},
    "early stopping": {"validation_data": HELD, "early_stopping": EarlyStopping(10**6), "batch_size": 9},
    "by records": {"early_stopping": EarlyStopping(10**6, "accuracy"), "batch_size": 9},
    "by records of full batches": {"early_stopping": 10**6},
    "callbacks": {"validation_data": HELD, "early_stopping": 10**6, "callbacks": (lambda epoch, history: None,)},
    "metrics": {"metrics": ["log_loss", "roc_auc"], "early_stopping": EarlyStopping(10**6, "log_loss")},
    "metrics of a fraction": {
        "validation_fraction": 0.25,
        "metrics": "squared_error",
        "early_stopping": EarlyStopping(10**6, "validation_squared_error"),
        "batch_size": 9,
        "time_limit": 3600.0,
    },
}
# Rows on disk take five times as many lines, and of signals too many would come before the fit, while rows are written.
ALL = FITS | {"rows on disk": FITS["early stopping"] | {"memory_limit": 1_000_000}}


def new_net():
    return MLP((3, 5, 1), loss="binary_cross_entropy", random_state=0, device="cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, tmp_path):
    """Small blocks of rows on disk, in files that the test removes."""
    use_small_blocks(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def fit(net, settings, epochs=EPOCHS):
    data = (Rows(X[:36], Y[:36]), None) if "memory_limit" in settings else (X[:36], Y[:36])
    return net.fit(*data, epochs=epochs, verbose=0, optimizer="adam", **settings)


def check(net, settings, params_after, path, place):
    """Check everything that must hold after an interrupt at any place.

    params_after : parameters of an uninterrupted fit, by number of epochs
    path : file to save the net to
    place : description of the place, for messages
    """
    history = net.history
    assert np.isfinite(net.params).all(), place
    if history is None:  # the interrupt came before the first epoch
        return
    records = history.records()
    assert {len(values) for values in records.values()} == {history.epochs}, place
    assert history.epochs or history.best_epoch is None, place
    if "early_stopping" in settings and history.epochs:
        monitored = history.record(monitor_of(settings))
        best = int(np.argmax(monitored) if monitor_of(settings) == "accuracy" else np.argmin(monitored))
        assert history.best_epoch == best, place
        np.testing.assert_array_equal(
            net.params, params_after[best + belongs_to_the_end_of_the_epoch(settings)], err_msg=place
        )
    net.save(path)
    loaded = fastmlp.load(path)
    np.testing.assert_array_equal(loaded.params, net.params, err_msg=place)
    assert loaded.history is None or loaded.history.epochs == history.epochs
    for name, values in records.items():
        if loaded.history is not None:
            np.testing.assert_array_equal(loaded.history.record(name), values, err_msg=place)
    assert fit(net, settings, epochs=1).stopped_by == "epochs", place
    assert np.isfinite(net.params).all(), place


def belongs_to_the_end_of_the_epoch(settings):
    """Return whether the monitored record of an epoch belongs to the parameters at the end of the epoch.

    The training loss of a full batch is that of the parameters before its step.
    """
    return "batch_size" in settings or monitor_of(settings) not in ("loss", "accuracy")


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


def monitor_of(settings):
    rule = settings["early_stopping"]
    default = "validation_loss" if {"validation_data", "validation_fraction"} & set(settings) else "loss"
    return default if isinstance(rule, int) else rule.monitor or default


def interrupted(train, seconds, n_signals=1):
    """Call a function, send SIGINT after so many seconds, and return what it returned, or None after a second one."""
    found, sent = [], threading.Event()
    sender = threading.Thread(target=send_sigints, args=([seconds, *[0.002] * (n_signals - 1)], sent))
    wait = lambda: (sent.wait(), time.sleep(0.001))  # an interrupted `join` would not wait again
    in_spite_of_ctrl_c(lambda: (sender.start(), found.append(train())), wait, wait)
    sender.join()
    return found[0] if found else None


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")
@pytest.mark.parametrize("n_signals", [1, 2])
@pytest.mark.parametrize("name", FITS)
def test_signal_at_any_moment_leaves_a_consistent_fit(name, n_signals, ctrl_c, tmp_path, is_long, count):
    settings, rng = FITS[name], np.random.default_rng(1)
    n, n_ended = 400 if is_long else 8, 0
    fit(new_net(), settings, epochs=1)  # Python would warn of a module that it was reading when the signal came
    for _ in range(n):
        net = new_net()
        expected = {0: net.params.copy()}
        interrupted(lambda net=net: fit(net, settings, epochs=2_000_000), rng.uniform(0.002, 0.03), n_signals)
        n_ended += net.history is not None and net.history.stopped_by == "interrupt"
        if "early_stopping" in settings and net.history is not None and net.history.epochs:
            other = new_net()
            follow = {key: value for key, value in settings.items() if key not in ("early_stopping", "callbacks")}
            if trained := net.history.best_epoch + belongs_to_the_end_of_the_epoch(settings):
                fit(other, follow, epochs=trained)
            expected[trained] = other.params.copy()
        place = f"a signal after epoch {net.history and net.history.epochs}"
        check(net, settings, expected, tmp_path / "net.safetensors", place)
    assert n_ended > n // 2, "the signals came before the fits"
    count(f"{n_signals} signals to a fit ({name})", n)


POPULATIONS = {
    "lanes": ((3, 5, 1), 40, {}),
    "one by one": ((3, 90, 70, 1), 6, {}),
    "restarts": ((3, 5, 1), 40, {"converged": fastmlp.Converged(1e-9, restart_after=100)}),
    "threads of an executor": ((3, 5, 1), 40, {"executor": InPlace()}),
    "rows on disk": ((3, 5, 1), 6, {"memory_limit": 1_000_000, "batch_size": 9}),
}


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")
@pytest.mark.filterwarnings("ignore:Training was interrupted")
@pytest.mark.parametrize("n_signals", [1, 2])
@pytest.mark.parametrize("name", POPULATIONS)
def test_signal_at_any_moment_leaves_a_consistent_population(name, n_signals, ctrl_c, tmp_path, is_long, count):
    (sizes, n_nets, settings), rng = POPULATIONS[name], np.random.default_rng(3)
    n, n_ended = 200 if is_long else 4, 0
    make = lambda: Population(sizes, n_nets, loss="binary_cross_entropy", random_state=0, device="cpu")
    fit(make(), settings, epochs=1)
    for _ in range(n):
        pop = make()
        result = interrupted(lambda pop=pop: fit(pop, settings, epochs=100_000), rng.uniform(0.003, 0.03), n_signals)
        assert np.isfinite(pop.params).all()
        if result is not None:
            n_ended += result.interrupted
            assert result is pop.result
            assert not result.converged[result.epochs == 0].any()
            pop.save(tmp_path / "nets.safetensors")
            np.testing.assert_array_equal(fastmlp.load(tmp_path / "nets.safetensors").params, pop.params)
        assert (fit(pop, {}, epochs=1).epochs == 1).all()
    assert n_signals == 2 or n_ended > n // 2
    count(f"{n_signals} signals to a population ({name})", n)


def test_a_second_ctrl_c_ends_a_callback_that_does_not_end(ctrl_c):
    """The first one waits for the callback, which may write a file; the net keeps what it has reached."""

    def hangs(epoch, history):
        signal.raise_signal(signal.SIGINT)
        reached.append(history.net.params.copy())
        signal.raise_signal(signal.SIGINT)

    net, reached = new_net(), []
    with pytest.raises(KeyboardInterrupt):
        fit(net, {"callbacks": hangs})
    np.testing.assert_array_equal(net.params, reached[0])
    assert (net.history.stopped_by, net.history.epochs) == ("interrupt", 1)


def test_a_handler_of_somebody_else_is_left_alone(ctrl_c):
    class Ends(Exception):
        pass

    def handler(number, frame):
        raise Ends

    signal.signal(signal.SIGINT, handler)
    net = new_net()
    with pytest.raises(Ends):
        fit(net, {"callbacks": lambda epoch, history: signal.raise_signal(signal.SIGINT)})
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
@pytest.mark.filterwarnings(UNCLOSED)
@pytest.mark.filterwarnings("ignore:Training was interrupted")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("n_signals", [1, 2])
def test_signals_leave_no_rows_on_disk(n_signals, ctrl_c, tmp_path, is_long, count):
    """At any moment of the fit, its end among them; the second one of two comes at most 4 ms after the first."""
    rng, settings = np.random.default_rng(n_signals), ALL["rows on disk"]
    lasts = min(timeit.repeat(lambda: fit(new_net(), settings), number=1, repeat=9))
    n, n_left, n_interrupted = 1250 if is_long else 60, 0, 0
    for _ in range(n):
        net, found, sent = new_net(), [], threading.Event()
        pauses = [rng.uniform(0.0, 1.1 * lasts), *rng.uniform(0.0, 0.004, n_signals - 1)]
        sender = threading.Thread(target=send_sigints, args=(pauses, sent))
        start = sender.start
        train = lambda net=net, found=found: found.append(fit(net, settings))
        wait = lambda sent=sent: (sent.wait(), time.sleep(0.001))  # an interrupted `join` would not wait again
        in_spite_of_ctrl_c(lambda start=start, train=train: (start(), train()), wait, wait)
        sender.join()
        n_interrupted += not found or found[0].stopped_by == "interrupt"
        gc.collect()
        n_left += len(list(tmp_path.iterdir()))
    assert n_left == 0
    assert n_interrupted > n // 3
    count(f"fits to rows on disk, {n_interrupted} of them interrupted", n)
