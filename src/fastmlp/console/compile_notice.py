"""Notice to the user while kernels are compiled, which happens once for each kind of net and takes seconds.

There is one mechanism for fits, predictions, populations and the command line: kernels/jit/compile_time.py calls its
listeners when a kernel is compiled, and the listener here shows a notice after SHOW_AFTER seconds, if the program runs
in a terminal or a notebook.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ..kernels.jit import compile_time
from .output_target import NOTEBOOK, NOWHERE, NotebookText, output_target

TEXT = "Compiling for this processor, once for this kind of net ..."
SHOW_AFTER = 0.3  # seconds; a shorter compilation needs no notice


_decision = threading.local()  # `shown`: whether the outermost CompileNotices of this thread shows the notice


class CompileNotices:
    """Context manager: decides whether the notice is shown inside the block, in this thread.

    The outermost block decides. An estimator opens one, and then calls fit with verbose=0, which only disables the
    progress bar. Outside of all blocks, as in predictions, the notice is shown.
    """

    def __init__(self, shown: bool):
        self.shown, self._decides = shown, False

    def __enter__(self) -> CompileNotices:
        if not hasattr(_decision, "shown"):
            _decision.shown, self._decides = self.shown, True
        return self

    def __exit__(self, *_: object) -> None:
        if self._decides:
            del _decision.shown


class Notice:
    """Listener that shows the notice: called with True before a kernel is compiled, with False after, in one thread."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset to the state in which nothing is shown, as in a process that was forked while a notice was shown."""
        self.bars: list[Callable[[str], None]] = []  # functions that write a text into the open progress bars
        self.line: NotebookText | None = None  # the notice in the output of the current cell
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._end: Callable[[float], None] | None = None  # removes the notice
        self._start = 0.0
        self._compiled: float = 0.0  # seconds of compilation that `line` shows

    def __call__(self, begins: bool) -> None:
        if not begins:
            self._finish()
        elif getattr(_decision, "shown", True) and output_target() != NOWHERE and not _is_worker() and not _is_taken():
            self._start = time.perf_counter()
            if SHOW_AFTER <= 0:
                self._show()
            else:
                self._timer = threading.Timer(SHOW_AFTER, self._show)
                self._timer.daemon = True
                self._timer.start()

    def hand_over_line(self) -> NotebookText | None:
        """Hand over the notice in the current cell to a progress bar, which reuses its line; None if there is none."""
        line, self.line, self._compiled = self.line, None, 0.0
        return line if line is not None and line.is_in_current_cell else None

    def _show(self) -> None:
        with self._lock, suppress(Exception):  # a closed stream must not stop the compilation
            if not self._start:
                return
            if self.bars:
                show_text = self.bars[-1]
                show_text(TEXT)
                self._end = lambda seconds: show_text("")
            elif output_target() == NOTEBOOK:
                self._end = self._show_in_cell()
            else:
                sys.stderr.write(f"\r{TEXT}")
                sys.stderr.flush()
                self._end = _erase

    def _show_in_cell(self) -> Callable[[float], None]:
        if self.line is None or not self.line.is_in_current_cell:
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
    """Return whether a display of rich, such as that of `fastmlp reproduce`, uses the terminal."""
    return type(sys.stderr).__name__ == "FileProxy" and not notice.bars


def _is_worker() -> bool:
    """Return whether this is a child process of multiprocessing, such as a worker of a hyper-parameter search."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


notice = Notice()
compile_time.listeners.append(notice)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice.forget)  # threads that showed a notice do not exist in the child
