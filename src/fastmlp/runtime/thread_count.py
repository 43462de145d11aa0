"""Number of CPU threads of fits and predictions: by the environment, by the machine, or as a task of an executor."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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


class _ThreadLimit(threading.local):
    n_threads: int | None = None  # that a task of an executor may use


_limit = _ThreadLimit()


@contextmanager
def using_threads(n_threads: int) -> Iterator[None]:
    """Context in which this thread's fits and predictions have so many threads, unless FASTMLP_NUM_THREADS is set."""
    before, _limit.n_threads = _limit.n_threads, n_threads
    try:
        yield
    finally:
        _limit.n_threads = before


def n_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def n_threads_available() -> int:
    """Return the number of CPU threads to use.

    It is FASTMLP_NUM_THREADS if set, else that of using_threads, else the number of processors that this process may
    use, at most OMP_NUM_THREADS.
    """
    if n_threads := threads_setting() or _limit.n_threads:
        return n_threads
    openmp_setting = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return (
        min(int(openmp_setting[:9]), n_processors())
        if openmp_setting.isdecimal() and int(openmp_setting[:9]) > 0
        else n_processors()
    )
