"""Timing of one benchmark case: runs long enough to measure, for fastmlp and its competitors in interleaved rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .cpu_wakeup import Processors
from .machine import come_to_rest

LONG_ENOUGH = 0.08  # seconds from which a job needs no more runs ...
FEWEST_RUNS = 100  # ... if it has this many, among which its set-up is divided: XOR takes hundreds of epochs ...
TOO_LONG = 0.5  # ... or if it takes this many seconds
WARM_UP = 1.0  # a first run of fewer seconds may be mostly warm-up
SHORTEST = 0.06  # least seconds of one measurement
LONG_PART = 3.0  # seconds of a measurement from which a row of kind "part" is measured in the first round only
PAUSE = 0.06  # average seconds between two measurements, in which the CPUs come to rest and wake up
MIN_ROUNDS = 4  # not 3: if the host is slow in two of three rounds, so is their median
PROCESSORS = Processors()


class Rules(NamedTuple):
    """Limits on the measurement of one benchmark case.

    rounds : largest number of rounds
    seconds : largest time of all rounds together, unless FEWEST_ROUNDS take longer
    quick : whether a quick run is wanted
    """

    rounds: int = 7
    seconds: float = 4.0
    quick: bool = False


QUICK = Rules(rounds=3, seconds=4.0, quick=True)


def calibrate(
    worker: Callable[..., Any],
    max_runs: int,
    is_single_run: bool = False,
    compares: bool = True,
    min_runs: int = FEWEST_RUNS,
    too_long: float = TOO_LONG,
) -> tuple[int, int, float]:
    """Return (runs per job, repeats of the job per measurement, seconds per job).

    worker : called as worker("measure", n_runs, repeats), returns the seconds of n_runs runs, mean over the repeats
    max_runs : largest number of runs of a job
    is_single_run : whether a single run is the job, and needs no warm-up
    compares : whether the seconds decide between settings, and so are worth one more measurement
    min_runs : least number of runs of a job that takes less than too_long
    too_long : seconds from which a job needs no more runs
    """
    n_runs = 1
    seconds = worker("measure", n_runs, 1)  # the first run may be mostly warm-up
    if not is_single_run and (seconds < WARM_UP or (min_runs > 1 and seconds < too_long)):
        while True:
            seconds = worker("measure", n_runs, 1)
            if n_runs >= max_runs or seconds >= (LONG_ENOUGH if n_runs >= min_runs else too_long):
                break
            n_runs = min(max_runs, n_runs * max(2, min(16, math.ceil(LONG_ENOUGH / seconds))))
    repeats = max(1, math.ceil(SHORTEST / seconds))
    if compares and not is_single_run and seconds < 2 * LONG_ENOUGH:
        seconds = min(seconds, at_speed(worker, n_runs, repeats))
    return n_runs, repeats, seconds


def at_speed(worker: Callable[..., Any], n_runs: int, repeats: int) -> float:
    with PROCESSORS.awake():
        return worker("measure", n_runs, repeats)


def affordable_rounds(rules: Rules, seconds: float) -> int:
    """Return the number of rounds that the rules allow.

    seconds : time of one round

    >>> affordable_rounds(Rules(rounds=7, seconds=7.0), 1.0), affordable_rounds(Rules(rounds=7, seconds=7.0), 60.0)
    (7, 4)
    """
    return max(min(MIN_ROUNDS, rules.rounds), min(rules.rounds, int(rules.seconds / seconds)))


def new_row(name: str, kind: str) -> dict[str, Any]:
    """Return a row, as result_files.py describes it, without measurements.

    name : name of the measured program
    kind : "ours", "peer", "limit" or "part"
    """
    return {
        "name": name,
        "kind": kind,
        "status": "timed",
        "reason": "",
        "seconds": [],
        "prepare_seconds": 0.0,
        "threads": None,
        "tried": {},
        "peak_memory": 0,
        "products": "",
        "verified": {},
        "notes": {},
    }


class Runner(NamedTuple):
    """A calibrated program, ready to be measured.

    worker : called as worker("measure", n_runs, repeats), returns the seconds of n_runs runs, mean over the repeats
    row : row of the results that the durations are appended to
    n_runs : runs per job
    repeats : repeats of the job per measurement
    """

    worker: Callable[..., Any]
    row: dict[str, Any]
    n_runs: int
    repeats: int
    seconds: float  # expected time of one measurement

    @property
    def is_long_part(self) -> bool:
        """Whether the row is of kind "part", for comparison only, and takes too long for more than one round."""
        return self.row["kind"] == "part" and self.seconds > LONG_PART

    def measure(self, n_units: float) -> None:
        self.row["seconds"].append(self.worker("measure", self.n_runs, self.repeats) / self.n_runs / n_units)


def time_rounds(runners: Sequence[Runner], n_rounds: int, n_units: float) -> int:
    """Measure each program once per round, in alternating order.

    Each measurement begins when the previous program is at rest and the CPUs are at full speed. Return the number of
    measurements before which the CPUs did not reach full speed in time.

    runners : the calibrated programs
    n_rounds : number of rounds
    n_units : units of work in one run; durations are stored per unit
    """
    slow_starts = 0
    for k in range(n_rounds):
        runners_of_round = [runner for runner in runners if k == 0 or not runner.is_long_part]
        for runner in runners_of_round if k % 2 == 0 else reversed(runners_of_round):
            come_to_rest()
            with PROCESSORS.awake() as at_speed:
                slow_starts += not at_speed
                runner.measure(n_units)
    return slow_starts
