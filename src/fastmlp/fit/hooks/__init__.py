"""Hooks of the fit loop: whatever looks at a fit, or ends it, between two kernel calls.

A hook is made for one fit. loop.py lists the hooks of a fit, in the order in which they are asked; one that a fit does
not need is not in its list.
"""

from __future__ import annotations

from typing import Any


class Hook:
    """Base class of the hooks; only methods that a hook has of its own are called."""

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

        reason : as `stopped_by`
        """
        return reason

    def state(self) -> dict[str, Any]:
        """Return copies of the arrays from which the hook of another fit can go on, in the host's memory."""
        return {}

    def go_on_from(self, state: dict[str, Any], n_epochs: int) -> None:
        """Go on where a fit of the same net, rows and settings was, after n_epochs epochs; state : of all its hooks"""

    def close(self) -> None:
        """Release what the hook holds, after the fit."""
