"""The compile notice: a line on a terminal or in a notebook while kernels are compiled."""

import io
import multiprocessing
import os
import sys
import threading

import pytest
from fake_terminal import Terminal
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.console import compile_notice
from fastmlp.console.compile_notice import TEXT, CompileNotices, Notice
from fastmlp.console.progress_bar import Progress
from fastmlp.kernels.jit import call
from fastmlp.kernels.jit.compile_time import notify_listeners


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(compile_notice, "SHOW_AFTER", 0.0)


def shown(monkeypatch, work, stream=None):
    stream = stream or Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        work()
    return stream.getvalue()


def compile_something():
    with notify_listeners():
        pass


def test_notice_is_shown_while_compiling_and_erased_after(at_once, monkeypatch):
    seen = []
    stream = Terminal()

    def work():
        with notify_listeners():
            seen.append(stream.getvalue())

    text = shown(monkeypatch, work, stream)
    assert seen == [f"\r{TEXT}"]
    assert text == f"\r{TEXT}\r{' ' * len(TEXT)}\r"


def test_short_compilation_shows_no_notice(monkeypatch):
    monkeypatch.setattr(compile_notice, "SHOW_AFTER", 3600.0)
    assert shown(monkeypatch, compile_something) == ""
    assert not [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and thread.is_alive() and not thread.finished.is_set()
    ]


def test_notice_is_shown_from_a_timer_thread(monkeypatch):
    """A thread writes the notice, since the compiler reports nothing in between."""
    monkeypatch.setattr(compile_notice, "SHOW_AFTER", 0.001)
    there = threading.Event()

    class SignallingTerminal(Terminal):
        def flush(self):
            there.set()

    def work():
        with notify_listeners():
            assert there.wait(60)

    assert TEXT in shown(monkeypatch, work, SignallingTerminal())


class Closed(Terminal):
    def write(self, text):
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("where", ["a file", "a closed stream", "a worker process"])
def test_no_notice_and_no_error_where_nobody_reads_it(where, at_once, monkeypatch):
    if where == "a worker process":
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    streams = {"a file": io.StringIO(), "a closed stream": Closed(), "a worker process": Terminal()}
    assert shown(monkeypatch, compile_something, streams[where]) == ""


def test_outermost_call_decides_on_notices(at_once, monkeypatch):
    def nested(outer, inner):
        with CompileNotices(outer), CompileNotices(inner):
            compile_something()

    assert shown(monkeypatch, lambda: nested(False, True)) == ""
    assert TEXT in shown(monkeypatch, lambda: nested(True, False))
    assert TEXT in shown(monkeypatch, compile_something), "the settings of outer calls must have ended"


def test_open_progress_bar_shows_the_notice(at_once, monkeypatch):
    monkeypatch.setattr("fastmlp.console.progress_bar.SHOW_AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")

    def work():
        with Progress(10, 1) as progress:
            progress.show(1.0, 0.5)
            texts = []
            monkeypatch.setattr(progress._bar, "show_text", texts.append)
            compile_notice.notice.bars[-1] = progress._bar.show_text
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


def xor():
    from fastmlp.commands.xor_demo import NETS

    NETS[3].train(0)


CASES = [
    (lambda: fit(1), True),
    (lambda: fit(0), False),
    (lambda: fit(2), True),
    (lambda: fastmlp.MLP((2, 3, 1), random_state=0).predict(XOR_X), True),
    (lambda: fit_nets((2, 2, 1), 1), True),
    (lambda: fit_nets((2, 2, 1), 0), False),
    (lambda: fit_nets((2, 100, 1), 1), True),
    (lambda: fit_nets((2, 100, 1), 0), False),
    (lambda: fastmlp.sweep(XOR_X, XOR_Y, {}, n=1, cv=2, epochs=1, verbose=0), False),
    (classify, True),
    (xor, True),
]


@pytest.mark.parametrize("work, expected", CASES)
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


def test_end_event_without_a_start_is_ignored():
    notice = Notice()
    notice(False)
    assert notice.hand_over_line() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_process_resets_the_notice(fresh_python):
    """The child's lock is free even if another thread held it during the fork."""
    done = fresh_python(
        "import os, sys\nfrom fastmlp.console.compile_notice import notice\nnotice.bars.append(print)\n"
        "with notice._lock:\n    child = os.fork()\nif child:\n    sys.exit(os.waitpid(child, 0)[1])\n"
        "notice._finish()\nassert notice.bars == []\n"
    )
    assert done.returncode == 0, done.stderr
