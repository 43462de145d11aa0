"""Where the contestants' processes come from: a process that has imported their libraries, and forks.

Importing PyTorch, JAX or Keras takes longer than most works. A nursery does it once for all contestants with the same
libraries, environment and threads. Each of them begins as a copy of a process that has done nothing else: what it
compiles, keeps and needs after that is its own. Where a fork is not safe (a card's driver, systems other than Linux)
the nursery starts new processes instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import contextmanager, suppress
from importlib import import_module

from peers import Peer
from worker import Failed, Worker, serve

NAMES_OF_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC", "NPROC")


def may_fork(device: str) -> bool:
    return device == "cpu" and sys.platform == "linux"


def load(peer: Peer) -> None:
    """What a contestant's process does before it knows its work; a library that breaks will say so again there."""
    with suppress(Exception):
        for name in ("works", *peer.imports):
            import_module(name)
        if peer.preloads:
            import_module(peer.module).preload(peer.variant)


def nurse(connection, peer: Peer, forks: bool) -> None:
    """Answer each (connection of the new process, *arguments of `serve`) with its process number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who pressed Ctrl-C ends this by closing the connection
    if forks:
        load(peer)
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with suppress(EOFError):
        while (order := connection.recv()) is not None:
            multiprocessing.active_children()  # takes leave of those that have ended
            process = context.Process(target=serve, args=order, daemon=True)
            process.start()
            order[0].close()
            connection.send(process.pid)


@contextmanager
def variables(values: dict[str, str]):
    """Environment variables that a process started inside inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Nursery:
    """`Nursery(peer, 1, "cpu").start(peer, 1, 2)` is a Worker; the peer may be any with the same `nursery_key`."""

    def __init__(self, peer: Peer, threads: int | None, device: str):
        environment = dict.fromkeys(NAMES_OF_THREADS, str(threads)) if threads else {}
        if device == "cpu":
            environment["JAX_PLATFORMS"] = "cpu"  # where there is a card it would take it
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with variables({**environment, **peer.environment, "FASTMLP_BENCH_DEVICE": device}):
            self._process = context.Process(target=nurse, args=(theirs, peer, may_fork(device)))
            self._process.start()
        theirs.close()

    def start(self, peer: Peer, threads: int | None, most_cpus: int) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        try:
            self._connection.send((theirs, peer, threads, most_cpus))
            process = self._connection.recv()
        except (EOFError, OSError):
            raise Failed(f"importing {', '.join(peer.imports) or peer.module} ended the process") from None
        finally:
            theirs.close()
        return Worker(ours, process)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def nursery_key(peer: Peer, threads: int | None) -> tuple:
    """Contestants with one key can have one nursery."""
    loads = (peer.module, peer.variant) if peer.preloads else peer.imports
    return loads, tuple(peer.environment.items()), threads


class Pool:
    """The workers of a work, and the nurseries of all of them so far."""

    def __init__(self, device: str):
        self._device = device
        self._nurseries: dict[tuple, Nursery] = {}
        self._workers: list[Worker] = []

    def start(self, peer: Peer, threads: int | None, most_cpus: int) -> Worker:
        key = nursery_key(peer, threads)
        if key not in self._nurseries:
            self._nurseries[key] = Nursery(peer, threads, self._device)
        self._workers.append(self._nurseries[key].start(peer, threads, most_cpus))
        return self._workers[-1]

    def end_workers(self) -> None:
        while self._workers:
            self._workers.pop().close()

    def close(self) -> None:
        self.end_workers()
        for nursery in self._nurseries.values():
            nursery.close()
        self._nurseries.clear()
