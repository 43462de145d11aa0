"""Populations on the workers of a Dask cluster of this machine: what tasks cost, a lost worker, many small workers.

    python bench/studies/executors.py [--only overhead kill many] [--seconds 40] [--rounds 3] [--nets 10000]
                                      [--workers 32]

It needs the extra `dask`, and an otherwise idle machine. Each measurement compares the parameters with those of a fit
in this process, and ends the program with an error if a bit differs.

overhead   nets of 64-64-32-10 that train for --seconds in this process, and on two workers in tasks of about 2 s; the
           two take turns --rounds times. Prints the ratio of the seconds on the clock, and that of the seconds of
           processors, of client, scheduler and workers together: 1.05 is an overhead of 5 %.
kill       --nets nets of 64-64-32-10 on two workers, one of which gets SIGKILL when half of the nets are done.
many       nets that learn XOR on --workers workers of one thread each: tasks, and the seconds of processors that client
           and scheduler, which are one process here, take for each of them.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from suite.clean_env import start_clean

SIZES = 64, 64, 32, 10
STARTED_AT_A_TIME = 4  # workers of a cluster
XOR_X, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])


def samples(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y), with the classes of a linear function."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, SIZES[0])).astype(np.float32)
    return X, (X @ rng.normal(size=(SIZES[0], SIZES[-1]))).argmax(axis=1)


def population(n_nets: int, sizes: tuple[int, ...] = SIZES) -> Any:
    import fastmlp

    loss = "softmax_cross_entropy" if sizes[-1] > 1 else "binary_cross_entropy"
    return fastmlp.Population(sizes, n_nets, loss=loss, device="cpu", random_state=0)


@contextmanager
def cluster_of(n_workers: int) -> Iterator[Any]:
    """Context with the client of a cluster whose workers have one thread of Dask's each.

    A few of them start at a time: many that import their modules side by side on few processors would not answer the
    scheduler in time.
    """
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=0, threads_per_worker=1, memory_limit=0, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for n in (*range(STARTED_AT_A_TIME, n_workers, STARTED_AT_A_TIME), n_workers):
            cluster.scale(n)
            client.wait_for_workers(n, timeout=120)
        yield client


@contextmanager
def recorded_tasks(look: Callable[[list], None] = lambda tasks: None) -> Iterator[list[tuple[int, float]]]:
    """Context with a list that gets (number of nets, seconds) of each task that ends; look : called after each."""
    from fastmlp.population_training.nets_per_task import TaskSizes

    tasks: list[tuple[int, float]] = []
    take = TaskSizes.take

    def noted(sizes: TaskSizes, n_nets: int, seconds: float) -> None:
        tasks.append((n_nets, seconds))
        take(sizes, n_nets, seconds)
        look(tasks)

    TaskSizes.take = noted
    try:
        yield tasks
    finally:
        TaskSizes.take = take


class Timed(NamedTuple):
    """Seconds of a fit: on the clock, of processors in this process, and of processors in the workers."""

    clock: float
    here: float
    workers: float


def timed(run: Callable[[], Any], pids: list[int]) -> Timed:
    """Run a fit; pids : numbers of the workers' processes."""
    import psutil

    def processors(numbers: list[int]) -> float:
        times = [psutil.Process(number).cpu_times() for number in numbers]
        return sum(found.user + found.system for found in times)

    before = processors([os.getpid()]), processors(pids)
    start = time.perf_counter()
    run()
    clock = time.perf_counter() - start
    return Timed(clock, processors([os.getpid()]) - before[0], processors(pids) - before[1])


def check_same_bits(found: Any, expected: Any) -> str:
    if not np.array_equal(found.params, expected.params):
        sys.exit("parameters differ from those of one process")
    return "the bits of one process"


def text_of(tasks: list[tuple[int, float]]) -> str:
    nets, seconds = zip(*tasks, strict=True)
    return (
        f"{len(tasks)} tasks of {min(nets):,} to {max(nets):,} nets, {min(seconds):.2f} to {max(seconds):.2f} s, "
        f"median {statistics.median(seconds):.2f} s"
    )


