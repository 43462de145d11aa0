"""The compile notice: a line on a terminal or in a notebook while kernels are compiled."""

import io
import multiprocessing
import os
import sys
import threading

import pytest
from fake_terminal import Terminal, notebook_texts, show_at_once
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.console import compile_notice
from fastmlp.console.compile_notice import TEXT
from fastmlp.console.progress_bar import Progress
from fastmlp.kernels.jit import call
from fastmlp.kernels.jit.compile_time import notices, notify_listeners


class Immediate:
    """Timer that is over at once."""

    def __init__(self, seconds, function):
        self.start, self.cancel = function, lambda: None


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(compile_notice.threading, "Timer", Immediate)


def shown(monkeypatch, work, stream=None):
    stream = stream or Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        work()
    return stream.getvalue()


def compile_something():
    with notify_listeners():
        pass


def test_a_terminal_shows_the_notice_and_erases_it(at_once, monkeypatch):
    assert shown(monkeypatch, compile_something) == f"\r{TEXT}\r{' ' * len(TEXT)}\r"


def test_a_notebook_shows_one_notice_in_a_cell(at_once, monkeypatch):
    texts = notebook_texts(monkeypatch)
    for _ in range(2):
        compile_something()
    assert list(texts.values()) == [[TEXT, "", TEXT, ""]]


def test_a_short_compilation_shows_no_notice(monkeypatch):
    monkeypatch.setattr(compile_notice, "SHOW_AFTER", 3600.0)
    assert shown(monkeypatch, compile_something) == ""
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


class Closed(Terminal):
    def write(self, text):
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("where", ["a file", "a closed stream", "a worker process"])
def test_no_notice_and_no_error_where_nobody_reads_it(where, at_once, monkeypatch):
    if where == "a worker process":
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    streams = {"a file": io.StringIO(), "a closed stream": Closed(), "a worker process": Terminal()}
    assert shown(monkeypatch, compile_something, streams[where]) == ""


def test_an_open_progress_bar_shows_the_notice(at_once, monkeypatch):
    show_at_once(monkeypatch)

    def work():
        with Progress(10, 1) as progress:
            progress.show(1.0, 0.5)
            texts = []
            compile_notice.notice.bars[-1] = progress._bar.show_text = texts.append
            compile_something()
            assert texts == [TEXT, ""]

    shown(monkeypatch, work)


def fit(verbose):
    fastmlp.MLP((2, 3, 1), random_state=0).fit(XOR_X, XOR_Y, epochs=2, verbose=verbose)


def fit_nets(sizes, verbose):
    fastmlp.Population(sizes, 2, random_state=0).fit(XOR_X, XOR_Y, epochs=2, verbose=verbose)


def classify():
    from fastmlp import MLPClassifier

    MLPClassifier((3,), max_iter=300, tol=1.0, random_state=0).fit(XOR_X, XOR_Y)


def fit_within(outer):
    with notices(outer):
        fit(not outer)


CASES = {
    "a net": (lambda: fit(1), True),
    "the outermost decides": (lambda: fit_within(True), True),
    "the outermost is silent": (lambda: fit_within(False), False),
    "a prediction": (lambda: fastmlp.MLP((2, 3, 1), random_state=0).predict(XOR_X), True),
    "lanes": (lambda: fit_nets((2, 2, 1), 1), True),
    "silent lanes": (lambda: fit_nets((2, 2, 1), 0), False),
    "a silent sweep": (lambda: fastmlp.sweep(XOR_X, XOR_Y, {}, n=1, cv=2, epochs=1, verbose=0), False),
    "an estimator": (classify, True),
}


@pytest.mark.parametrize("work, expected", CASES.values(), ids=CASES)
def test_every_entry_point_shows_the_notice_unless_silent(work, expected, at_once, monkeypatch):
    """Every kernel call is announced, as if the kernel were compiled."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    work()  # compiles the kernels
    found = call.compiled_kernel

    def announcing(*arguments):
        with notify_listeners():
            return found(*arguments)

    for module in [m for name, m in sys.modules.items() if name.startswith("fastmlp.kernels.")]:
        if getattr(module, "compiled_kernel", None) is found:
            monkeypatch.setattr(module, "compiled_kernel", announcing)
    fastmlp.execution.buffer_cache.buffers.forget()
    assert (TEXT in shown(monkeypatch, work)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_process_resets_the_notice(fresh_python):
    """The child's lock is free even if another thread held it during the fork."""
    done = fresh_python(
        "import os, sys\nfrom fastmlp.console.compile_notice import notice\nnotice.bars.append(print)\n"
        "with notice._lock:\n    child = os.fork()\nif child:\n    sys.exit(os.waitpid(child, 0)[1])\n"
        "notice._finish()\nassert notice.bars == []\n"
    )
    assert done.returncode == 0, done.stderr
