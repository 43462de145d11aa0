"""A process that keeps one processor awake without taking it from anybody: `python cpu_spinner.py PROCESSOR`.

It has the lowest priority there is and spins. After each burst it gives way: whoever waits for another thread by giving
way to all others would wait for it until the system's next tick, up to four milliseconds. At "?" on its standard input
it writes how long a piece of work takes here now, in nanoseconds; at "." it sleeps until the next "?"; where its input
ends it ends. cpu_wakeup.py drives it. It imports nothing of this package, so that it starts at once.
"""

from __future__ import annotations

import os
import select
import sys
from time import perf_counter_ns

BURST, WINDOW = 2000, 16  # rounds of a loop, 20 us, and how many of them one figure is the median of


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
    commands, answers = sys.stdin.fileno(), sys.stdout.fileno()
    asleep = True
    while True:
        if asleep or select.select([commands], [], [], 0)[0]:
            command = os.read(commands, 1)
            if not command:
                return
            asleep = command == b"."
            if not asleep:
                os.write(answers, b"%d\n" % window())
        else:
            burst()
            os.sched_yield()


if __name__ == "__main__":
    main(int(sys.argv[1]))
