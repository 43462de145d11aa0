"""Fork server: a process that imports each library once, then forks a worker for each measurement.

Importing PyTorch, JAX or Keras takes longer than most cases. Competitors with the same libraries and environment
variables share one fork server. Each worker begins as a copy of a process that has imported them and done nothing else;
what it compiles and keeps in memory is its own. Where a fork is not safe (with a GPU's driver, and on systems other
than Linux) the fork server starts new processes instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from tempfile import TemporaryDirectory
from unittest.mock import patch

from competitors import Competitor

from suite.worker import Failed, Worker, load, serve


def may_fork(device: str) -> bool:
    return device == "cpu" and sys.platform == "linux"


def fork_server_main(connection, competitor: Competitor, forks: bool) -> None:
    """Start a worker for each request (connection of the worker, *arguments of `serve`), and send its number."""
    # After Ctrl-C the parent closes the connection, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if forks:
        with suppress(Exception):  # the worker fails in the same way, and reports it
            load(competitor)
    connection.send("ready")
    context = multiprocessing.get_context("fork" if forks else "spawn")
    with suppress(EOFError):
        while (request := connection.recv()) is not None:
            multiprocessing.active_children()  # reaps workers that have ended
            process = context.Process(target=serve, args=request, daemon=True)
            process.start()
            request[0].close()
            connection.send(process.pid)


class ForkServer:
    """`ForkServer(competitor, "cpu", folder).start(competitor, 1, 2)` returns a Worker.

    It can start every competitor that has the same `fork_server_key`.

    folder : where libraries keep what they compile; empty when the run begins
    """

    def __init__(self, competitor: Competitor, device: str, folder: str):
        environment = {"TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, "torch")}
        if device == "cpu":
            environment["JAX_PLATFORMS"] = "cpu"  # by default JAX takes a GPU if there is one
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # JAX would take three quarters of a GPU's memory
        context = multiprocessing.get_context("spawn")
        self._connection, child_end = context.Pipe()
        with patch.dict(os.environ, {**environment, **competitor.environment, "FASTMLP_BENCH_DEVICE": device}):
            self._process = context.Process(target=fork_server_main, args=(child_end, competitor, may_fork(device)))
            self._process.start()
        child_end.close()
        self._is_ready = False

    def start(self, competitor: Competitor, threads: int | None, max_cpus: int) -> Worker:
        parent_end, child_end = multiprocessing.Pipe()
        try:
            self.wait()
            self._connection.send((child_end, competitor, threads, max_cpus))
            process = self._connection.recv()
        except (EOFError, OSError):
            raise Failed(f"importing {', '.join(competitor.imports) or competitor.module} ended the process") from None
        finally:
            child_end.close()
        return Worker(parent_end, process)

    def wait(self) -> None:
        """Return when the server has imported its libraries."""
        if not self._is_ready:
            self._connection.recv()
            self._is_ready = True

    def close(self) -> None:
        with suppress(OSError):
            self._connection.send(None)
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def fork_server_key(competitor: Competitor) -> tuple:
    """Competitors with the same key can share a fork server."""
    loads = (competitor.module, competitor.variant) if competitor.preloads else competitor.imports
    return loads, tuple(competitor.environment.items())


class Pool:
    """The workers of a case, and the fork servers of all of them so far."""

    def __init__(self, device: str):
        self._device, self._folder = device, TemporaryDirectory(prefix="fastmlp-bench-")
        self._fork_servers: dict[tuple, ForkServer] = {}
        self._workers: list[Worker] = []

    def make_ready(self, competitors: Iterable[Competitor]) -> None:
        """Import the competitors' libraries, at the same time and before anything is measured."""
        servers = [self._fork_server(competitor) for competitor in competitors]
        for server in servers:
            with suppress(EOFError, OSError):  # a server that has ended reports it when it is asked for a worker
                server.wait()

    def start(self, competitor: Competitor, threads: int | None, max_cpus: int) -> Worker:
        self._workers.append(self._fork_server(competitor).start(competitor, threads, max_cpus))
        return self._workers[-1]

    def _fork_server(self, competitor: Competitor) -> ForkServer:
        key = fork_server_key(competitor)
        if key not in self._fork_servers:
            self._fork_servers[key] = ForkServer(competitor, self._device, self._folder.name)
        return self._fork_servers[key]

    def end_workers(self) -> None:
        while self._workers:
            self._workers.pop().close()

    def close(self) -> None:
        self.end_workers()
        for server in self._fork_servers.values():
            server.close()
        self._fork_servers.clear()
        self._folder.cleanup()
