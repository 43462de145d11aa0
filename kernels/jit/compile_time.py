"""Compile time: how long each thread has waited for machine code, and listeners that are told of a compilation.

Nothing is printed here: listeners show the compilation to the user (fastmlp.console.compile_notice).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Thread(threading.local):
    shown: bool | None = None  # whether listeners show a compilation to the user, as the outermost `notices` says
    seconds = 0.0
    depth = 0  # nesting depth: time is counted once if compiling one kernel requires another


_here = _Thread()
# called with True before a kernel is compiled, and with False after
listeners: list[Callable[[bool], None]] = []


def compile_seconds() -> float:
    """Return the seconds this thread has spent compiling or loading kernels, or waiting for others to do so."""
    return _here.seconds


def add_wait(seconds: float) -> None:
    """Add the time this thread has waited for other threads that waited for kernels."""
    _here.seconds += seconds


@contextmanager
def notices(shown: bool) -> Iterator[None]:
    """Context: decides whether listeners show to the user what is compiled inside the block, in this thread.

    The outermost block decides. An estimator opens one, and then calls fit with verbose=0, which only disables the
    progress bar. Outside of all blocks, as in predictions, a compilation is shown.
    """
    if _here.shown is not None:
        yield
        return
    _here.shown = shown
    try:
        yield
    finally:
        _here.shown = None


def shows_notices() -> bool:
    """Return whether listeners are to show to the user what this thread compiles."""
    return _here.shown is not False


@contextmanager
def timed() -> Iterator[None]:
    """Add the time inside this block to the result of `compile_seconds`."""
    start, _here.depth = time.perf_counter(), _here.depth + 1
    try:
        yield
    finally:
        _here.depth -= 1
        if not _here.depth:
            _here.seconds += time.perf_counter() - start


@contextmanager
def notify_listeners() -> Iterator[None]:
    """Tell the listeners that a kernel is compiled inside this block, by this process or one it waits for."""
    for tell in listeners:
        tell(True)
    try:
        yield
    finally:
        for tell in listeners:
            tell(False)


class Stopwatch:
    """Clock of one fit. `read()` returns (seconds since the start, seconds that this thread waited for kernels)."""

    def __init__(self) -> None:
        self._start, self._waited = time.perf_counter(), compile_seconds()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start, compile_seconds() - self._waited
