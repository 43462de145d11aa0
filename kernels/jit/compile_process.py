"""Compile process: a second process that compiles linked functions while this one compiles the kernel that calls them.

    with work_shared(arguments):
        compile a kernel: the compiler submits each function that it calls and that has an object file of its own

The second process compiles the submitted functions in their order, and this one, when its kernel is done, in the
opposite order; each result is a file of the object cache, whose locks keep the two from compiling the same function.
The process is started with the first kernel to compile, so that it imports Numba meanwhile, and ends after ten idle
seconds or with this process.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from . import object_cache
from .linker import Link, codes_of, links_in_use

IDLE = 10.0  # seconds
PROGRAM = "import sys; sys.path[:] = {path!r}; from fastmlp.kernels.jit import compile_process; compile_process.run()"


class Work:
    """Linked functions that wait to be compiled, each of which is submitted once, and the second process."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.codes: Mapping[str, Sequence[int]] = {}  # of the rows of tables that the kernel being compiled uses
        self._waiting: list[Link] = []
        self._known = set[str]()

    def start_process(self) -> None:
        """Start the second process, unless it runs."""
        if self.process is None or self.process.poll() is not None:
            command, nothing = [sys.executable, "-c", PROGRAM.format(path=sys.path)], subprocess.DEVNULL
            with suppress(OSError):  # such as a limit on the number of processes
                self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)
                atexit.register(self.process.kill)

    def submit(self, link: Link) -> None:
        for used in links_in_use(link, self.codes):
            if used.symbol not in self._known:
                self._known.add(used.symbol)
                self._waiting.append(used)
                if self.process is not None:
                    with suppress(OSError):  # it has ended
                        pickle.dump((tuple(used), self.codes), self.process.stdin)
                        self.process.stdin.flush()

    def compile_waiting(self) -> None:
        """Compile what waits, the newest first."""
        while self._waiting:
            compile_link(self._waiting.pop())


work = Work()


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
    if not _is_possible():
        yield
        return
    work.start_process()
    from . import linked_types

    work.codes = codes_of(arguments)
    linked_types.listeners.append(work.submit)
    try:
        yield
    finally:
        linked_types.listeners.remove(work.submit)
    work.compile_waiting()


def compile_link(link: Link) -> None:
    """Compile a linked function, unless its object file is in the cache."""
    from .compiler import machine_code_of_link

    object_cache.read_or_write(link.symbol, lambda: machine_code_of_link(link).to_bytes())


def run() -> None:
    """Compile what stdin names, in the second process, until the first one closes the pipe or submits no more."""
    gc.disable()  # the process lives for seconds, and garbage collection would take a twentieth of them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C the first process decides what follows
    submitted: SimpleQueue = SimpleQueue()
    threading.Thread(target=_read, args=(submitted,), daemon=True).start()  # a full pipe would stop the first process
    from . import linked_types

    linked_types.listeners.append(work.submit)
    with suppress(Empty):
        while (message := submitted.get(timeout=IDLE)) is not None:
            link, work.codes = message
            with suppress(Exception):  # the first process meets the same error when it loads the function
                compile_link(Link(*link))
                work.compile_waiting()
    os._exit(0)  # an ordinary end would wait for the thread that reads


def _read(submitted: SimpleQueue) -> None:
    with suppress(EOFError):
        while True:
            submitted.put(pickle.load(sys.stdin.buffer))
    submitted.put(None)


def _after_fork() -> None:
    global work
    if work.process is not None:
        work.process.returncode = 0  # it is not this process's child
        atexit.unregister(work.process.kill)
    work = Work()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
