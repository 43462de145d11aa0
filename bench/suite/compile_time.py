"""Time to compile fastmlp's kernels from an empty object cache.

Cases share kernels, and some take ten seconds and more: each is compiled once in a run, by a process whose cache is a
folder that was empty when the run began, and a case's seconds are the sum over the kernels that it loads and what
setting up the compiler takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from tempfile import TemporaryDirectory

SET_UP = "the compiler itself"


def note_kernels(seconds: dict[str, float]) -> None:
    """From now on: name of each kernel that this process loads -> what compiling it took, 0 if it was on disk."""
    from fastmlp.kernels.jit import object_cache

    read, write, asked = object_cache.read, object_cache.write, {}

    def noting_read(name):
        seconds[name], asked[name] = 0.0, time.perf_counter()
        return read(name)

    def noting_write(name, code):
        seconds[name] = time.perf_counter() - asked[name]
        write(name, code)

    object_cache.read, object_cache.write = noting_read, noting_write


def set_up() -> float:
    """Compile next to nothing, for which Numba is imported and learns of all types; returns the seconds."""
    started = time.perf_counter()
    from numba import types

    from fastmlp.kernels.jit.compiler import machine_code_of_c

    machine_code_of_c(lambda x: x, types.int64, (types.int64,))
    return time.perf_counter() - started


class Compiled:
    """What is known of a run's kernels, and the folder of those that have been compiled."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory | None = None
        self._seconds: dict[str, float] = {}

    @property
    def folder(self) -> str:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="fastmlp-bench-")
        return self._folder.name

    def add(self, seconds: dict[str, float]) -> None:
        """Of a process with that folder; what it found there says nothing."""
        self._seconds.update({name: value for name, value in seconds.items() if value})

    def knows(self, names: Iterable[str]) -> bool:
        return self._seconds.keys() >= {SET_UP, *names}

    def total(self, names: Iterable[str]) -> float:
        return sum(self._seconds[name] for name in {SET_UP, *names})

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
