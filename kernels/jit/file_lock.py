"""Processes that take turns at what the others need not do after the first: `with turn(path)`."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from . import interrupts
from .cache_dir import FILE_MODE, make_folder

try:
    import fcntl
except ImportError:  # Windows: nobody waits
    fcntl = None  # type: ignore[assignment]

PATIENCE = 120.0  # seconds, in which any kernel is compiled; after them nobody waits any longer
# A lock is opened as it is: a link that lies in its place is not followed, a pipe not waited for, a file not emptied.
OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def acquire(path: Path) -> Iterator[None]:
    """While inside, other processes wait before they enter with the same path, that of a file which is nothing else.

    Where files cannot be locked nobody waits. The lock of a process that dies is free, unless one that was forked from
    it meanwhile has it too, hence PATIENCE.
    """
    until = time.monotonic() + PATIENCE
    with ExitStack() as at_the_end:
        with suppress(OSError):
            make_folder(path.parent)
            fd = os.open(path, OPEN, FILE_MODE)
            at_the_end.callback(os.close, fd)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                while not _locked(fd) and time.monotonic() < until:
                    interrupts.let_through()  # Ctrl-C need not wait for another process
                    time.sleep(0.02)
                at_the_end.callback(_end, path, fd)
        yield


def sweep(folder: Path) -> None:
    """Remove locks that processes have left that died before their turn ended; those that nobody waits for any more."""
    for path in folder.glob("*.lock"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > PATIENCE:
                path.unlink()


def _locked(fd: int) -> bool:
    """Whether the lock could be had at once."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _end(path: Path, fd: int) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)  # who waits at it has its turn yet, and who comes later finds what has been done
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_UN)
