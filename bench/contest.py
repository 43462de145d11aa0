"""One work and its contestants: verified, calibrated, then timed in interleaved rounds.

1. Every contestant does a small part of the work and must reach the result of float64 NumPy from the same start; one
   that does not is reported and not timed.
2. Every contestant is timed with each number of threads worth trying, and the better one goes on. A job is the work's
   most_runs runs, or fewer for a slow contestant; short jobs are repeated until a measurement is worth taking.
3. Rounds: each does every contestant's job once, in alternating order, from the same start, so that what disturbs the
   machine for seconds disturbs all of them.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from environment import cpus, others_busy
from peers import Peer, Unsupported
from work import Entry, Wrong
from worker import Failed, Worker
from works import build

LONG_ENOUGH = 0.25  # seconds after which a job needs no more runs
SHORTEST = 0.06  # seconds of one measurement
PAUSE = 0.05  # idle threads of the last contestant spin for some milliseconds
FEWEST_ROUNDS = 3


class Rules(NamedTuple):
    """rounds : at most so many; seconds : what all rounds of a work may take, if that allows FEWEST_ROUNDS"""

    rounds: int = 7
    seconds: float = 15.0
    quick: bool = False
    device: str = "cpu"


QUICK = Rules(rounds=3, seconds=4.0, quick=True)


class Pool:
    """Workers of works that share them; closed when another name comes."""

    def __init__(self, device: str):
        self._device, self._name, self._workers = device, "", {}

    def get(self, entry: Entry, peer: Peer, threads: int | None, most_cpus: int) -> Worker:
        if not entry.shares_workers:
            return Worker(peer, threads, most_cpus, self._device)
        if entry.shares_workers != self._name:
            self.close()
            self._name = entry.shares_workers
        key = peer.name, threads
        if key not in self._workers or not self._workers[key].is_alive():
            self._workers[key] = Worker(peer, threads, most_cpus, self._device)
        return self._workers[key]

    def release(self, entry: Entry, worker: Worker) -> None:
        if not entry.shares_workers:
            worker.close()

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._name, self._workers = "", {}


def calibrate(worker: Callable[..., Any], most_runs: int, done_once: bool = False) -> tuple[int, int, float]:
    """(runs of a job, repeats in a measurement, seconds of a job)."""
    n_runs = 1
    seconds = worker("measure", n_runs, 1)  # the first may warm up more than it measures
    if not done_once and seconds < LONG_ENOUGH:
        while True:
            seconds = worker("measure", n_runs, 1)
            if seconds >= LONG_ENOUGH or n_runs >= most_runs:
                break
            n_runs = min(most_runs, n_runs * max(2, min(16, math.ceil(LONG_ENOUGH / seconds))))
    repeats = max(1, math.ceil(SHORTEST / seconds))
    if not done_once and seconds < 2 * LONG_ENOUGH:
        seconds = min(worker("measure", n_runs, repeats) for _ in range(2))
    return n_runs, repeats, seconds


def affordable_rounds(rules: Rules, seconds: float) -> int:
    """How many rounds of so many seconds the rules allow.

    >>> affordable_rounds(Rules(rounds=7, seconds=15.0), 1.0), affordable_rounds(Rules(rounds=7, seconds=15.0), 60.0)
    (7, 3)
    """
    return max(min(FEWEST_ROUNDS, rules.rounds), min(rules.rounds, int(rules.seconds / seconds)))


def new_row(peer: Peer) -> dict:
    return {
        "name": peer.name, "kind": peer.kind, "status": "timed", "reason": "", "seconds": [], "prepare_seconds": 0.0,
        "threads": None, "tried": {}, "peak_memory": 0, "products": "", "verified": {}, "notes": {},
    }  # fmt: skip


class Entrant(NamedTuple):
    """A contestant that is ready: its worker, its row, and what a measurement of it is."""

    worker: Worker
    row: dict
    n_runs: int
    repeats: int
    seconds: float  # of one measurement

    def measure(self, n_units: float) -> None:
        self.row["seconds"].append(self.worker("measure", self.n_runs, self.repeats) / self.n_runs / n_units)


def enter(entry: Entry, work: Any, peer: Peer, rules: Rules, pool: Pool) -> tuple[Entrant | None, dict]:
    """The contestant with its better thread setting, if it can do the work, and its row."""
    row = new_row(peer)
    if peer.missing:
        return None, row | {"status": "missing", "reason": peer.missing}
    if rules.quick and peer.slow_start:
        return None, row | {"status": "left out", "reason": "starts too slowly for --quick"}
    settings = work.thread_settings(cpus())
    most = max(settings)
    if rules.quick:
        settings = (most,)
    best: Entrant | None = None
    for threads in [None] if peer.chooses_threads else settings:
        worker = pool.get(entry, peer, threads, most)
        try:
            prepared = worker("prepare", entry.name, rules.quick)
            if not work.done_once and peer.kind != "limit":
                row["verified"] = work.check(peer, worker("verify", entry.name, rules.quick))
            n_runs, repeats, seconds = calibrate(worker, work.most_runs, work.done_once)
            if work.done_once and peer.kind != "limit":
                row["verified"] = work.check(peer, worker("answer", entry.name, rules.quick))
        except (Unsupported, Failed, Wrong) as reason:
            pool.release(entry, worker)
            if best:
                pool.release(entry, best.worker)
            return None, row | {"status": type(reason).__name__.lower(), "reason": str(reason)}
        row["prepare_seconds"] = max(row["prepare_seconds"], prepared)  # the second process may find a warm cache
        per_unit = seconds / n_runs / work.n_units
        row["tried"][str(threads or "own choice")] = per_unit
        if best and per_unit >= row["tried"][str(row["threads"])]:
            pool.release(entry, worker)
            continue
        if best:
            pool.release(entry, best.worker)
        row["threads"] = threads
        best = Entrant(worker, row, n_runs, repeats, seconds * repeats)
    return best, row


def time_rounds(entrants: list[Entrant], n_rounds: int, n_units: float) -> None:
    for k in range(n_rounds):
        for entrant in entrants if k % 2 == 0 else reversed(entrants):
            time.sleep(PAUSE)
            entrant.measure(n_units)


def hold(entry: Entry, peers: Iterable[Peer], rules: Rules, pool: Pool, say: Callable[[str], None]) -> dict:
    """The result of one work, as fastmlp.bench_results describes it."""
    work = build(entry.name, rules.quick)
    busy = [others_busy()]
    rows, entrants = [], []
    try:
        for peer in peers:
            say(peer.name)
            entrant, row = enter(entry, work, peer, rules, pool)
            rows.append(row)
            entrants += [entrant] if entrant else []
        if entrants:
            n_rounds = affordable_rounds(rules, sum(entrant.seconds + PAUSE for entrant in entrants))
            say(f"{n_rounds} rounds")
            time_rounds(entrants, n_rounds, work.n_units)
        for entrant in entrants:
            entrant.row.update(entrant.worker("facts"))
            entrant.row.update(n_runs=entrant.n_runs, repeats=entrant.repeats)
    finally:
        for entrant in entrants:
            pool.release(entry, entrant.worker)
    time.sleep(PAUSE)
    busy.append(others_busy())
    return {
        "name": entry.name, "group": entry.group, "title": work.title, "source": work.source, "unit": work.unit,
        "costs": work.costs(), "curve": work.curve, "others_busy": statistics.mean(busy), "rows": rows,
    }  # fmt: skip
