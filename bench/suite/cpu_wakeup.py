"""Wake-up of the logical CPUs before a measurement: spinner processes keep them awake and at full speed.

The host of a virtual machine may wake a sleeping virtual CPU on the second hardware thread of a core that already runs
another CPU of the same machine. Then both run at half speed, for 60 to 110 ms, or longer if the host has no core to
spare. This happened to up to 8 % of the measurements after one second of rest. It slows down only programs with two
threads, and only the time of a computation shows it inside the machine (bench/log/threads.md#shared-cores).
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

PATIENCE, MIN_PATIENCE = 0.5, 0.125  # longest wait for full speed in seconds; its lower bound once waiting has helped
SLOWED = 1.2  # a CPU is slow from this many times its best burst; for two threads of one core it is 1.85 times
MAX_SPINNERS = 32  # number of spinners, which take 10 MB each


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

    def __init__(self, make_spinner: Callable[[int], Spinner] = Spinner):
        self._make_spinner = make_spinner
        self._spinners: list[Spinner] | None = None  # None: not started yet
        self._best_burst = inf  # best burst of any spinner so far, in nanoseconds
        self._patience, self._min_patience = PATIENCE, 0.0
        self.first_look = 1.0

    @contextmanager
    def awake(self) -> Iterator[bool]:
        """Keep the CPUs awake inside the block.

        Nothing happens if the system lacks SCHED_IDLE, which only Linux has, or forbids it.
        """
        spinners = self._started() if self._spinners is None else self._spinners
        try:
            yield not spinners or self._wait_for_full_speed(spinners)
        finally:
            for spinner in spinners:
                spinner.rest()

    def _started(self) -> list[Spinner]:
        has_idle_scheduler = hasattr(os, "sched_setscheduler") and hasattr(os, "SCHED_IDLE")
        self._spinners = (
            [self._make_spinner(processor) for processor in sorted(os.sched_getaffinity(0))[:MAX_SPINNERS]]
            if has_idle_scheduler
            else []
        )
        atexit.register(self.close)
        try:
            for _ in range(8):
                self._ask(self._spinners[:1])
            self._ask(self._spinners)
        except (OSError, ValueError):  # the spinners have exited
            self.close()
            self._spinners = []
        return self._spinners

    def _wait_for_full_speed(self, spinners: list[Spinner]) -> bool:
        """Wait until all CPUs are at full speed, and return whether they are.

        Each wait without success halves the next one, since the CPUs may never be faster together: two of them can be
        hardware threads of one core. If waiting has helped once, the wait stays at LEAST or longer.
        """
        end, slowest_burst = perf_counter() + self._patience, self._ask(spinners)
        self.first_look = slowest_burst / self._best_burst
        while slowest_burst > SLOWED * self._best_burst and perf_counter() < end:
            slowest_burst = self._ask(spinners)
        at_speed = slowest_burst <= SLOWED * self._best_burst
        self._min_patience = MIN_PATIENCE if at_speed and self.first_look > SLOWED else self._min_patience
        self._patience = min(PATIENCE, 2 * self._patience) if at_speed else max(self._min_patience, self._patience / 2)
        return at_speed

    def _ask(self, spinners: list[Spinner]) -> float:
        """Return the burst time of the slowest CPU, in nanoseconds."""
        for spinner in spinners:
            spinner.ask()
        bursts = [spinner.answer() for spinner in spinners]
        self._best_burst = min([self._best_burst, *bursts])
        return max(bursts, default=0.0)

    def close(self) -> None:
        for spinner in self._spinners or ():
            with suppress(OSError):
                spinner.end()
        self._spinners = None
        atexit.unregister(self.close)
