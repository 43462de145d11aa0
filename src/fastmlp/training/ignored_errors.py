"""Calls with NumPy's floating-point errors ignored, which Ctrl-C cannot leave ignored in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from numpy import errstate


def ignoring_errors(function: Callable, *arguments: Any) -> Any:
    """Return function(*arguments), with NumPy's floating-point errors ignored.

    The function runs in a copy of the context, of which NumPy's error state is a part. A KeyboardInterrupt inside the
    methods of `errstate` itself would otherwise leave the state of the caller changed.
    """
    return copy_context().run(_ignoring, function, *arguments)


def _ignoring(function: Callable, *arguments: Any) -> Any:
    with errstate(all="ignore"):
        return function(*arguments)
