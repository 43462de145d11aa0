"""Training one net: microseconds per optimiser step, for this package, its peers and the bare matrix products.

    python bench/single_net.py [--workloads xor,digits32] [--peers all|none|jax,torch] [--rounds 7] [--json out.json]
                               [--threads 1,2] [--quick]

1. Every contestant trains a few steps and must reach the parameters and loss of a float64 NumPy run from the same
   start; one that does not is reported and not timed.
2. Every contestant is timed with each thread setting, and the better one goes on. A job is the workload's epochs, or
   fewer for a slow contestant; short jobs are repeated until a measurement is worth taking.
3. Rounds: each runs every contestant once, in alternating order, from the same start. Medians over the rounds, smallest
   and largest beside them; ratios are medians of the ratios within a round.

"compile" is the time from the built objects to the first trained step in a fresh process, with the disk caches that
Numba and torch.compile keep as they are found (cold_start.py empties them). --quick: three rounds of 64 steps an epoch.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import time

import reference
from environment import cpus, machine, print_machine, start_clean
from peers import LIMITS, OURS, PEERS, Unsupported
from table import print_workload
from worker import Failed, Worker
from workloads import WORKLOADS

PARAMETERS_TOLERANCE = 0.01  # share of the distance travelled; see reference.difference
LOSS_TOLERANCE = 1e-4  # share of the loss
LONG_ENOUGH = 0.25  # seconds after which a job needs no more epochs
SHORTEST = 0.06  # seconds of one measurement
PAUSE = 0.05  # idle threads of the last contestant spin for some milliseconds


class Wrong(Exception):
    """Another result than the reference's."""


def check(worker: Worker, workload, n_steps, expected) -> tuple[float, float] | None:
    """Shares by which parameters and loss differ from the reference.

    expected : form of Adam -> the reference's parameters
    """
    if worker.peer.is_limit:
        return None
    params, value = worker("verify", workload.name, n_steps)
    trial = workload.verification
    off = reference.difference(trial, params, value, expected(worker.peer.corrects_epsilon))
    if not (off[0] <= PARAMETERS_TOLERANCE and off[1] <= LOSS_TOLERANCE):
        raise Wrong(f"parameters differ by {off[0]:.2g} of the way, loss by {off[1]:.2g}")
    return off


def calibrate(worker: Worker, workload) -> tuple[int, int, float]:
    """(epochs of a job, repeats in a measurement, seconds of a job)."""
    n_epochs = 1
    worker("measure", n_epochs, 1)  # unmeasured: torch.compile may look at fresh tensors once more
    while True:
        seconds = worker("measure", n_epochs, 1)
        if seconds >= LONG_ENOUGH or n_epochs >= workload.n_epochs:
            break
        n_epochs = min(workload.n_epochs, n_epochs * max(2, min(16, math.ceil(LONG_ENOUGH / seconds))))
    repeats = max(1, math.ceil(SHORTEST / seconds))
    if seconds < 2 * LONG_ENOUGH:
        seconds = min(worker("measure", n_epochs, repeats) for _ in range(3))
    return n_epochs, repeats, seconds


def enter(peer, workload, n_steps, expected, thread_settings) -> tuple[Worker | None, dict]:
    """The contestant's worker with its better thread setting, ready to run, and its row of the results."""
    row = {"name": peer.name, "is_limit": peer.is_limit, "status": "timed", "tried": {}, "compile_seconds": 0.0}
    best = None
    for threads in [None] if peer.chooses_threads else thread_settings:
        worker = Worker(peer, threads, max(thread_settings))
        try:
            if missing := worker("available"):
                raise Unsupported(missing)
            compiled = worker("prepare", workload.name, n_steps)
            row["verified"] = check(worker, workload, n_steps, expected)
            n_epochs, repeats, seconds = calibrate(worker, workload)
        except (Unsupported, Failed, Wrong) as reason:
            worker.close()
            row["status"] = f"{type(reason).__name__.lower()}: {reason}"
            break
        per_step = seconds / n_epochs / workload.n_steps
        row["compile_seconds"] = max(row["compile_seconds"], compiled)  # the second process may find a warm cache
        row["tried"][str(threads or "own choice")] = per_step
        if best is None or per_step < best[1]:
            if best:
                best[0].close()
            best = worker, per_step
            row.update(threads=threads, n_epochs=n_epochs, repeats=repeats)
        else:
            worker.close()
    if row["status"] != "timed" and best:
        best[0].close()
    return (best[0] if best and row["status"] == "timed" else None), row


def rounds_of(entries, n_rounds: int, workload) -> None:
    """Add `seconds`, one per step and round, to each row."""
    for _, row in entries:
        row["seconds"] = []
    for k in range(n_rounds):
        for worker, row in entries if k % 2 == 0 else reversed(entries):
            time.sleep(PAUSE)
            seconds = worker("measure", row["n_epochs"], row["repeats"])
            row["seconds"].append(seconds / row["n_epochs"] / workload.n_steps)
    for worker, row in entries:
        row["median"] = statistics.median(row["seconds"])
        row.update(worker("facts"))


def ratio(row, other) -> float:
    return statistics.median(a / b for a, b in zip(row["seconds"], other["seconds"], strict=True))


def compare(rows: list[dict]) -> None:
    """Add each timed row's ratio to the bare products, and its time as a multiple of ours."""
    timed = [row for row in rows if row["status"] == "timed"]
    limit = min((row for row in timed if row["is_limit"]), key=lambda row: row["median"], default=None)
    ours = next((row for row in timed if row["name"] == OURS.name), None)
    for row in timed:
        row["to_products"] = ratio(row, limit) if limit else None
        row["to_ours"] = ratio(row, ours) if ours and not row["is_limit"] else None


def run_workload(name: str, peers, n_rounds: int, thread_settings, n_steps) -> dict:
    workload = WORKLOADS[name]()
    workload = workload.head(n_steps) if n_steps else workload
    trial = workload.verification
    expected = functools.cache(lambda form: reference.train(trial, trial.verify_epochs, form))
    limits = LIMITS if max(workload.layer_sizes) > 8 else ()  # smaller matrices do not pay a call of BLAS
    entries, rows = [], []
    try:
        for peer in (*limits, OURS, *peers):
            worker, row = enter(peer, workload, n_steps, expected, thread_settings)
            rows.append(row)
            if worker:
                entries.append((worker, row))
        rounds_of(entries, n_rounds, workload)
    finally:
        for worker, _ in entries:
            worker.close()
    compare(rows)
    job = ("name", "layer_sizes", "loss", "optimizer", "batch_size", "source")
    costs = ("n_steps", "n_params", "flop_per_step", "bytes_per_step")
    return {**{key: getattr(workload, key) for key in (*job, *costs)}, "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--peers", default="all")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", default=",".join(map(str, sorted({1, cpus()}))))
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    start_clean()
    names, families = options.workloads.split(","), options.peers.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"unknown workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if unknown := set(families) - {"all", "none"} - {peer.family for peer in PEERS}:
        parser.error(f"unknown peer {', '.join(unknown)}; there are {', '.join(sorted({p.family for p in PEERS}))}")
    peers = [peer for peer in PEERS if families == ["all"] or peer.family in families]
    results = {"machine": machine(), "workloads": []}
    print_machine(results["machine"])
    for name in names:
        settings = [int(text) for text in options.threads.split(",")]
        rounds = options.rounds or (3 if options.quick else 7)
        results["workloads"].append(run_workload(name, peers, rounds, settings, 64 if options.quick else None))
        print_workload(results["workloads"][-1])
        if options.json:
            with open(options.json, "w") as file:
                json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
