"""Ctrl-C during a fit: a flag that fits read between two kernel calls.

The first Ctrl-C sets the flag, so that the fit ends with whatever it has reached. A second one raises KeyboardInterrupt
at once, which ends the fit as any exception does. A handler of somebody else's is left alone, and so is SIGINT outside
of the main thread, where Python delivers no signals.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` searches enumerations: a twentieth of a short fit
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


class stop_flag:  # a context manager; one by contextlib takes longer than it does
    """Context in which Ctrl-C sets the flag that it returns; inside another one, the flag is that of the outer one."""

    def __enter__(self) -> StopFlag:
        outer, self._takes_signals = _here.flag, False
        self._is_inner = outer is not None
        if outer is not None:
            return outer
        flag, self._error_settings = StopFlag(), np.geterr()
        if (
            _signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and threading.current_thread() is threading.main_thread()
        ):
            self._takes_signals = True
            _signal.signal(signal.SIGINT, flag.on_signal)
        _here.flag = flag
        return flag

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_inner:
            return
        if kind is not None:
            np.seterr(**self._error_settings)  # a second Ctrl-C within np.errstate would leave other ones
        _here.flag = None
        if self._takes_signals:
            _signal.signal(signal.SIGINT, signal.default_int_handler)


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
