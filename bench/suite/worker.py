"""Worker: a process of its own for one competitor, with its own threads, environment and memory.

It is driven through `Worker`: prepare, verify or answer, measure, facts. Between commands the process sleeps.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from contextlib import suppress
from importlib import import_module

from competitors import Competitor, Unsupported, check_card

from suite.compile_time import SET_UP, note_kernels, set_up

NAMES_OF_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC", "NPROC")
PATIENCE = 600  # seconds for one command; a compiler may need minutes


class Failed(Exception):
    """A competitor could not do what it was asked; the message is its last line of error."""


def blas_in_use(module) -> str:
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found = {f"{p['internal_api']} {p['version']} {p.get('architecture')}" for p in pools}
    return module.products() if hasattr(module, "products") else "; ".join(sorted(found))


def peak_memory() -> int:
    """Peak resident bytes of this process, or 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


def load(competitor: Competitor) -> None:
    """What a competitor's process does before it knows its case."""
    for name in ("suite.case_table", *competitor.imports):
        import_module(name)
    if competitor.preloads:
        import_module(competitor.module).preload(competitor.variant)


def limit_threads(threads: int) -> None:
    """Of this process and those that it starts. PyTorch's are set by its competitors."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(NAMES_OF_THREADS, str(threads)))  # JAX reads them when it starts to compute
    threadpool_limits(threads)


def serve(connection, competitor: Competitor, threads: int | None, most_cpus: int) -> None:
    """Answer commands (name, *arguments) with ("ok", result), ("unsupported", why) or ("failed", why)."""
    if threads is None and hasattr(os, "sched_setaffinity"):  # it decides by itself how many of these to use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:most_cpus])
    implementation = case = None
    compiled: dict[str, float] = {}

    def prepare(name, quick, cache=""):
        """cache : a folder in which this package finds no kernels but those compiled in this run"""
        nonlocal implementation, case
        from suite.case_table import build

        load(competitor)
        if cache:
            os.environ["NUMBA_CACHE_DIR"] = cache
            compiled[SET_UP] = set_up()
        if competitor.kind == "ours":
            note_kernels(compiled)
        if threads:
            limit_threads(threads)
        check_card(competitor)
        case = build(name, quick)
        implementation = import_module(competitor.module).Implementation(competitor.variant)
        return implementation.prepare(case, threads)

    def kernels():
        """Of this package that were loaded: name -> what compiling took, 0 for those on disk."""
        return compiled

    def verify():
        """The answer after a few runs; where they are of less than the whole case, of a second competitor."""
        part, trial = case.verification, implementation
        if part is not case:
            trial = import_module(competitor.module).Implementation(competitor.variant)
            trial.prepare(part, threads)
        trial.reset()
        trial.run(case.verify_runs)
        answer = trial.answer(part)
        del trial
        reset_peak_memory()
        return answer

    def answer():
        """The answer after what `measure` did last, for cases that are done once."""
        return implementation.answer(case)

    def measure(n_runs, repeats):
        """Seconds of n_runs runs, the mean of `repeats` jobs one after the other."""
        implementation.reset()
        started = time.perf_counter()
        for _ in range(repeats):
            implementation.run(n_runs)
        return (time.perf_counter() - started) / repeats

    def facts():
        peak = implementation.peak_memory() if hasattr(implementation, "peak_memory") else peak_memory()
        notes = implementation.notes() if hasattr(implementation, "notes") else {}
        return {"products": blas_in_use(import_module(competitor.module)), "peak_memory": peak, "notes": notes}

    commands = {f.__name__: f for f in (prepare, kernels, verify, answer, measure, facts)}
    while (command := connection.recv()) is not None:
        try:
            connection.send(("ok", commands[command[0]](*command[1:])))
        except Unsupported as reason:
            connection.send(("unsupported", str(reason)))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(last.filename)}:{last.lineno}"
            connection.send(("failed", f"{type(error).__name__}: {str(error)[:300]} ({place})"))
    implementation = None  # its temporary folders too
    os._exit(0)  # some libraries take a second to tidy up


def reset_peak_memory() -> None:
    """Start to count anew, where the system can (Linux)."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Worker:
    """What drives the process that serves at the other end: `worker("measure", 10, 1)`.

    process : its number
    """

    def __init__(self, connection, process: int):
        self._connection, self._process = connection, process

    def __call__(self, *command):
        try:
            self._connection.send(command)
        except OSError:
            raise Failed(f"the process had ended before {command[0]!r}") from None
        if not self._connection.poll(PATIENCE):
            self._kill()
            raise Failed(f"no answer to {command[0]!r} in {PATIENCE} s")
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
        """Returns when the process has ended, or let go of the connection at least."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self._connection.poll(10):
                self._connection.recv()
            else:
                self._kill()
        self._connection.close()
