"""Time to compile fastmlp's kernels from an empty object cache.

Cases share kernels, and some kernels compile for ten seconds and more. So each kernel is compiled once in a run, by a
process whose cache is a folder that was empty when the run began. The time of a case is the sum over the kernels that
it loads, and the time of setting up the compiler.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from tempfile import TemporaryDirectory

SET_UP = "the compiler itself"


def record_kernels(seconds: dict[str, float]) -> None:
    """Record the kernels that this process loads from now on.

    seconds : written; name of a kernel -> seconds of compiling, 0 if it was on disk
    """
    from fastmlp.kernels.jit import object_cache

    read, write, started = object_cache.read, object_cache.write, {}

    def recording_read(name):
        seconds[name], started[name] = 0.0, time.perf_counter()
        return read(name)

    def recording_write(name, code):
        seconds[name] = time.perf_counter() - started[name]
        write(name, code)

    object_cache.read, object_cache.write = recording_read, recording_write


def set_up() -> float:
    """Seconds of setting up the compiler: compiles next to nothing, which imports Numba and registers all types."""
    began = time.perf_counter()
    from numba import types

    from fastmlp.kernels.jit.compiler import machine_code_of_c

    machine_code_of_c(lambda x: x, types.int64, (types.int64,))
    return time.perf_counter() - began


class Compiled:
    """Compile times of the kernels of a run, and the folder in which they are compiled."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory | None = None
        self._seconds: dict[str, float] = {}

    @property
    def folder(self) -> str:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="fastmlp-bench-")
        return self._folder.name

    def add(self, seconds: dict[str, float]) -> None:
        """Add the times of a process that used the folder, but those of kernels that it found there."""
        self._seconds.update({name: value for name, value in seconds.items() if value})

    def has_all(self, names: Iterable[str]) -> bool:
        return self._seconds.keys() >= {SET_UP, *names}

    def total(self, names: Iterable[str]) -> float:
        return sum(self._seconds[name] for name in {SET_UP, *names})

    def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
