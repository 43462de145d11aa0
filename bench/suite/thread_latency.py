"""Latency between two threads: the seconds that a barrier of two threads takes.

A host may move a virtual CPU to another die at any time. On the machine of the log a barrier then takes 170 ns
instead of 50, and a step of a small net with two threads 60 us instead of 44 (bench/log/threads.md#shared-cores).
Durations of two cases can only be compared if this has not changed.
"""

from __future__ import annotations

import threading
import time

import numba
import numpy as np

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what the kernels' helpers are
from fastmlp.kernels.cpu.threads.barrier import barrier_wait
from fastmlp.kernels.jit.decorators import OPTIONS
from suite.machine import cpus

# Barriers of one try. The fastest try counts, because both threads may begin on one CPU.
BARRIERS, TRIES = 20_000, 6


@numba.njit(nogil=True, **OPTIONS)
def _wait_repeatedly(barrier, n):
    barrier_count = 0
    for _ in range(n):
        barrier_count = barrier_wait(barrier, 2, barrier_count)


def _try(n: int) -> float:
    barrier = np.zeros(2, np.int64)
    other = threading.Thread(target=_wait_repeatedly, args=(barrier, n))
    began = time.perf_counter()
    other.start()
    _wait_repeatedly(barrier, n)
    other.join()
    return (time.perf_counter() - began) / n


def barrier_latency() -> float | None:
    """Return the seconds of one barrier of two threads, or None on a machine with one CPU."""
    if cpus() < 2:
        return None
    _try(1)  # compiles
    return min(_try(BARRIERS) for _ in range(TRIES))
