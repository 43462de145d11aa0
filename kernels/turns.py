"""Processes that take turns at what the others need not do after the first: `with turn(path)`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from . import interrupts

try:
    import fcntl
except ImportError:  # Windows: nobody waits
    fcntl = None  # type: ignore[assignment]

PATIENCE = 120.0  # seconds, in which any kernel is compiled; after them nobody waits any longer


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """While inside, other processes wait before they enter with the same path, that of a file which is nothing else.

    Where files cannot be locked nobody waits. The lock of a process that dies is free, unless one that was forked from
    it meanwhile has it too, hence PATIENCE.
    """
    until = time.monotonic() + PATIENCE
    with ExitStack() as at_the_end:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = at_the_end.enter_context(path.open("wb"))
            while not _locked(file) and time.monotonic() < until:
                interrupts.let_through()  # Ctrl-C need not wait for another process
                time.sleep(0.02)
            at_the_end.callback(_end, path, file)
        yield


def _locked(file: IO[bytes]) -> bool:
    """Whether the lock could be had at once."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _end(path: Path, file: IO[bytes]) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)  # who waits at it has its turn yet, and who comes later finds what has been done
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_UN)
