"""Compile process: a second process that compiles linked functions while this one compiles the kernel that calls them.

    with work_shared(arguments):
        compile a kernel: the compiler submits each function that it calls and that has an object file of its own

Submitted functions wait in a queue. The second process takes the oldest, and this one, when its kernel is done, the
newest; each result is a file of the object cache. The process is started with the first kernel to compile, so that it
imports Numba meanwhile, and ends after ten idle seconds or with this process.
"""

from __future__ import annotations

import atexit
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import object_cache
from .linker import Link, codes_of, links_in_use

IDLE = 10.0  # seconds
PROGRAM = "import sys; sys.path[:] = {path!r}; from fastmlp.kernels.jit import compile_process; compile_process.run()"


class WorkQueue:
    """Linked functions that wait to be compiled, each of which is submitted once."""

    def __init__(self) -> None:
        self._waiting = deque[Link]()
        self._known = set[str]()
        self._changed = threading.Condition()
        self.codes: Mapping[str, Sequence[int]] = {}  # of the rows of tables that the kernel being compiled uses

    def submit(self, link: Link) -> None:
        for used in links_in_use(link, self.codes):
            with self._changed:
                if used.symbol not in self._known:
                    self._known.add(used.symbol)
                    self._waiting.append(used)
                    self._changed.notify()

    def newest(self) -> Link | None:
        """Take the function that was submitted last; None if none waits."""
        with self._changed:
            return self._waiting.pop() if self._waiting else None

    def oldest(self, patience: float) -> Link | None:
        """Take the function that was submitted first; None if none comes within these seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, patience)
            return self._waiting.popleft() if self._waiting else None


queue = WorkQueue()
_process: CompileProcess | None = None


class CompileProcess:
    """The second process, and the thread of this one that hands it functions."""

    def __init__(self) -> None:
        program = PROGRAM.format(path=sys.path)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([sys.executable, "-c", program], **pipes)
        self._thread = threading.Thread(target=self._serve, name="fastmlp-compile-process", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _serve(self) -> None:
        process = self._process
        with suppress(OSError), process:  # leaving the block closes the pipes, which ends the process, and waits for it
            while (link := queue.oldest(IDLE)) is not None:
                pickle.dump((tuple(link), queue.codes), process.stdin)
                process.stdin.flush()
                if not process.stdout.read(1):  # it has died; what it was given is compiled when it is loaded
                    break

    def kill(self) -> None:
        with suppress(OSError):
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close this process's copies of the pipes, in a forked child."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError, ValueError):  # it may have been closed
                os.close(pipe.fileno())
        self._process.returncode = 0  # it is not this process's child


def _is_possible() -> bool:
    """Whether there are a second processor, a Python to start, and a folder for the results."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    is_python = Path(sys.executable or "").name.lower().startswith("python") and not getattr(sys, "frozen", False)
    wanted = os.environ.get("FASTMLP_COMPILE_PROCESSES", "2") != "1"
    return wanted and processors > 1 and is_python and object_cache.is_usable()


@contextmanager
def work_shared(arguments: Sequence[Any]) -> Iterator[None]:
    """Share the compilation of what a kernel is linked with, which is all compiled at the end of this block.

    arguments : the kernel's; they have the codes of the rows of tables in use
    """
    global _process
    if not _is_possible():
        yield
        return
    if _process is None or not _process.is_alive():
        with suppress(OSError):  # such as a limit on the number of processes
            _process = CompileProcess()
    from . import linked_types

    queue.codes = codes_of(arguments)
    linked_types.listeners.append(queue.submit)
    try:
        yield
    finally:
        linked_types.listeners.remove(queue.submit)
    while (link := queue.newest()) is not None:
        compile_link(link)


def compile_link(link: Link) -> None:
    """Compile a linked function, unless its object file is in the cache."""
    from .compiler import machine_code_of_link

    object_cache.read_or_write(link.symbol, lambda: machine_code_of_link(link).to_bytes())


def run() -> None:
    """Compile what stdin names, in the second process, until the first one closes the pipe."""
    gc.disable()  # the process lives for seconds, and garbage collection would take a twentieth of them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the first process decides what follows
    from . import linked_types

    linked_types.listeners.append(queue.submit)
    with suppress(EOFError, BrokenPipeError):
        while True:
            link, queue.codes = pickle.load(sys.stdin.buffer)
            with suppress(Exception):  # the first process meets the same error when it loads the function
                compile_link(Link(*link))
                while (called := queue.newest()) is not None:
                    compile_link(called)
            sys.stdout.buffer.write(b".")
            sys.stdout.buffer.flush()


@atexit.register
def _kill() -> None:
    if _process is not None:
        _process.kill()


def _after_fork() -> None:
    global queue, _process
    if _process is not None:
        _process.forget()
    queue, _process = WorkQueue(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
