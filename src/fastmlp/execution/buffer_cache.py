"""What fits and predictions of a thread leave for its next ones, if they are alike: those allocate nothing and start no
threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

MOST_BYTES = 2**28  # of what a fit leaves


class BufferCache(threading.local):
    """The plan of this thread's last evaluation on the host, and its team; of its last prediction the parameters, the
    number of samples, what repeats it, and the network. And what its last fits have left while none has it: the plan of
    one net, a population's buffers, a team.
    """

    plan: Any = None
    team: Any = None
    prediction: tuple[Any, int, Any, Any] = None, 0, None, None

    def __init__(self):
        self.released: dict[str, tuple[tuple, Any]] = {}  # by its use: what it was made for, and what is left

    def acquire(self, use: str, key: tuple) -> Any:
        """What the last fit has left for this use, if it was made for the same; None else. It is nobody else's then."""
        released_key, found = self.released.pop(use, ((), None))
        return found if released_key == key else None

    def release(self, use: str, key: tuple, what: Any, n_bytes: int) -> None:
        """For the next fit on this thread, unless it is too large to be kept."""
        if n_bytes <= MOST_BYTES:
            self.released[use] = key, what

    @contextmanager
    def borrow_team(self, backend: ModuleType, n_ranks: int) -> Iterator[Any]:
        """Inside of it, a team of this thread's; one that an exception has passed through is ended."""
        use = f"team of {n_ranks}"
        team = self.acquire(use, (backend,)) or backend.ThreadTeam(n_ranks)
        try:
            yield team
        except BaseException:
            team.end()
            raise
        team.forget()
        self.release(use, (backend,), team, 0)

    def evaluation_team(self, backend: ModuleType, n_ranks: int) -> Any:
        """That of this thread's last evaluation, which is kept as long as its plan is."""
        if self.team is None:
            self.team = backend.ThreadTeam(n_ranks)
        return self.team

    def forget_evaluation(self) -> None:
        self.plan = self.team = None
        self.prediction = None, 0, None, None

    def forget(self) -> None:
        self.forget_evaluation()
        self.released.clear()


buffers = BufferCache()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=buffers.forget)  # where no team's threads are
