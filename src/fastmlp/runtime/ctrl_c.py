"""Ctrl-C during a fit: a flag that fits read between two kernel calls.

The first Ctrl-C sets the flag, so that the fit ends with whatever it has reached. A second one raises KeyboardInterrupt
at once, which ends the fit as any exception does. A handler of somebody else's is left alone, and so is SIGINT outside
of the main thread, where Python delivers no signals.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np


class StopFlag:
    """Flag that ends fits. No `threading.Event`: a signal handler must not wait for a lock.

    outer : flag that ends these fits, too
    """

    def __init__(self, outer: StopFlag | None = None):
        self._is_set, self._outer = False, outer

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set or (self._outer is not None and self._outer.is_set())

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGINT."""
        if self._is_set:
            signal.default_int_handler(number, frame)
        self._is_set = True


class _OfThread(threading.local):
    flag: StopFlag | None = None  # of the fits of this thread


_here = _OfThread()


@contextmanager
def stop_flag() -> Iterator[StopFlag]:
    """Context in which Ctrl-C sets the flag that it yields; inside another one, the flag is that of the outer one."""
    if _here.flag is not None:
        yield _here.flag
        return
    flag = StopFlag()
    takes_signals = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    )
    if takes_signals:
        signal.signal(signal.SIGINT, flag.on_signal)
    _here.flag, error_settings = flag, np.geterr()
    try:
        yield flag
    except BaseException:
        np.seterr(**error_settings)  # a second Ctrl-C within np.errstate would leave other ones
        raise
    finally:
        _here.flag = None
        if takes_signals:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt if the flag of this thread's fits is set, where a fit has changed nothing yet."""
    if _here.flag is not None and _here.flag.is_set():
        raise KeyboardInterrupt


@contextmanager
def ending_with(flag: StopFlag) -> Iterator[None]:
    """Context in which fits of this thread end once a flag is set, as after Ctrl-C."""
    before, _here.flag = _here.flag, flag
    try:
        yield
    finally:
        _here.flag = before
