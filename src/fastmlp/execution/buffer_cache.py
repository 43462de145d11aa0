"""Per-thread cache of buffers and worker threads.

The next fit, evaluation or prediction of the same shapes acquires them, and releases them at its end: it allocates
nothing and starts no threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

MOST_BYTES = 2**28  # size up to which buffers are kept


class BufferCache(threading.local):
    """Buffers and thread teams of one Python thread that no fit, evaluation or prediction of it uses at present.

    A use is a kind of buffers, such as the plan of a fit of one net; the buffers released last for a use are kept.
    """

    def __init__(self):
        self.released: dict[str, tuple[tuple, Any]] = {}  # use: (key, buffers)

    def acquire(self, use: str, key: tuple) -> Any:
        """Return the buffers released for this use, if they were made for the same key; None otherwise.

        They leave the cache, so that no other fit or evaluation can use them at the same time.
        """
        released_key, what = self.released.pop(use, ((), None))
        return what if released_key == key else None

    def release(self, use: str, key: tuple, what: Any, n_bytes: int) -> None:
        """Keep buffers for the next acquire of this use on this thread, unless they are larger than MOST_BYTES."""
        if n_bytes <= MOST_BYTES:
            self.released[use] = key, what

    @contextmanager
    def borrow_team(self, backend: ModuleType, n_threads: int) -> Iterator[Any]:
        """Context with a thread team from the cache, or a new one. An exception inside ends the team."""
        use = f"team of {n_threads}"
        team = self.acquire(use, (backend,)) or backend.ThreadTeam(n_threads)
        try:
            yield team
        except BaseException:
            team.end()
            raise
        team.forget()
        self.release(use, (backend,), team, 0)

    def forget(self) -> None:
        self.released.clear()


buffers = BufferCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=buffers.forget)  # a child process has none of the threads
