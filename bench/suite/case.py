"""A benchmark case: what is trained or predicted, on which data, and how a result is checked.

Cases are objects of the classes in suite/cases/, which have these members:
    name, group, title            title is for people, name for files and test ids
    source                        the data, in words
    unit                          what durations are per: "step", "epoch", "row", "call", ...
    n_units                       units that one `run(1)` of a competitor does
    most_runs, fewest_runs        runs in one timed job: slow competitors do fewer, down to fewest_runs
    done_once                     True if a run is so slow that the first one is both checked and timed
    verification, verify_runs     the case that is checked, perhaps on fewer data, and its number of runs
    curve                         None, or {"name", "axis", "x"} for a point of a scaling plot
    multiply_adds                 of one unit, for the arithmetic limit; 0 if they are not counted
    costs() -> {name: number}     what one unit needs: FLOP, bytes, ...
    thread_settings(cpus)         the numbers of threads worth trying
    quick()                       the case on fewer data or with fewer runs
    check(competitor, answer)     {name: relative error}; raises Wrong if one is too large
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from competitors import Competitor

from fastmlp.benchmarks.machine import memory

AT_A_TIME = 6  # competitors of a case that are in memory
ONE_THREAD_BELOW = 5e5  # FLOP between two meetings of the threads: nobody gains from a second one (choose_threads.py)
ONE_NEVER_FROM = 1e8  # nobody is faster with one than with all
FEW_CPUS = 4  # up to which all processors or one are all there is to try


class Wrong(Exception):
    """Another result than the reference's."""


class CaseEntry(NamedTuple):
    """One row of the table of cases: all that is known before its data are loaded.

    largest : a point of a curve that takes too long for a full run: --largest measures those and nothing else
    """

    name: str
    group: str
    competitors: tuple[Competitor, ...]
    build: Callable[[], Any]
    in_quick: bool = False
    largest: bool = False


def thread_settings(flop: float, cpus: int) -> tuple[int, ...]:
    """The numbers of threads that can be best for somebody.

    >>> thread_settings(1e5, 64), thread_settings(1e7, 2), thread_settings(1e7, 64), thread_settings(1e9, 64)
    ((1,), (1, 2), (1, 16, 64), (16, 64))
    """
    if flop < ONE_THREAD_BELOW:
        return (1,)
    settings = {1, cpus} if cpus <= FEW_CPUS else {1, cpus // 4, cpus}
    return tuple(sorted(settings if flop < ONE_NEVER_FROM or cpus == 1 else settings - {1}))


def fits(numbers: float) -> bool:
    """Whether competitors that keep so many numbers each have room in this machine's memory, half of it, together."""
    return AT_A_TIME * 4 * numbers <= memory() / 2


def at_most(values: dict[str, float], tolerances: dict[str, float]) -> dict[str, float]:
    """The values; raises Wrong if one is above its tolerance or no number."""
    if any(not values[name] <= most for name, most in tolerances.items()):
        found = ", ".join(f"{name} off by {values[name]:.2g} (at most {most:g})" for name, most in tolerances.items())
        raise Wrong(found)
    return values
