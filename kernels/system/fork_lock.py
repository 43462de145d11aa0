"""Locks that survive a fork.

The child has only the thread that forked, so a lock held by another thread would never be released there.
"""

from __future__ import annotations

import logging  # noqa: F401  # see below
import os
import threading
from typing import Any

PATIENCE = 120.0  # seconds for which a fork waits for a lock; longer than any kernel takes to compile


def hold_while_forking(lock: Any) -> Any:
    """Return the lock, registered so that a fork waits until no other thread holds it; it is free in the child.

    A fresh lock in the child would not be enough. The lock protects Numba and LLVM while another thread uses them: they
    have locks of their own, as does every module being imported, for which the child would wait, and half-filled
    tables. So a fork waits until the current kernel is compiled, usually seconds, and the child starts in a consistent
    state.

    Functions registered to run before a fork run in reverse order of registration. Numba logs while it compiles, so the
    lock of `logging` has to be taken after this one; `logging` is imported here for that reason. If the wait times out
    or is interrupted, the process forks anyway, and the child gets a fresh lock.
    """
    held: list[bool] = []  # used only by the forking thread: the others wait for the lock

    def acquire() -> None:
        if lock.acquire(timeout=PATIENCE):
            held.append(True)

    def release() -> None:
        if held:
            held.pop()
            lock.release()

    def free() -> None:
        if held:
            release()
        else:
            lock._at_fork_reinit()  # as the standard library does with its own locks

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=free)
    return lock


IMPORTING = hold_while_forking(threading.RLock())  # held while parts of this package are imported on first use
