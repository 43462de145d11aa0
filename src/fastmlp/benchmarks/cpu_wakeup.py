"""Wake-up of the logical CPUs before a measurement: spinner processes keep them awake and at full speed.

The host of a virtual machine may wake a sleeping virtual CPU on the second hardware thread of a core that already runs
another CPU of the same machine. Then both run at half speed, for 60 to 110 ms, or longer if the host has no core to
spare. This happened to up to 8 % of the measurements after one second of rest. It slows down only programs with two
threads, and only the time of a computation shows it inside the machine (bench/log/README.md#shared-cores).
The host moves CPUs that never sleep to cores of their own, and a thread that wakes up is placed on the other CPU at
once.
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

PATIENCE, LEAST = 0.5, 0.125  # longest wait for full speed in seconds, and its lower bound once waiting has helped
SLOWED = 1.2  # a CPU is slow from this many times its best burst; for two threads of one core it is 1.85 times
UP_TO = 32  # number of spinners, which take 10 MB each


class Spinner:
    """A process of cpu_spinner.py on one logical CPU.

    processor : number of the CPU
    process : process id
    """

    def __init__(self, processor: int):
        script = Path(__file__).with_name("cpu_spinner.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(processor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
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
    """Spinners on all CPUs of this process: `with Processors().awake() as at_speed: ...` measures with awake CPUs.

    at_speed : whether all CPUs reached full speed in time
    first_look : time of the slowest CPU's burst at the last wake-up, as a multiple of the best burst so far
    """

    def __init__(self, keeper: Callable[[int], Spinner] = Spinner):
        self._keeper = keeper
        self._keepers: list[Spinner] | None = None  # None: not started yet
        self._alone = inf  # best burst of any spinner so far, in nanoseconds
        self._patience, self._least = PATIENCE, 0.0
        self.first_look = 1.0

    @contextmanager
    def awake(self) -> Iterator[bool]:
        """Keep the CPUs awake inside the block.

        Nothing happens if the system lacks SCHED_IDLE, which only Linux has, or forbids it.
        """
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
        except (OSError, ValueError):  # the spinners have exited
            self.close()
            self._keepers = []
        return self._keepers

    def _come_to_speed(self, keepers: list[Spinner]) -> bool:
        """Wait until all CPUs are at full speed, and return whether they are.

        Each wait without success halves the next one, since the CPUs may never be faster together: two of them can be
        hardware threads of one core. If waiting has helped once, the wait stays at LEAST or longer.
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
        """Return the burst time of the slowest CPU, in nanoseconds."""
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