def overhead(settings: argparse.Namespace) -> None:
    (X, y), fit = samples(2_000), {"epochs": 20, "batch_size": 32, "verbose": 0}
    population(8).fit(X, y, **fit)  # compiles
    of_eight = timed(lambda: population(8).fit(X, y, **fit), []).clock
    n_nets = max(16, round(8 * settings.seconds / of_eight))
    with cluster_of(2) as client:
        pids = list(client.run(os.getpid).values())
        population(64).fit(X, y, **fit, executor=client)  # workers load their kernels
        ratios = []
        for _ in range(settings.rounds):
            here, there = population(n_nets), population(n_nets)
            alone = timed(lambda pop=here: pop.fit(X, y, **fit), pids)
            with recorded_tasks() as tasks:
                shared = timed(lambda pop=there: pop.fit(X, y, **fit, executor=client), pids)
            bits = check_same_bits(there, here)
            ratios.append((shared.clock / alone.clock, (shared.here + shared.workers) / alone.here))
            print(
                f"overhead: {n_nets} nets, {alone.clock:.1f} s in one process, {shared.clock:.1f} s on two workers; "
                f"{text_of(tasks)}; {bits}",
                flush=True,
            )
    clock, processors = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"overhead: {clock:.3f} times the seconds on the clock, {processors:.3f} times those of processors")


def kill(settings: argparse.Namespace) -> None:
    (X, y), fit = samples(200), {"epochs": 2, "batch_size": 32, "verbose": 0}
    here, there, killed = population(settings.nets), population(settings.nets), []
    here.fit(X, y, **fit)
    with cluster_of(2) as client:
        victim = next(iter(client.run(os.getpid).values()))

        def kill_half_way(tasks: list[tuple[int, float]]) -> None:
            if not killed and sum(n for n, _ in tasks) >= settings.nets / 2:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        with recorded_tasks(kill_half_way) as tasks:
            seconds = timed(lambda: there.fit(X, y, **fit, executor=client), []).clock
    if not killed:
        sys.exit("no worker was killed")
    bits = check_same_bits(there, here)
    print(f"kill: {settings.nets:,} nets in {seconds:.1f} s with one worker killed half way; {text_of(tasks)}; {bits}")


def many(settings: argparse.Namespace) -> None:
    fit = {"epochs": 200, "optimizer": "rprop", "verbose": 0}
    n_nets = 40_000 * settings.workers
    here, there = population(n_nets, (2, 2, 1)), population(n_nets, (2, 2, 1))
    here.fit(XOR_X, XOR_Y, **fit)
    with cluster_of(settings.workers) as client:
        pids = list(client.run(os.getpid).values())
        population(64, (2, 2, 1)).fit(XOR_X, XOR_Y, **fit, executor=client)
        with recorded_tasks() as tasks:
            shared = timed(lambda: there.fit(XOR_X, XOR_Y, **fit, executor=client), pids)
    bits = check_same_bits(there, here)
    print(
        f"many: {n_nets:,} nets on {settings.workers} workers in {shared.clock:.1f} s; {text_of(tasks)}; "
        f"{1e3 * shared.here / len(tasks):.1f} ms of processors of client and scheduler for a task, "
        f"{shared.workers:.1f} s of the workers; {bits}"
    )


MEASUREMENTS = {row.__name__: row for row in (overhead, kill, many)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=[*MEASUREMENTS])
    parser.add_argument("--seconds", type=float, default=40.0, help="of the fit in one process, for the overhead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nets", type=int, default=10_000, help="of the fit during which a worker is killed")
    parser.add_argument("--workers", type=int, default=32, help="small ones")
    settings = parser.parse_args()
    start_clean()
    for name in settings.only:
        MEASUREMENTS[name](settings)


if __name__ == "__main__":
    main()
