"""Locks across a fork: the child has only the thread that forked, so a lock that another thread held would never be
free there.
"""

from __future__ import annotations

import logging  # noqa: F401  # see below
import os
from typing import Any

PATIENCE = 120.0  # seconds that a fork waits for a lock, in which any kernel is compiled


def hold_while_forking(lock: Any) -> Any:
    """The same lock, of threading. A fork waits until no other thread has it, and finds it free in the child.

    A fresh lock in the child would not be enough. What our lock protects is Numba and LLVM at work for another thread:
    they have locks of their own, and so has every module that is being imported, which the child would wait for, and
    tables that are half filled. So a fork waits for the kernel that is being compiled, seconds as a rule, and the child
    begins with everything whole.

    Functions to be called before a fork are called from the last registered to the first. Numba logs while it compiles,
    so the lock of `logging`, which is imported here for that reason, has to be taken after this one. If the wait is too
    long or is interrupted, the process forks all the same, and the child gets a lock that is free.
    """
    held: list[bool] = []  # of the thread that forks: the others wait for the lock

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
            lock._at_fork_reinit()  # as the standard library does with its own

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=free)
    return lock
