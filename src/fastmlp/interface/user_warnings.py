"""Warnings at the user's line, however deep in the package they are issued."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local

# Packages whose stack frames a warning skips on its way to the user's line: this one, those that call it for the user,
# and Python's module of context managers, whose frames stand between those of this package.
SKIPPED = ("fastmlp", "sklearn", "joblib", "contextlib")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the first stack frame outside the packages of SKIPPED."""
    kept = getattr(_here, "kept", None)
    if kept is not None:
        kept.append((message, category))
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in SKIPPED:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def called_by_user() -> bool:
    """Return whether the method that asks was called from outside of the packages of SKIPPED.

    Callers within this package tell the user in their own words what has happened.
    """
    caller = sys._getframe(1).f_back
    return caller is None or caller.f_globals.get("__name__", "").split(".")[0] not in SKIPPED


_here = local()  # `kept`: the warnings that a thread keeps for another one


class KeptWarnings:
    """Warnings of other threads, whose stacks do not reach the user's line: kept for the thread that waits for them."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, type[Warning]]] = []

    @contextmanager
    def of_this_thread(self) -> Iterator[None]:
        """Context in which warnings of this thread are kept."""
        _here.kept = self._kept
        try:
            yield
        finally:
            _here.kept = None

    def issue(self) -> None:
        """Issue the warnings, at the line of the user that calls this thread."""
        while self._kept:
            warn_user(*self._kept.pop(0))
