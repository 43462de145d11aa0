"""How contestants of one work are timed: jobs long enough to measure, in interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .cpu_wakeup import Processors
from .machine import come_to_rest

LONG_ENOUGH = 0.08  # seconds after which a job needs no more runs ...
FEWEST_RUNS = 100  # ... if it has so many, where a set-up is shared out among them: XOR takes hundreds of epochs ...
TOO_LONG = 0.5  # ... or takes so long
WARM_UP = 1.0  # seconds of a first run up to which it may be mostly warming up
SHORTEST = 0.06  # seconds of one measurement
LONG_PART = 3.0  # seconds of a measurement of what is neither ours nor a peer, from which it has one round only
PAUSE = 0.06  # seconds that getting ready takes on average
FEWEST_ROUNDS = 4  # the median of three is as slow as the host was in two of them
PROCESSORS = Processors()


class Rules(NamedTuple):
    """rounds : at most so many; seconds : what all rounds of a work may take, if that allows FEWEST_ROUNDS"""

    rounds: int = 7
    seconds: float = 4.0
    quick: bool = False


QUICK = Rules(rounds=3, seconds=4.0, quick=True)


def calibrate(
    worker: Callable[..., Any], most_runs: int, done_once: bool = False, compares: bool = True,
    fewest_runs: int = FEWEST_RUNS, too_long: float = TOO_LONG,
) -> tuple[int, int, float]:  # fmt: skip
    """(runs of a job, repeats in a measurement, seconds of a job).

    compares : the seconds decide between settings, and are worth one more measurement
    """
    n_runs = 1
    seconds = worker("measure", n_runs, 1)  # the first may warm up more than it measures
    if not done_once and (seconds < WARM_UP or (fewest_runs > 1 and seconds < too_long)):
        while True:
            seconds = worker("measure", n_runs, 1)
            if n_runs >= most_runs or seconds >= (LONG_ENOUGH if n_runs >= fewest_runs else too_long):
                break
            n_runs = min(most_runs, n_runs * max(2, min(16, math.ceil(LONG_ENOUGH / seconds))))
    repeats = max(1, math.ceil(SHORTEST / seconds))
    if compares and not done_once and seconds < 2 * LONG_ENOUGH:
        seconds = min(seconds, at_speed(worker, n_runs, repeats))
    return n_runs, repeats, seconds


def at_speed(worker: Callable[..., Any], n_runs: int, repeats: int) -> float:
    with PROCESSORS.awake():
        return worker("measure", n_runs, repeats)


def affordable_rounds(rules: Rules, seconds: float) -> int:
    """How many rounds of so many seconds the rules allow.

    >>> affordable_rounds(Rules(rounds=7, seconds=7.0), 1.0), affordable_rounds(Rules(rounds=7, seconds=7.0), 60.0)
    (7, 4)
    """
    return max(min(FEWEST_ROUNDS, rules.rounds), min(rules.rounds, int(rules.seconds / seconds)))


def new_row(name: str, kind: str) -> dict[str, Any]:
    """A row as results.py describes it, of a contestant that is not measured yet."""
    return {
        "name": name, "kind": kind, "status": "timed", "reason": "", "seconds": [], "prepare_seconds": 0.0,
        "threads": None, "tried": {}, "peak_memory": 0, "products": "", "verified": {}, "notes": {},
    }  # fmt: skip


class Runner(NamedTuple):
    """A contestant that is ready: what measures it, its row, and what a measurement of it is.

    worker : called as worker("measure", n_runs, repeats), returns the seconds of n_runs runs, the mean of the repeats
    """

    worker: Callable[..., Any]
    row: dict[str, Any]
    n_runs: int
    repeats: int
    seconds: float  # of one measurement

    @property
    def is_long_part(self) -> bool:
        """Whether it is only there for comparison, and takes so long that once has to do."""
        return self.row["kind"] == "part" and self.seconds > LONG_PART

    def measure(self, n_units: float) -> None:
        self.row["seconds"].append(self.worker("measure", self.n_runs, self.repeats) / self.n_runs / n_units)


def time_rounds(entrants: Sequence[Runner], n_rounds: int, n_units: float) -> int:
    """Every round does every contestant's job once, in alternating order, each when the last one is at rest and the
    processors are at full speed. Returns before how many of them they did not come to it in time.
    """
    slow_starts = 0
    for k in range(n_rounds):
        in_turn = [entrant for entrant in entrants if k == 0 or not entrant.is_long_part]
        for entrant in in_turn if k % 2 == 0 else reversed(in_turn):
            come_to_rest()
            with PROCESSORS.awake() as at_speed:
                slow_starts += not at_speed
                entrant.measure(n_units)
    return slow_starts
