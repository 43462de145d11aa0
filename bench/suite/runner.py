"""One work and its contestants: verified, calibrated, then timed in interleaved rounds.

1. Every contestant does a small part of the work and must reach the result of float64 NumPy from the same start; one
   that does not is reported and not timed.
2. Every contestant is timed with each number of threads worth trying, and the better one goes on. A job is the work's
   most_runs runs, or fewer for a slow contestant; short jobs are repeated until a measurement is worth taking.
3. Rounds: each does every contestant's job once, in alternating order, from the same start, so that what disturbs the
   machine for seconds disturbs all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from competitors import Peer, Unsupported

from fastmlp.benchmarks.machine import come_to_rest, cpus, others_busy
from fastmlp.benchmarks.timing import (
    PAUSE,
    TOO_LONG,
    Rules,
    Runner,
    affordable_rounds,
    calibrate,
    new_row,
    time_rounds,
)
from suite.case import Entry, Wrong
from suite.case_table import build
from suite.fork_server import Pool
from suite.thread_latency import seconds_to_meet
from suite.worker import Failed, Worker

LARGEST_ROUNDS, LARGEST_TOO_LONG = 2, 60.0  # of the curves' largest points: rounds, and seconds for FEWEST_RUNS runs
STARTS = "start"  # the unit of works whose every run is a new process: the run that is for calibrating is a round too


def stays_out(peer: Peer, rules: Rules) -> dict:
    """What a contestant's row says that is not even started, else {}."""
    if peer.missing:
        return {"status": "missing", "reason": peer.missing}
    if peer.left_out:
        return {"status": "left out", "reason": peer.left_out}
    if rules.quick and peer.slow_start:
        return {"status": "left out", "reason": "starts too slowly for --quick"}
    return {}


def enter(
    entry: Entry, work: Any, peer: Peer, rules: Rules, pool: Pool, known: dict[str, int | None]
) -> tuple[Runner | None, dict]:
    """The contestant with its better thread setting, if it can do the work, and its row.

    known : of each library the setting that suited its last form; one that compiles for long tries no other
    """
    row = new_row(peer.name, peer.kind)
    if out := stays_out(peer, rules):
        return None, row | out
    settings = work.thread_settings(cpus())
    most = max(settings)
    if rules.quick:
        settings = (most,)
    elif peer.slow_start and peer.family in known:
        settings = (known[peer.family],)
    best: Runner | None = None
    in_table = entry.group != "scaling"  # points of pictures have no column for it
    measures_compiling = peer.kind == "ours" and pool.device == "cpu" and in_table and not rules.quick
    for threads in [None] if peer.chooses_threads else settings:
        try:
            worker = pool.start(peer, threads, most)
            prepared = worker("prepare", entry.name, rules.quick)
            loaded = set(worker("kernels")) if measures_compiling else set()
            if not work.done_once and peer.kind != "limit":
                row["verified"] = work.check(peer, worker("verify"))
            n_runs, repeats, seconds = calibrate(
                worker, work.most_runs, work.done_once, len(settings) > 1, work.fewest_runs,
                LARGEST_TOO_LONG if entry.largest else TOO_LONG,
            )  # fmt: skip
            if work.done_once and peer.kind != "limit":
                row["verified"] = work.check(peer, worker("answer"))
        except (Unsupported, Failed, Wrong) as reason:
            return None, row | {"status": type(reason).__name__.lower(), "reason": str(reason)}
        row["prepare_seconds"] = max(row["prepare_seconds"], prepared)  # the second process may find a warm cache
        per_unit = seconds / n_runs / work.n_units
        row["tried"][str(threads or "own choice")] = per_unit
        if best and per_unit >= row["tried"][str(row["threads"])]:
            continue
        row["threads"] = threads
        if work.unit == STARTS:
            row["seconds"] = [per_unit]
        best = Runner(worker, row, n_runs, repeats, seconds * repeats)
    if measures_compiling:
        row |= compiled_from_nothing(entry, peer, pool, loaded, most)
    known[peer.family] = row["threads"]
    return best, row


