"""Number of CPU threads of fits and predictions: by the environment, by the machine, or as a task of an executor."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

from ..errors import shown

MOST_THREADS = 1024  # largest value of FASTMLP_NUM_THREADS


def threads_setting() -> int | None:
    """Return FASTMLP_NUM_THREADS, or None if it is not set.

    Raises
    ------
    ValueError
        If it is set, but is not a whole number from 1 to MOST_THREADS.
    """
    setting = os.environ.get("FASTMLP_NUM_THREADS", "").strip()
    if not setting:
        return None
    if setting.isdecimal() and len(setting) < 10 and 1 <= int(setting) <= MOST_THREADS:
        return int(setting)
    raise ValueError(
        f"FASTMLP_NUM_THREADS must be a whole number from 1 to {MOST_THREADS}, but the environment has "
        f"{shown(setting)}. Correct or unset it."
    )


_limit: ContextVar[int | None] = ContextVar("threads of a task of an executor", default=None)


def with_threads(n_threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function whose fits and predictions have so many threads, unless FASTMLP_NUM_THREADS is set.

    It has a context of its own, so that nothing is to be restored after an interrupt; threads that it starts have none.
    """
    context = copy_context()
    context.run(_limit.set, n_threads)
    return context.run(function, *arguments)


def n_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_threads_available() -> int:
    """Return the number of CPU threads to use.

    It is FASTMLP_NUM_THREADS if set, else that of with_threads, else the number of processors that this process may
    use, at most OMP_NUM_THREADS.
    """
    if n_threads := threads_setting() or _limit.get():
        return n_threads
    openmp_setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return (
        min(int(openmp_setting[:9]), n_processors())
        if openmp_setting.isdecimal() and int(openmp_setting[:9]) > 0
        else n_processors()
    )
