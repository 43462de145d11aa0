"""Base class of the hooks, and the fit that a hook is made for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...console.progress_bar import Progress
    from ...execution.plan import Plan


class Hook:
    """Base class of the hooks, which are made from a Fit; only methods that a hook has of its own are called."""

    def limit(self, n: int) -> int:
        """Return the number of steps that the next kernel call may have: n or fewer.

        0 ends the fit: out of time, unless `end` names another reason.
        """
        return n

    def after(self) -> str:
        """Look at the fit after a kernel call; return why the fit ends, or ""."""
        return ""

    def end(self, reason: str) -> str:
        """Look at a fit that ends; return why it ends: `reason`, or another one that was found.

        reason : str     value of `stopped_by`
        """
        return reason

    def state(self) -> dict[str, Any]:
        """Return copies of the arrays from which the hook of another fit can go on, in the host's memory."""
        return {}

    def go_on_from(self, state: dict[str, Any], n_epochs: int) -> None:
        """Go on where a fit of the same net, rows and settings was, after n_epochs epochs; state : of all its hooks"""

    def close(self) -> None:
        """Release what the hook holds, after the fit."""


@dataclass
class Fit:
    """The fit of an engine, with what its hooks use."""

    engine: Any  # OneNet or Lanes
    progress: Progress | None = None  # display
    validation_plan: Plan | None = None  # for the evaluation of the held-out samples, which its maker releases
    saver: Any = None  # Saver of checkpoint.py, or None
    hooks: list[Hook] = field(default_factory=list)
