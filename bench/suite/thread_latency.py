"""How far apart two processors are: the time in which two threads meet.

Where a machine's processors are parts of several dies, a host may give a virtual one another place at any time. On the
machine of bench/LOG.md two threads meet in 50 ns or in 170, and a step of a small net with two threads takes 44 or 60
microseconds: durations of one case can only be compared with those of another if this has not changed.
"""

from __future__ import annotations

import threading
import time

import numba
import numpy as np

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what the kernels' helpers are
from fastmlp.benchmarks.machine import cpus
from fastmlp.kernels.cpu.threads.barrier import barrier_wait
from fastmlp.kernels.jit.decorators import OPTIONS

MEETINGS, TRIES = 20_000, 6  # of a try, of which the fastest counts: threads may begin on one processor


@numba.njit(nogil=True, **OPTIONS)
def _meet(barrier, n):
    meetings = 0
    for _ in range(n):
        meetings = barrier_wait(barrier, 2, meetings)


def _try(n: int) -> float:
    barrier = np.zeros(2, np.int64)
    other = threading.Thread(target=_meet, args=(barrier, n))
    began = time.perf_counter()
    other.start()
    _meet(barrier, n)
    other.join()
    return (time.perf_counter() - began) / n


def barrier_latency() -> float | None:
    """None where there is one processor."""
    if cpus() < 2:
        return None
    _try(1)  # compiles
    return min(_try(MEETINGS) for _ in range(TRIES))
