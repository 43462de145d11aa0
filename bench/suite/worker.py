"""Worker: a process of its own for one competitor, with its own threads, environment and memory.

The runner drives it through `Worker`: prepare, verify or answer, measure, facts. Between commands the process sleeps.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

from competitors import Competitor, Unsupported, check_gpu

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC", "NPROC")
COMMAND_TIMEOUT = 600  # seconds; a compiler may need minutes


class Failed(Exception):
    """A competitor's command failed; the message is the last line of its error."""


def blas_in_use(module) -> str:
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    libraries = {f"{p['internal_api']} {p['version']} {p.get('architecture')}" for p in pools}
    return module.products() if hasattr(module, "products") else "; ".join(sorted(libraries))


def peak_memory() -> int:
    """Peak resident bytes of this process, or 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def load(competitor: Competitor) -> None:
    """Import what the competitor needs: all that its process does before it knows its case."""
    for name in ("suite.case_lookup", *competitor.imports):
        import_module(name)
    if competitor.preloads:
        import_module(competitor.module).preload(competitor.variant)


def limit_threads(threads: int) -> None:
    """Limit the threads of this process and of those that it starts. PyTorch's are set by its competitors."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))  # JAX reads them when it starts to compute
    threadpool_limits(threads)


class Service:
    """What a worker process does for its competitor: each public method is a command of `Worker`."""

    def __init__(self, competitor: Competitor, threads: int | None):
        self._competitor, self._threads = competitor, threads
        self._case = self._implementation = None

    def prepare(self, name, quick):
        """Seconds of building and compiling the competitor for a case."""
        from suite.case_lookup import build

        load(self._competitor)
        if self._threads:
            limit_threads(self._threads)
        check_gpu(self._competitor)
        self._case = build(name, quick)
        self._implementation = self._new_implementation()
        return self._implementation.prepare(self._case, self._threads)

    def verify(self):
        """The answer after a few runs; where they are of less than the whole case, of a second competitor."""
        part, trial = self._case.verification, self._implementation
        if part is not self._case:
            trial = self._new_implementation()
            trial.prepare(part, self._threads)
        trial.reset()
        trial.run(self._case.verify_runs)
        answer = trial.answer(part)
        del trial
        reset_peak_memory()
        return answer

    def answer(self):
        """The answer after the last `measure`, for cases that are done once."""
        return self._implementation.answer(self._case)

    def measure(self, n_runs, repeats):
        """Seconds of n_runs runs, the mean of `repeats` jobs one after the other."""
        implementation = self._implementation
        implementation.reset()
        started = time.perf_counter()
        for _ in range(repeats):
            implementation.run(n_runs)
        return (time.perf_counter() - started) / repeats

    def facts(self):
        """The library of its matrix products, its peak of memory, and what else it reports."""
        implementation = self._implementation
        peak = implementation.peak_memory() if hasattr(implementation, "peak_memory") else peak_memory()
        notes = implementation.notes() if hasattr(implementation, "notes") else {}
        products = blas_in_use(import_module(self._competitor.module))
        return {"products": products, "peak_memory": peak, "notes": notes}

    def _new_implementation(self):
        return import_module(self._competitor.module).Implementation(self._competitor.variant)


COMMANDS = ("prepare", "verify", "answer", "measure", "facts")


def serve(connection, competitor: Competitor, threads: int | None, max_cpus: int) -> None:
    """Answer commands (name, *arguments) with ("ok", result), ("unsupported", reason) or ("failed", reason)."""
    if threads is None and hasattr(os, "sched_setaffinity"):  # it decides by itself how many of these to use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:max_cpus])
    service = Service(competitor, threads)
    commands = {name: getattr(service, name) for name in COMMANDS}
    while (command := connection.recv()) is not None:
        connection.send(reply(commands, *command))
    del commands, service  # its temporary folders too
    os._exit(0)  # some libraries take a second to tidy up


def reply(commands, name, *arguments) -> tuple[str, Any]:
    try:
        return "ok", commands[name](*arguments)
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}"
        return "failed", f"{type(error).__name__}: {str(error)[:300]} ({place})"


def reset_peak_memory() -> None:
    """Start the count of peak memory anew, where the system can (Linux)."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Worker:
    """The runner's handle of a worker process: `worker("measure", 10, 1)` sends a command and returns its result.

    process : the process's number
    """

    def __init__(self, connection, process: int):
        self._connection, self._process = connection, process

    def __call__(self, *command):
        try:
            self._connection.send(command)
        except OSError:
            raise Failed(f"the process had ended before {command[0]!r}") from None
        if not self._connection.poll(COMMAND_TIMEOUT):
            self._kill()
            raise Failed(f"no answer to {command[0]!r} in {COMMAND_TIMEOUT} s")
        try:
            status, result = self._connection.recv()
        except (EOFError, OSError):
            raise Failed(f"the process ended during {command[0]!r}") from None
        if status == "unsupported":
            raise Unsupported(result)
        if status == "failed":
            raise Failed(result)
        return result

    def _kill(self) -> None:
        with suppress(OSError):
            os.kill(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))

    def close(self) -> None:
        """End the process; returns when it has ended, or has closed the connection at least."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self._connection.poll(10):
                self._connection.recv()
            else:
                self._kill()
        self._connection.close()
