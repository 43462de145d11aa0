"""Where the contestants' processes come from: a process that has imported their libraries, and forks.

Importing PyTorch, JAX or Keras takes longer than most works. A nursery does it once for all contestants with the same
libraries and environment. Each of them begins as a copy of a process that has done nothing else: what it
compiles, keeps and needs after that is its own. Where a fork is not safe (a card's driver, systems other than Linux)
the nursery starts new processes instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import contextmanager, suppress

from competitors import Peer

from suite.compile_time import Compiled
from suite.worker import Failed, Worker, load, serve


def may_fork(device: str) -> bool:
    return device == "cpu" and sys.platform == "linux"


def nurse(connection, peer: Peer, forks: bool) -> None:
    """Answer each (connection of the new process, *arguments of `serve`) with its process number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who pressed Ctrl-C ends this by closing the connection
    if forks:
        with suppress(Exception):  # what breaks here will say so in a contestant's process
            load(peer)
    connection.send("ready")
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
    """`Nursery(peer, "cpu", folder).start(peer, 1, 2)` is a Worker; the peer may be any with the same `nursery_key`.

    folder : of what libraries compile and keep, which had nothing in it when the run began
    """

    def __init__(self, peer: Peer, device: str, folder: str):
        environment = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "torch")}
        if device == "cpu":
            environment["JAX_PLATFORMS"] = "cpu"  # where there is a card JAX would take it
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with variables({**environment, **peer.environment, "FASTMLP_BENCH_DEVICE": device}):
            self._process = context.Process(target=nurse, args=(theirs, peer, may_fork(device)))
            self._process.start()
        theirs.close()
        self._is_ready = False

    def start(self, peer: Peer, threads: int | None, most_cpus: int) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        try:
            self.wait()
            self._connection.send((theirs, peer, threads, most_cpus))
            process = self._connection.recv()
        except (EOFError, OSError):
            raise Failed(f"importing {', '.join(peer.imports) or peer.module} ended the process") from None
        finally:
            theirs.close()
        return Worker(ours, process)

    def wait(self) -> None:
        """Until it has imported what it is for."""
        if not self._is_ready:
            self._connection.recv()
            self._is_ready = True

    def close(self) -> None:
        with suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def nursery_key(peer: Peer) -> tuple:
    """Contestants with one key can have one nursery."""
    loads = (peer.module, peer.variant) if peer.preloads else peer.imports
    return loads, tuple(peer.environment.items())


class Pool:
    """The workers of a work, and the nurseries of all of them so far.

    compiled : what has been found out about compiling this package's kernels
    """

    def __init__(self, device: str):
        self.device, self.compiled = device, Compiled()
        self._nurseries: dict[tuple, Nursery] = {}
        self._workers: list[Worker] = []

    def make_ready(self, peers: Iterable[Peer]) -> None:
        """Import what these need, all at once and before anything is measured."""
        nurseries = [self._nursery(peer) for peer in peers]
        for nursery in nurseries:
            with suppress(EOFError, OSError):  # what has ended will say so when it is asked to start something
                nursery.wait()

    def start(self, peer: Peer, threads: int | None, most_cpus: int) -> Worker:
        self._workers.append(self._nursery(peer).start(peer, threads, most_cpus))
        return self._workers[-1]

    def _nursery(self, peer: Peer) -> Nursery:
        key = nursery_key(peer)
        if key not in self._nurseries:
            self._nurseries[key] = Nursery(peer, self.device, self.compiled.folder)
        return self._nurseries[key]

    def end_workers(self) -> None:
        while self._workers:
            self._workers.pop().close()

    def close(self) -> None:
        self.end_workers()
        for nursery in self._nurseries.values():
            nursery.close()
        self._nurseries.clear()
        self.compiled.close()
