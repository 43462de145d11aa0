"""Ctrl-C where it must not strike: inside `with deferred():` SIGINT waits, and takes effect at the end of the block.

Numba and LLVM cannot be left in the middle of their work. A KeyboardInterrupt while Numba was being imported left it
without half of its modules for as long as the process lived, and one while a kernel was compiled left Numba's tables in
disorder. Deferred, the interrupt comes when the kernel is compiled and kept, so that the next call goes on from there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any


class _Deferral:
    """The handler of SIGINT inside a block: it takes note."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any], notice: str):
        self.handler, self.notice = handler, notice
        self.came: list[FrameType | None] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.notice and not self.came:
            with suppress(Exception):  # stderr may be closed, or be written to at this very moment
                print(f"\n{self.notice}", file=sys.stderr, flush=True)
        self.came.append(frame)

    def deliver(self) -> None:
        """Call the handler that would have been called, if a signal has come: once, however often it came."""
        if self.came:
            frame = self.came[0]
            self.came.clear()
            self.handler(signal.SIGINT, frame)


@contextmanager
def deferred(notice: str = "") -> Iterator[None]:
    """Inside of it, SIGINT waits; at its end the handler that was there is called, which raises KeyboardInterrupt.

    notice : printed on stderr when the first SIGINT comes, for whoever waits for an answer

    Only Python's own handlers can be deferred, and only in the main thread, the one that Python calls them in.
    Elsewhere, and where SIGINT is ignored, ends the process or has a handler from C, nothing is done. Blocks may be
    nested: the outermost one counts. A second Ctrl-C waits too: it would do the damage that the first was kept from.
    """
    handler, deferral = signal.getsignal(signal.SIGINT), None
    if callable(handler) and not isinstance(handler, _Deferral):
        with suppress(ValueError):  # not the main thread
            # From here on nothing can be raised: who interrupts calls the new handler.
            signal.signal(signal.SIGINT, deferral := _Deferral(handler, notice))
    if deferral is None or signal.getsignal(signal.SIGINT) is not deferral:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, deferral.handler)
        deferral.deliver()


def let_through() -> None:
    """A point inside of `deferred` where nothing is half done, as in a wait: a signal that has come is handled."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Deferral) and threading.current_thread() is threading.main_thread():
        handler.deliver()


def _restore_handler() -> None:
    """In a child that another thread has forked: its main thread is in no block, but has the handler of one."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Deferral) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler.handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_handler)
