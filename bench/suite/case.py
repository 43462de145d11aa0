"""What a work of the suite is, before anything is known of nets.

A work is any object with
    name, group, title, source    `source` says which data
    unit                          what durations are per
    n_units                       how many of them one `run(1)` of a contestant does
    most_runs                     the runs of one job; slow contestants do fewer and are reported per unit
    fewest_runs                   of a job, unless they take too long: those that share a set-up
    done_once                     slow enough that its first run is the one that is compared
    verify_runs                   the runs before a contestant's `answer` is compared
    verification                  the same work, perhaps on less data, whose answer is compared
    curve                         None, or {"name", "axis", "x"} for a point of a scaling picture
    multiply_adds                 of one unit, for the arithmetic limit; 0 where nothing is counted
    costs() -> {what: figure}     what one unit needs: FLOP, bytes, ...
    thread_settings(cpus)         which numbers of threads are worth trying
    quick()                       the same work, smaller
    check(peer, answer)           {what: share it is off by}; raises Wrong
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from competitors import Peer

from fastmlp.benchmarks.machine import memory

AT_A_TIME = 6  # contestants of a work that are in memory
ONE_THREAD_BELOW = 5e5  # FLOP between two meetings of the threads: nobody gains from a second one (choose_threads.py)
ONE_NEVER_FROM = 1e8  # nobody is faster with one than with all
FEW_CPUS = 4  # up to which all processors or one are all there is to try


class Wrong(Exception):
    """Another result than the reference's."""


class Entry(NamedTuple):
    """One row of the table of works: all that is known before its data are loaded.

    largest : a point of a curve that takes too long for a full run: --largest measures those and nothing else
    """

    name: str
    group: str
    peers: tuple[Peer, ...]
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
    """Whether contestants that keep so many numbers each have room in this machine's memory, half of it, together."""
    return AT_A_TIME * 4 * numbers <= memory() / 2


def at_most(values: dict[str, float], tolerances: dict[str, float]) -> dict[str, float]:
    """The values; raises Wrong if one is above its tolerance or no number."""
    if any(not values[name] <= most for name, most in tolerances.items()):
        found = ", ".join(f"{name} off by {values[name]:.2g} (at most {most:g})" for name, most in tolerances.items())
        raise Wrong(found)
    return values
