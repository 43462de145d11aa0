"""Program that keeps one logical CPU awake without taking time from other processes: `python cpu_spinner.py CPU`.

It spins at the lowest priority of the scheduler, and yields after each burst. Without the yield, a thread that waits
for another thread in a loop of yields would have to wait until the scheduler's next tick, up to four milliseconds.

cpu_wakeup.py drives it through standard input. After "?", it writes the time of a fixed burst on this CPU, in
nanoseconds, and spins. After ".", it sleeps until the next "?". At the end of its input, it exits. It imports nothing
of this package, so that it starts at once.
"""

from __future__ import annotations

import os
import select
import sys
from time import perf_counter_ns

BURST, WINDOW = 2000, 16  # iterations of a loop, which take 20 us; number of bursts that an answer is the median of


def burst() -> int:
    started = perf_counter_ns()
    for _ in range(BURST):
        pass
    return perf_counter_ns() - started


def window() -> int:
    return sorted(burst() for _ in range(WINDOW))[WINDOW // 2]


def main(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    is_asleep = True
    while True:
        if is_asleep or select.select([stdin], [], [], 0)[0]:
            command = os.read(stdin, 1)
            if not command:
                return
            is_asleep = command == b"."
            if not is_asleep:
                os.write(stdout, b"%d\n" % window())
        else:
            burst()
            os.sched_yield()


if __name__ == "__main__":
    main(int(sys.argv[1]))