def compiled_from_nothing(entry: Entry, peer: Peer, pool: Pool, names: set[str], most: int) -> dict[str, float]:
    """`compile_seconds` of the row of a contestant that has loaded these kernels; nothing, if there are none.

    A second one compiles, in the run's folder, those that none has compiled before.
    """
    if not names:
        return {}
    if not pool.compiled.knows(names):
        with suppress(Unsupported, Failed):  # what is wrong with it is not the row's
            other = pool.start(peer, None, most)
            other("prepare", entry.name, False, pool.compiled.folder)
            pool.compiled.add(other("kernels"))
    return {"compile_seconds": pool.compiled.total(names)} if pool.compiled.knows(names) else {}


def compile_ahead(contestants: Iterable[tuple[Entry, Peer]], rules: Rules, pool: Pool) -> None:
    """Let these get ready once, all at the same time: what they compile takes all processors, and a work only one."""

    def get_ready(pair: tuple[Entry, Worker]) -> None:
        entry, worker = pair
        with suppress(Unsupported, Failed):  # what is wrong with it will be said when its work is held
            worker("prepare", entry.name, rules.quick)

    pairs = [(entry, pool.start(peer, None, cpus())) for entry, peer in contestants if not stays_out(peer, rules)]
    with ThreadPoolExecutor(max(1, len(pairs))) as threads:
        list(threads.map(get_ready, pairs))
    pool.end_workers()


def not_held(entry: Entry, peers: Iterable[Peer], rules: Rules, reason: str) -> dict:
    """The result of a work that broke as a whole, as one does whose data come with a library that is not installed."""
    failed = {"status": "failed", "reason": reason}
    rows = [new_row(peer.name, peer.kind) | (stays_out(peer, rules) or failed) for peer in peers]
    return {
        "name": entry.name, "group": entry.group, "title": entry.name, "source": "not known", "unit": "run",
        "costs": {}, "curve": None, "others_busy": 0.0, "slow_starts": 0, "meetings": [], "rows": rows,
    }  # fmt: skip


def hold(entry: Entry, peers: Sequence[Peer], rules: Rules, pool: Pool, say: Callable[[str], None]) -> dict:
    """The result of one work, as fastmlp.benchmarks.results describes it."""
    work = build(entry.name, rules.quick)
    if entry.largest:
        rules = rules._replace(rounds=min(rules.rounds, LARGEST_ROUNDS))
    busy, meetings = [others_busy()], [seconds_to_meet()]
    rows, entrants, known, slow_starts = [], [], {}, 0
    pool.make_ready(peer for peer in peers if not stays_out(peer, rules))
    try:
        for peer in peers:
            say(peer.name)
            entrant, row = enter(entry, work, peer, rules, pool, known)
            rows.append(row)
            entrants += [entrant] if entrant else []
        if entrants:
            n_rounds = affordable_rounds(rules, sum(entrant.seconds + PAUSE for entrant in entrants))
            say(f"{n_rounds} round{'s' if n_rounds > 1 else ''}")
            slow_starts = time_rounds(entrants, n_rounds - (work.unit == STARTS), work.n_units)
        for entrant in entrants:
            entrant.row.update(entrant.worker("facts"))
            entrant.row.update(n_runs=entrant.n_runs, repeats=entrant.repeats)
    finally:
        pool.end_workers()
    come_to_rest()
    busy.append(others_busy())
    meetings.append(seconds_to_meet())
    return {
        "name": entry.name, "group": entry.group, "title": work.title, "source": work.source, "unit": work.unit,
        "costs": work.costs(), "curve": work.curve, "others_busy": statistics.mean(busy), "slow_starts": slow_starts,
        "meetings": [seconds for seconds in meetings if seconds], "rows": rows,
    }  # fmt: skip
