"""File lock between processes: one does the work, the others wait and find its result (`with acquire(path)`)."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..system import interrupts
from .cache_dir import FILE_MODE, make_folder

try:
    import fcntl
except ImportError:  # Windows: no process waits
    fcntl = None  # type: ignore[assignment]

PATIENCE = 120.0  # seconds, longer than any kernel takes to compile; then a process stops waiting
# The lock file is opened as it is: no link is followed, no pipe waited for, no file truncated.
OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def acquire(path: Path) -> Iterator[None]:
    """Hold the lock of `path` inside this block; other processes that acquire the same path wait.

    path : a file that is used only as a lock

    Where files cannot be locked, no process waits. The lock of a process that dies is released, unless a process forked
    from it still holds it, hence PATIENCE.
    """
    until = time.monotonic() + PATIENCE
    with ExitStack() as at_the_end:
        with suppress(OSError):
            make_folder(path.parent)
            fd = os.open(path, OPEN, FILE_MODE)
            at_the_end.callback(os.close, fd)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                while not _locked(fd) and time.monotonic() < until:
                    interrupts.deliver_pending()  # Ctrl-C need not wait for another process
                    time.sleep(0.02)
                at_the_end.callback(_end, path, fd)
        yield


def _locked(fd: int) -> bool:
    """Try to take the lock without waiting; return whether that worked."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _end(path: Path, fd: int) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)  # waiting processes still hold this file open; later ones find the finished work
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_UN)
