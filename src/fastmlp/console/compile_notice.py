"""Notice to the user while kernels are compiled, which happens once for each kind of net and takes seconds.

There is one mechanism for fits, predictions, populations and the command line: kernels/jit/compile_time.py calls its
listeners when a kernel is compiled, and the listener here shows a notice after SHOW_AFTER seconds, if the program runs
in a terminal or a notebook.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from ..kernels.jit import compile_time
from .output_target import NOTEBOOK, NOWHERE, NotebookText, output_target

TEXT = "Compiling for this processor, once for this kind of net ..."
SHOW_AFTER = 0.3  # seconds; a shorter compilation needs no notice


class Notice:
    """Listener that shows the notice: called with True before a kernel is compiled, with False after, in one thread."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset to the state in which nothing is shown, as in a process that was forked while a notice was shown."""
        self.bars: list[Callable[[str], None]] = []  # functions that write a text into the open progress bars
        self._lock = threading.Lock()
        self._line: NotebookText | None = None  # the notice in the output of a cell
        self._timer: threading.Timer | None = None
        self._write: Callable[[str], None] | None = None  # writes into what shows the notice

    def __call__(self, begins: bool) -> None:
        if not begins:
            self._finish()
        elif compile_time.shows_notices() and output_target() != NOWHERE and not _is_worker():
            self._timer = threading.Timer(SHOW_AFTER, self._show)
            self._timer.daemon = True
            self._timer.start()

    def _show(self) -> None:
        with self._lock, suppress(Exception):  # a closed stream must not stop the compilation
            if self._timer is None:  # the kernel has been compiled meanwhile
                return
            if self.bars:
                self._write = self.bars[-1]
            elif output_target() == NOTEBOOK:
                if self._line is None or not self._line.is_in_current_cell:
                    self._line = NotebookText()
                self._write = self._line.write
            else:
                self._write = _write_on_terminal
            self._write(TEXT)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock, suppress(Exception):
            write, self._write, self._timer = self._write, None, None
            if write is not None:
                write("")


def _write_on_terminal(text: str) -> None:
    """Write the notice, or erase it."""
    sys.stderr.write(f"\r{text}" if text else f"\r{' ' * len(TEXT)}\r")
    sys.stderr.flush()


def _is_worker() -> bool:
    """Return whether this is a child process of multiprocessing, such as a worker of a hyper-parameter search."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


notice = Notice()
compile_time.listeners.append(notice)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice.forget)  # threads that showed a notice do not exist in the child
