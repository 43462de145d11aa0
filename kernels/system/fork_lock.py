"""The lock that a fork waits for.

The child has only the thread that forked, so a lock held by another thread would never be released there.
"""

from __future__ import annotations

import logging  # noqa: F401  # see below
import os
import threading

PATIENCE = 120.0  # seconds for which a fork waits for the lock; longer than any kernel takes to compile

# Held while parts of this package are imported on first use, and while a kernel is compiled or loaded. It is one lock,
# made before the first fit: a fork that waits for an import would not know of a lock that the imported module makes.
FORK_LOCK = threading.RLock()


def _hold_while_forking() -> None:
    """Register the lock: a fork waits until no other thread holds it, and it is free in the child.

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
        if FORK_LOCK.acquire(timeout=PATIENCE):
            held.append(True)

    def release() -> None:
        if held:
            held.pop()
            FORK_LOCK.release()

    def free() -> None:
        if held:
            release()
        else:
            FORK_LOCK._at_fork_reinit()  # type: ignore[attr-defined]  # as the standard library does with its own locks

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=acquire, after_in_parent=release, after_in_child=free)


_hold_while_forking()
