"""What a person sees while kernels are compiled, which happens once for a kind of net and takes seconds.

It is one mechanism for fits, predictions, populations and the command: kernels.compile_time tells when a kernel is
compiled, and here it is shown, where a terminal or a notebook is watched, after SHOW_AFTER seconds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

from ..kernels.jit import compile_time
from .viewers import NOBODY, NOTEBOOK, NotebookText, watcher

TEXT = "Compiling for this processor, once for this kind of net ..."
SHOW_AFTER = 0.3  # seconds; what is sooner done needs no words


class _Decision(threading.local):
    # The outermost CompileNotices, which a Ctrl-C on the way into its block must not leave here; None: nobody has
    # decided, as in predictions, and it is shown.
    holder: Callable[[], CompileNotices | None] = staticmethod(lambda: None)


_decision = _Decision()


class CompileNotices:
    """`with CompileNotices(shown)`: whether compiling is shown while inside, in this thread. The outermost one decides:
    an estimator's does for the fit in it, whose verbose=0 only keeps the bar away.
    """

    def __init__(self, shown: bool):
        self.shown = shown

    def __enter__(self) -> CompileNotices:
        if _decision.holder() is None:
            _decision.holder = weakref.ref(self)
        return self

    def __exit__(self, *_: object) -> None:
        if _decision.holder() is self:
            _decision.holder = _Decision.holder


def _is_wanted() -> bool:
    outermost = _decision.holder()
    return outermost is None or outermost.shown


class Notice:
    """`notice(True)` when a kernel is about to be compiled, `notice(False)` when that is done, from one thread."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is being shown, as in a process that was forked from one where something was."""
        self.bars: list[Callable[[str], None]] = []  # of open bars: what writes into them
        self.line: NotebookText | None = None  # in the output of the present cell
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._end: Callable[[float], None] | None = None  # takes away what is shown
        self._start = 0.0
        self._compiled: float = 0.0  # seconds, of which the line tells

    def __call__(self, begins: bool) -> None:
        if not begins:
            self._finish()
        elif _is_wanted() and watcher() != NOBODY and not _is_worker() and not _is_taken():
            self._start = time.perf_counter()
            if SHOW_AFTER <= 0:
                self._show()
            else:
                self._timer = threading.Timer(SHOW_AFTER, self._show)
                self._timer.daemon = True
                self._timer.start()

    def take_line(self) -> NotebookText | None:
        """The line that was shown in the present cell, for a bar to go on with."""
        line, self.line, self._compiled = self.line, None, 0.0
        return line if line is not None and line.is_of_this_cell else None

    def _show(self) -> None:
        with self._lock, suppress(Exception):  # a closed stream is no reason not to compile
            if not self._start:
                return
            if self.bars:
                say = self.bars[-1]
                say(TEXT)
                self._end = lambda seconds: say("")
            elif watcher() == NOTEBOOK:
                self._end = self._show_in_cell()
            else:
                sys.stderr.write(f"\r{TEXT}")
                sys.stderr.flush()
                self._end = _erase

    def _show_in_cell(self) -> Callable[[float], None]:
        if self.line is None or not self.line.is_of_this_cell:
            self.line, self._compiled = NotebookText(), 0.0
        line = self.line
        line.write(TEXT)

        def end(seconds: float) -> None:
            self._compiled += seconds
            line.write(f"Compiled for this processor in {self._compiled:.1f} s, once for this kind of net.")

        return end

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock, suppress(Exception):
            end, seconds = self._end, time.perf_counter() - self._start
            self._timer, self._end, self._start = None, None, 0.0
            if end is not None:
                end(seconds)


def _erase(seconds: float) -> None:
    sys.stderr.write("\r" + " " * len(TEXT) + "\r")
    sys.stderr.flush()


def _is_taken() -> bool:
    """Whether a display of rich, such as that of `fastmlp reproduce`, has the terminal."""
    return type(sys.stderr).__name__ == "FileProxy" and not notice.bars


def _is_worker() -> bool:
    """Whether another process waits for this one, as that of a search does for its workers'."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


notice = Notice()
compile_time.listeners.append(notice)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice.forget)  # what another thread was showing is not shown there
