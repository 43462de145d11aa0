"""One contestant in a process of its own: its threads, environment and memory are nobody else's.

The parent drives it through `Worker`: prepare, verify or answer, measure, facts, forget; then perhaps the same for
another work. Between commands the process sleeps.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
import traceback
from contextlib import contextmanager, suppress
from importlib import import_module

from peers import Peer, Unsupported, check_card

PATIENCE = 600  # seconds for one command; a compiler may need minutes


class Failed(Exception):
    """A contestant could not do what it was asked; the message is its last line of error."""


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


def serve(connection, peer: Peer, threads: int | None, most_cpus: int) -> None:
    """Answer commands (name, *arguments) with ("ok", result), ("unsupported", why) or ("failed", why)."""
    if threads is None and hasattr(os, "sched_setaffinity"):  # it decides by itself how many of these to use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:most_cpus])
    contestant, built = None, {}

    def job(name: str, quick: bool):
        from works import build

        if (name, quick) not in built:
            built.clear()
            built[name, quick] = build(name, quick)
        return built[name, quick]

    def prepare(name, quick):
        nonlocal contestant
        contestant = None
        check_card(peer)
        contestant = import_module(peer.module).Contestant(peer.variant)
        return contestant.prepare(job(name, quick), threads)

    def verify(name, quick):
        """The answer after a few runs, of a second contestant: the first has compiled in a fresh process."""
        work = job(name, quick)
        trial = import_module(peer.module).Contestant(peer.variant)
        trial.prepare(work.verification, threads)
        trial.reset()
        trial.run(work.verify_runs)
        answer = trial.answer(work.verification)
        del trial
        reset_peak_memory()
        return answer

    def answer(name, quick):
        """The answer after what `measure` did last, for works that are done once."""
        return contestant.answer(job(name, quick))

    def measure(n_runs, repeats):
        """Seconds of n_runs runs, the mean of `repeats` jobs one after the other."""
        contestant.reset()
        started = time.perf_counter()
        for _ in range(repeats):
            contestant.run(n_runs)
        return (time.perf_counter() - started) / repeats

    def facts():
        peak = contestant.peak_memory() if hasattr(contestant, "peak_memory") else peak_memory()
        notes = contestant.notes() if hasattr(contestant, "notes") else {}
        return {"products": blas_in_use(import_module(peer.module)), "peak_memory": peak, "notes": notes}

    def forget():
        nonlocal contestant
        contestant = None
        built.clear()
        gc.collect()

    commands = {f.__name__: f for f in (prepare, verify, answer, measure, facts, forget)}
    while (command := connection.recv()) is not None:
        try:
            connection.send(("ok", commands[command[0]](*command[1:])))
        except Unsupported as reason:
            connection.send(("unsupported", str(reason)))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(last.filename)}:{last.lineno}"
            connection.send(("failed", f"{type(error).__name__}: {str(error)[:300]} ({place})"))
    forget()  # temporary folders too
    os._exit(0)  # some libraries take a second to tidy up


def reset_peak_memory() -> None:
    """Start to count anew, where the system can (Linux)."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


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


class Worker:
    """`with Worker(peer, threads, most_cpus) as worker: worker("measure", 10, 1)`."""

    def __init__(self, peer: Peer, threads: int | None, most_cpus: int, device: str = "cpu"):
        self.peer, self.threads = peer, threads
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PJRT_NPROC", "NPROC")
        environment = dict.fromkeys(names, str(threads)) if threads else {}
        if device == "cpu":
            environment["JAX_PLATFORMS"] = "cpu"  # where there is a card it would take it
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with variables({**environment, **peer.environment, "FASTMLP_BENCH_DEVICE": device}):
            self._process = context.Process(target=serve, args=(theirs, peer, threads, most_cpus), daemon=True)
            self._process.start()
        theirs.close()

    def __call__(self, *command):
        try:
            self._connection.send(command)
        except OSError:
            raise Failed(f"the process had ended before {command[0]!r}") from None
        if not self._connection.poll(PATIENCE):
            self._process.kill()
            raise Failed(f"no answer to {command[0]!r} in {PATIENCE} s")
        try:
            status, result = self._connection.recv()
        except EOFError:
            raise Failed(f"the process ended during {command[0]!r}") from None
        if status == "unsupported":
            raise Unsupported(result)
        if status == "failed":
            raise Failed(result)
        return result

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def close(self) -> None:
        if self._process.is_alive():
            try:
                self._connection.send(None)
            except OSError:
                self._process.kill()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.close()
