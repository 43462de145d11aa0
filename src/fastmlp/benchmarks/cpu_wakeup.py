"""Processors that are awake while something is measured, and as fast when it begins as each is alone.

A virtual processor that has slept may be woken on the other thread of a core that one of this machine's processors has
already: then both have half their speed, for 60 to 110 ms or, where the host has no core to spare, for longer. It
happened to up to 8 % of the measurements after a second's rest, hurts only contestants with two threads, and nothing
inside the machine tells of it but the time that work takes (bench/LOG.md). Processors that never sleep are parted by
their host, and a thread that wakes is put on the other one at once.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import perf_counter

PATIENCE, LEAST = 0.5, 0.125  # seconds
SLOWED = 1.2  # times as long as alone; two threads of one core are 1.85 times as long at a keeper's work
UP_TO = 32  # processors: a keeper takes 10 MB


class Spinner:
    """cpu_spinner.py on one processor.

    process : its number
    """

    def __init__(self, processor: int):
        script = Path(__file__).with_name("cpu_spinner.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(processor)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        self.process = self._process.pid

    def ask(self) -> None:
        self._process.stdin.write(b"?")  # type: ignore[union-attr]

    def answer(self) -> float:
        return float(self._process.stdout.readline())  # type: ignore[union-attr]

    def rest(self) -> None:
        self._process.stdin.write(b".")  # type: ignore[union-attr]

    def end(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.wait()


class Processors:
    """`with Processors().awake() as at_speed:`, where at_speed says whether they came to full speed in time."""

    def __init__(self, keeper: Callable[[int], Spinner] = Spinner):
        self._keeper = keeper
        self._keepers: list[Spinner] | None = None  # not started yet
        self._alone = inf  # what the fastest of them said so far
        self._patience, self._least = PATIENCE, 0.0
        self.first_look = 1.0  # how many times as long as alone the slowest one's work took when they were last woken

    @contextmanager
    def awake(self) -> Iterator[bool]:
        """Where the system has no such priority, as only Linux has, or forbids it, processors sleep as they like."""
        keepers = self._started() if self._keepers is None else self._keepers
        try:
            yield not keepers or self._come_to_speed(keepers)
        finally:
            for keeper in keepers:
                keeper.rest()

    def _started(self) -> list[Spinner]:
        can = hasattr(os, "sched_setscheduler") and hasattr(os, "SCHED_IDLE")
        self._keepers = [self._keeper(one) for one in sorted(os.sched_getaffinity(0))[:UP_TO]] if can else []
        atexit.register(self.close)
        try:
            for _ in range(8):
                self._ask(self._keepers[:1])
            self._ask(self._keepers)
        except (OSError, ValueError):  # they have ended
            self.close()
            self._keepers = []
        return self._keepers

    def _come_to_speed(self, keepers: list[Spinner]) -> bool:
        """Patience is halved whenever it ends, so that nobody waits for processors that are never faster together, as
        those of a machine that counts each core twice; to LEAST where they were once parted.
        """
        end, slowest = perf_counter() + self._patience, self._ask(keepers)
        self.first_look = slowest / self._alone
        while slowest > SLOWED * self._alone and perf_counter() < end:
            slowest = self._ask(keepers)
        at_speed = slowest <= SLOWED * self._alone
        self._least = LEAST if at_speed and self.first_look > SLOWED else self._least
        self._patience = min(PATIENCE, 2 * self._patience) if at_speed else max(self._least, self._patience / 2)
        return at_speed

    def _ask(self, keepers: list[Spinner]) -> float:
        """The slowest one's answer."""
        for keeper in keepers:
            keeper.ask()
        answers = [keeper.answer() for keeper in keepers]
        self._alone = min([self._alone, *answers])
        return max(answers, default=0.0)

    def close(self) -> None:
        for keeper in self._keepers or ():
            with suppress(OSError):
                keeper.end()
        self._keepers = None
        atexit.unregister(self.close)
