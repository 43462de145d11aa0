"""Runs one case with its competitors: checks them, calibrates them, then times them in interleaved rounds.

1. Every competitor does a small part of the case and must reach the result of float64 NumPy from the same start; one
   that does not is reported and not timed.
2. Every competitor is timed with each number of threads worth trying, and the fastest setting is kept. A job is the
   case's most_runs runs, or fewer for a slow competitor; short jobs are repeated until they last long enough.
3. In each round every competitor does its job once, in alternating order, from the same start, so that what disturbs
   the machine for seconds disturbs all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from competitors import Competitor, Unsupported

from suite.case import CaseEntry, Wrong
from suite.case_lookup import build
from suite.fork_server import Pool
from suite.machine import come_to_rest, cpus, others_busy
from suite.timing import PAUSE, TOO_LONG, Rules, Runner, affordable_rounds, calibrate, new_row, time_rounds
from suite.worker import Failed

# For the largest points of the curves: their rounds, and the seconds that FEWEST_RUNS runs may take.
LARGEST_CASE_ROUNDS, LARGEST_CASE_TOO_LONG = 2, 60.0
# The unit of cases whose every run is a new process. Such a run is slow, so the one for calibration is a round too.
PROCESS_START = "start"


def skip_reason(competitor: Competitor, rules: Rules) -> dict:
    """The status and reason in the row of a competitor that is not started at all; {} for one that is."""
    if competitor.missing:
        return {"status": "missing", "reason": competitor.missing}
    if competitor.left_out:
        return {"status": "left out", "reason": competitor.left_out}
    if rules.quick and competitor.slow_start:
        return {"status": "left out", "reason": "starts too slowly for --quick"}
    return {}


def calibrate_competitor(
    entry: CaseEntry, case: Any, competitor: Competitor, rules: Rules, pool: Pool, best_threads: dict[str, int | None]
) -> tuple[Runner | None, dict]:
    """The competitor with its fastest number of threads, or None if it cannot do the case, and its row.

    best_threads : per library the number of threads that suited its last form; a form that compiles for long tries no
        other number
    """
    row = new_row(competitor.name, competitor.kind)
    if skipped := skip_reason(competitor, rules):
        return None, row | skipped
    settings = case.thread_settings(cpus())
    max_threads = max(settings)
    if rules.quick:
        settings = (max_threads,)
    elif competitor.slow_start and competitor.family in best_threads:
        settings = (best_threads[competitor.family],)
    best: Runner | None = None
    for threads in [None] if competitor.chooses_threads else settings:
        try:
            worker = pool.start(competitor, threads, max_threads)
            prepared = worker("prepare", entry.name, rules.quick)
            if not case.done_once and competitor.kind != "limit":
                row["verified"] = case.check(competitor, worker("verify"))
            n_runs, repeats, seconds = calibrate(
                worker,
                case.most_runs,
                case.done_once,
                len(settings) > 1,
                case.fewest_runs,
                LARGEST_CASE_TOO_LONG if entry.largest else TOO_LONG,
            )
            if case.done_once and competitor.kind != "limit":
                row["verified"] = case.check(competitor, worker("answer"))
        except (Unsupported, Failed, Wrong) as reason:
            return None, row | {"status": type(reason).__name__.lower(), "reason": str(reason)}
        row["prepare_seconds"] = max(row["prepare_seconds"], prepared)  # the second process may find a warm cache
        per_unit = seconds / n_runs / case.n_units
        row["tried"][str(threads or "own choice")] = per_unit
        if best and per_unit >= row["tried"][str(row["threads"])]:
            continue
        row["threads"] = threads
        if case.unit == PROCESS_START:
            row["seconds"] = [per_unit]
        best = Runner(worker, row, n_runs, repeats, seconds * repeats)
    best_threads[competitor.family] = row["threads"]
    return best, row


def failed_case(entry: CaseEntry, competitors: Iterable[Competitor], rules: Rules, reason: str) -> dict:
    """The result of a case that failed as a whole, for example because its data come with a missing library."""
    failed = {"status": "failed", "reason": reason}
    rows = [
        new_row(competitor.name, competitor.kind) | (skip_reason(competitor, rules) or failed)
        for competitor in competitors
    ]
    return {
        "name": entry.name,
        "group": entry.group,
        "title": entry.name,
        "source": "not known",
        "unit": "run",
        "costs": {},
        "curve": None,
        "others_busy": 0.0,
        "slow_starts": 0,
        "rows": rows,
    }


def run_case(
    entry: CaseEntry, competitors: Sequence[Competitor], rules: Rules, pool: Pool, log: Callable[[str], None]
) -> dict:
    """The result of one case, as reporting.result_files describes it."""
    case = build(entry.name, rules.quick)
    if entry.largest:
        rules = rules._replace(rounds=min(rules.rounds, LARGEST_CASE_ROUNDS))
    busy_shares = [others_busy()]
    rows, runners, best_threads, slow_starts = [], [], {}, 0
    pool.make_ready(competitor for competitor in competitors if not skip_reason(competitor, rules))
    try:
        for competitor in competitors:
            log(competitor.name)
            runner, row = calibrate_competitor(entry, case, competitor, rules, pool, best_threads)
            rows.append(row)
            runners += [runner] if runner else []
        if runners:
            n_rounds = affordable_rounds(rules, sum(runner.seconds + PAUSE for runner in runners))
            log(f"{n_rounds} round{'s' if n_rounds > 1 else ''}")
            slow_starts = time_rounds(runners, n_rounds - (case.unit == PROCESS_START), case.n_units)
        for runner in runners:
            runner.row.update(runner.worker("facts"))
            runner.row.update(n_runs=runner.n_runs, repeats=runner.repeats)
    finally:
        pool.end_workers()
    come_to_rest()
    busy_shares.append(others_busy())
    return {
        "name": entry.name,
        "group": entry.group,
        "title": case.title,
        "source": case.source,
        "unit": case.unit,
        "costs": case.costs(),
        "curve": case.curve,
        "others_busy": statistics.mean(busy_shares),
        "slow_starts": slow_starts,
        "rows": rows,
    }
