"""How long a thread has waited for machine code, and who is told while a kernel is being compiled.

Nothing is printed here: a listener (fastmlp.console.compile_notice has one) shows it to whoever watches.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Thread(threading.local):
    seconds = 0.0
    depth = 0  # waiting is counted once, where what compiles one kernel asks for another


_here = _Thread()
listeners: list[Callable[[bool], None]] = []  # called with True when a kernel is about to be compiled, and with False


def waited() -> float:
    """Seconds for which this thread has compiled kernels, loaded them, or waited until another one had."""
    return _here.seconds


def wait_for_others(seconds: float) -> None:
    """Count this too: other threads have waited for kernels, and this one for them."""
    _here.seconds += seconds


@contextmanager
def counted() -> Iterator[None]:
    """The time inside belongs to what waited() tells."""
    start, _here.depth = time.perf_counter(), _here.depth + 1
    try:
        yield
    finally:
        _here.depth -= 1
        if not _here.depth:
            _here.seconds += time.perf_counter() - start


@contextmanager
def announced() -> Iterator[None]:
    """Inside, a kernel is compiled, here or by another process that this one waits for: it may take seconds."""
    for tell in listeners:
        tell(True)
    try:
        yield
    finally:
        for tell in listeners:
            tell(False)
