"""What fits and predictions of a thread leave for its next ones, if they are alike: those allocate nothing."""

from __future__ import annotations

import os
import threading
from typing import Any

MOST_BYTES = 2**28  # of what a fit leaves


class Leftovers(threading.local):
    """The plan of this thread's last evaluation on the host, and its team: who predicts again starts no threads. And
    what its last fits have left, the plan of one net and a population's buffers, while no fit has them.
    """

    plan: Any = None
    team: Any = None

    def __init__(self):
        self.left: dict[str, tuple[tuple, Any]] = {}  # by its use: what it was made for, and what is left

    def take(self, use: str, made_for: tuple) -> Any:
        """What the last fit has left for this use, if it was made for the same; None else. It is nobody else's then."""
        left_by, found = self.left.pop(use, ((), None))
        return found if left_by == made_for else None

    def leave(self, use: str, made_for: tuple, what: Any, n_bytes: int) -> None:
        """For the next fit on this thread, unless it is too large to be kept."""
        if n_bytes <= MOST_BYTES:
            self.left[use] = made_for, what

    def forget_evaluation(self) -> None:
        self.plan = self.team = None


leftovers = Leftovers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leftovers.forget_evaluation)  # where the team's threads are not
