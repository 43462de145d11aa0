"""Fits that are interrupted in every phase.

After the interrupt, the parameters are finite, and with early stopping they are those of the best epoch; all records
have the same length; the net can be saved and loaded, and fitted again. A KeyboardInterrupt is raised at each line of
the modules that a fit runs through, in turn, and real SIGINTs are sent at random moments.
"""

import gc
import os
import signal
import sys
import tempfile
import threading
import time
import timeit
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from small_blocks import Rows, use_small_blocks

import fastmlp
from fastmlp import MLP
from fastmlp.callbacks import EarlyStopping

SRC = Path(fastmlp.__file__).parent
TRACED = {
    str(SRC / name): name
    for name in (
        "api/checkpoint_identity.py",
        "api/checkpoint_savers.py",
        "api/optional_checkpoints.py",
        "api/fit_arguments.py",
        "api/fit_preparation.py",
        "api/mlp_fit.py",
        "api/single_net_base.py",
        "api/stream_arguments.py",
        "api/stream_checkpoints.py",
        "api/streamed_fit.py",
        "callbacks.py",
        "persistence/checkpoint_files.py",
        "console/progress_bar.py",
        "execution/buffer_cache.py",
        "execution/plan.py",
        "history.py",
        "mlp.py",
        "training/best_epoch.py",
        "training/divergence.py",
        "training/epoch_metrics.py",
        "training/epoch_records.py",
        "training/fit_loop.py",
        "training/fit_options.py",
        "training/fit_base.py",
        "training/fit_state.py",
        "training/state_transfer.py",
        "training/stream_state.py",
        "training/fit_loop_on_blocks.py",
        "training/time_limit.py",
        "training/kernel_call_configs.py",
    )
}
assert all(map(os.path.exists, TRACED))
FINALISERS = ("__del__", "_let_go")  # no exception can be raised from them
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


def stride_of(name, stride, is_long, of_long=1):
    """Return how many lines lie between two places of an interrupt: more in the short form of fits with most lines.

    stride : in the short form
    of_long : in the long form
    """
    if is_long:
        return of_long
    if name not in FITS:
        return 67
    return 9 * stride if name.startswith("metrics") else 2 * stride + 1


class InterruptAt:
    """Trace function of this thread that raises KeyboardInterrupt at the n-th line executed in the TRACED modules."""

    def __init__(self, n):
        self.left, self.place = n, None

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if code.co_filename not in TRACED or code.co_name in FINALISERS:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.place = f"{TRACED[code.co_filename]}, line {frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(None)


@pytest.fixture
def params_after():
    """Return a function: params_after(settings)[e] are the parameters after e epochs of a fit without interrupts."""

    def follow(settings):
        found = [new_net().params.copy()]
        keep = lambda epoch, history: found.append(history.net.params.copy())
        fit(new_net(), {**settings, "callbacks": (keep,)})
        return found

    return follow


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


def send_sigint(seconds, sent):
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)
    sent.set()


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


@pytest.mark.thinned(4)
@pytest.mark.parametrize("name", [*FITS, pytest.param("rows on disk", marks=pytest.mark.full)])
@pytest.mark.filterwarnings(UNCLOSED)
def test_interrupt_at_any_line_leaves_a_consistent_fit(name, params_after, tmp_path, is_long, count):
    settings = ALL[name]
    expected = params_after(settings)
    n, stride, interrupted = 1, stride_of(name, 8, is_long), 0
    while True:
        net, trace = new_net(), InterruptAt(n)
        try:
            with trace:
                fit(net, settings)
        except KeyboardInterrupt:
            pass
        if trace.left > 0:
            break
        check(net, settings, expected, tmp_path / "net.safetensors", trace.place)
        n, interrupted = n + stride, interrupted + 1
    assert interrupted > 100 // stride
    count(f"lines of a fit ({name})", interrupted)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("name", [*FITS, pytest.param("rows on disk", marks=pytest.mark.full)])
@pytest.mark.filterwarnings(UNCLOSED)
def test_fit_interrupted_at_any_line_goes_on_to_the_same_bits(name, tmp_path, is_long, count):
    settings, expected = ALL[name], new_net()
    fit(expected, settings)
    n, stride, interrupted = 1, stride_of(name, 37, is_long, 3), 0  # fits of different kinds share most lines
    while True:
        folder = tmp_path / str(n)
        folder.mkdir()
        checkpoints = {"checkpoint": folder / "run.ckpt", "every": 1}
        trace, resumed = InterruptAt(n), new_net()
        try:
            with trace:
                fit(new_net(), settings | checkpoints)
        except KeyboardInterrupt:
            pass
        if trace.left > 0:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            history = fit(resumed, settings | checkpoints | {"resume": True})
        assert (history.epochs, history.stopped_by) == (EPOCHS, "epochs"), trace.place
        np.testing.assert_array_equal(resumed.params, expected.params, err_msg=trace.place)
        np.testing.assert_array_equal(history.loss, expected.history.loss, err_msg=trace.place)
        assert history.best_epoch == expected.history.best_epoch, trace.place
        n, interrupted = n + stride, interrupted + 1
    assert interrupted > 300 // stride
    count(f"lines of a fit with checkpoints ({name})", interrupted)


@pytest.mark.thinned(4)
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")
@pytest.mark.parametrize("name", FITS)
def test_signal_at_any_moment_leaves_a_consistent_fit(name, ctrl_c, params_after, tmp_path, is_long, count):
    settings, rng = FITS[name], np.random.default_rng(1)
    expected = params_after(settings) if "early_stopping" not in settings else None
    n, n_ended = 400 if is_long else 8, 0
    fit(new_net(), settings, epochs=1)  # Python would warn of a module that it was reading when the signal came
    for _ in range(n):
        net, sent = new_net(), threading.Event()
        sender = threading.Thread(target=send_sigint, args=(rng.uniform(0.0005, 0.01), sent))
        try:
            sender.start()
            fit(net, settings, epochs=100_000)
            n_ended += net.history.stopped_by == "interrupt"
            while not sent.is_set():
                time.sleep(0.001)
            time.sleep(0.001)
        except KeyboardInterrupt:
            pass
        sender.join()
        if "early_stopping" in settings and net.history is not None and net.history.epochs:
            other = new_net()
            follow = {key: value for key, value in settings.items() if key not in ("early_stopping", "callbacks")}
            if trained := net.history.best_epoch + belongs_to_the_end_of_the_epoch(settings):
                fit(other, follow, epochs=trained)
            expected = {trained: other.params.copy()}
        check(
            net,
            settings,
            expected,
            tmp_path / "net.safetensors",
            f"a signal after epoch {net.history and net.history.epochs}",
        )
    assert n_ended > n // 2
    count(f"signals to a fit ({name})", n)


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
