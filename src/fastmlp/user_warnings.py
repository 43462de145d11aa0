"""Warnings at the user's line, however deep in the package they are issued."""

from __future__ import annotations

import sys
import warnings

# Packages whose stack frames a warning skips on its way to the user's line: this one, those that call it for the user,
# and Python's module of context managers, whose frames stand between those of this package.
SKIPPED = ("fastmlp", "sklearn", "joblib", "contextlib")


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the first stack frame outside the packages of SKIPPED."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in SKIPPED:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
