"""Processors that are awake, and each as fast as if it were alone, at the moment a measurement begins.

Virtual processors that have slept for some tenths of a second may be woken on the two threads of one core: their host
needs 60 to 110 ms to part them again, in which both have half their speed. It happened to up to 8 % of the measurements
after a second's rest, hurts only contestants with two threads, and nothing inside the machine tells of it but the time
that work takes (bench/LOG.md). A processor whose core another machine uses as well is found in the same way.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from math import inf
from time import perf_counter

import numpy as np

from .machine import cpus

MOST = 0.25  # seconds to wait
WINDOW = 16  # bursts whose median tells how fast a processor is, half a millisecond
SLOWED = 1.2  # times as long as alone: two threads of a core are 1.8 times as long at the bursts
UP_TO = 8  # processors: with more threads Python's lock would be what is measured


class Bursts:
    """30 us of arithmetic in the first and second-level cache, without Python's lock: the seconds each call took."""

    def __init__(self):
        self._x = np.linspace(0, 1, 1 << 16, dtype=np.float32)
        self._out = np.empty_like(self._x)

    def __call__(self) -> float:
        started = perf_counter()
        np.exp(self._x, out=self._out)
        return perf_counter() - started


class Processors:
    """`Processors().wake()` returns when they are at full speed, or it has waited for long enough."""

    def __init__(self, n: int | None = None, bursts: Callable[[], Callable[[], float]] = Bursts):
        self._bursts = [bursts() for _ in range(min(n or cpus(), UP_TO))]
        self._alone = inf  # seconds of the fastest window so far
        self._patience = MOST

    def wake(self) -> bool:
        """Keep all of them at work until none is slowed down; whether that came in time.

        Patience is halved whenever it did not, so that nobody waits for processors that are never faster together, as
        those of a machine that counts each core twice.
        """
        if self._alone == inf:
            for _ in range(8):
                self._window(0)
        end = perf_counter() + self._patience
        latest = [inf] * len(self._bursts)
        over = threading.Event()

        def keep_busy(i: int) -> None:
            while not over.is_set():
                latest[i] = self._window(i)

        threads = [threading.Thread(target=keep_busy, args=(i,)) for i in range(1, len(latest))]
        for thread in threads:
            thread.start()
        try:
            while True:
                latest[0] = self._window(0)
                at_speed = max(latest) <= SLOWED * self._alone
                if at_speed or perf_counter() >= end:
                    break
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self._patience = min(MOST, 2 * self._patience) if at_speed else self._patience / 2
        return at_speed

    def _window(self, i: int) -> float:
        median = statistics.median(self._bursts[i]() for _ in range(WINDOW))
        self._alone = min(self._alone, median)
        return median
