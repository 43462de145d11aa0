"""Deferred Ctrl-C: inside `with deferred():`, SIGINT is recorded and takes effect at the end of the block.

Numba and LLVM cannot be interrupted safely. A KeyboardInterrupt while Numba was being imported left half of its modules
missing for the rest of the process, and one during compilation left Numba's tables inconsistent. A deferred interrupt
is delivered when the kernel is compiled and stored, so that the next call continues from there.
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
    """SIGINT handler inside a block: it records the signal."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any], notice: str):
        self.handler, self.notice = handler, notice
        self.came: list[FrameType | None] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.notice and not self.came:
            with suppress(Exception):  # stderr may be closed, or be in the middle of another write
                print(f"\n{self.notice}", file=sys.stderr, flush=True)
        self.came.append(frame)

    def deliver(self) -> None:
        """Call the original handler once if a signal has come, however often it came."""
        if self.came:
            frame = self.came[0]
            self.came.clear()
            self.handler(signal.SIGINT, frame)


@contextmanager
def deferred(notice: str = "") -> Iterator[None]:
    """Defer SIGINT until the end of this block; then the original handler is called, which raises KeyboardInterrupt.

    notice : text printed on stderr when the first SIGINT comes; empty for none

    Only handlers that are Python functions can be deferred, and only in the main thread, which Python calls them in.
    Nothing is done in other threads, and where SIGINT is ignored, ends the process or has a C handler. Blocks may be
    nested: the outermost one counts. A second Ctrl-C also waits: it would do the damage that the first was kept from
    doing.
    """
    handler, deferral = signal.getsignal(signal.SIGINT), None
    if callable(handler) and not isinstance(handler, _Deferral):
        with suppress(ValueError):  # not the main thread
            # From here on nothing can raise: an interrupt calls the new handler.
            signal.signal(signal.SIGINT, deferral := _Deferral(handler, notice))
    if deferral is None or signal.getsignal(signal.SIGINT) is not deferral:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, deferral.handler)
        deferral.deliver()


def deliver_pending() -> None:
    """Deliver a pending SIGINT, at a point inside a `deferred` block where no work is half done."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Deferral) and threading.current_thread() is threading.main_thread():
        handler.deliver()


def _restore_handler() -> None:
    """Restore SIGINT in a forked child: its thread may be another one than that of the block, and never end it."""
    handler = signal.getsignal(signal.SIGINT)
    if isinstance(handler, _Deferral) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler.handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_handler)
