"""A benchmark case: what is trained or predicted, on which data, and how a result is checked.

Cases are objects of the classes in suite/cases/ and training_case.py, which have these members:
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

from suite.machine import memory

COMPETITORS_IN_MEMORY = 6  # of one case, at the same time
ONE_THREAD_BELOW = 5e5  # FLOP between two barriers: no competitor gains from a second thread (choose_threads.py)
ALL_THREADS_FROM = 1e8  # FLOP between two barriers: no competitor is faster with one thread than with all
FEW_CPUS = 4  # up to so many, one thread and all threads are the only settings worth trying


class Wrong(Exception):
    """A competitor's result differs from the reference's."""


class CaseEntry(NamedTuple):
    """One row of the table of cases: what is known before the data are loaded.

    largest : a point of a scaling curve that takes too long for a full run; --largest measures these points only
    """

    name: str
    group: str
    competitors: tuple[Competitor, ...]
    build: Callable[[], Any]
    in_quick: bool = False
    largest: bool = False


def thread_settings(flop: float, cpus: int) -> tuple[int, ...]:
    """The numbers of threads with which some competitor may be fastest.

    flop : floating-point operations between two barriers

    >>> thread_settings(1e5, 64), thread_settings(1e7, 2), thread_settings(1e7, 64), thread_settings(1e9, 64)
    ((1,), (1, 2), (1, 16, 64), (16, 64))
    """
    if flop < ONE_THREAD_BELOW:
        return (1,)
    settings = {1, cpus} if cpus <= FEW_CPUS else {1, cpus // 4, cpus}
    return tuple(sorted(settings if flop < ALL_THREADS_FROM or cpus == 1 else settings - {1}))


def fits(numbers: float) -> bool:
    """Whether half of this machine's memory holds all competitors of a case, each with so many float32 numbers."""
    return COMPETITORS_IN_MEMORY * 4 * numbers <= memory() / 2


def at_most(values: dict[str, float], tolerances: dict[str, float]) -> dict[str, float]:
    """The values; raises Wrong if one is above its tolerance or no number."""
    if any(not values[name] <= tolerance for name, tolerance in tolerances.items()):
        errors = (f"{name} off by {values[name]:.2g} (at most {limit:g})" for name, limit in tolerances.items())
        raise Wrong(", ".join(errors))
    return values
