"""Per-thread cache of buffers and worker threads.

The next fit or prediction of the same shapes reuses them: it allocates nothing and starts no threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

MOST_BYTES = 2**28  # size up to which a fit's buffers are kept


class BufferCache(threading.local):
    """Buffers and thread teams of one Python thread.

    plan, team : plan and thread team of the last evaluation on the host
    prediction : parameters, number of samples, prepared call and network of the last prediction
    released : buffers that no fit uses at present: the plan of one net, a population's buffers, thread teams
    """

    plan: Any = None
    team: Any = None
    prediction: tuple[Any, int, Any, Any] = None, 0, None, None

    def __init__(self):
        self.released: dict[str, tuple[tuple, Any]] = {}  # use: (key, buffers)

    def acquire(self, use: str, key: tuple) -> Any:
        """Return the buffers released for this use, if they were made for the same key; None otherwise.

        They leave the cache, so that no other fit can use them at the same time.
        """
        released_key, found = self.released.pop(use, ((), None))
        return found if released_key == key else None

    def release(self, use: str, key: tuple, what: Any, n_bytes: int) -> None:
        """Keep buffers for the next fit on this thread, unless they are larger than MOST_BYTES."""
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

    def evaluation_team(self, backend: ModuleType, n_threads: int) -> Any:
        """Return the thread team of the last evaluation, which is kept as long as its plan."""
        if self.team is None:
            self.team = backend.ThreadTeam(n_threads)
        return self.team

    def forget_evaluation(self) -> None:
        self.plan = self.team = None
        self.prediction = None, 0, None, None

    def forget(self) -> None:
        self.forget_evaluation()
        self.released.clear()


buffers = BufferCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=buffers.forget)  # a child process has none of the threads
