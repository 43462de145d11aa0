"""Kernels for the emulator of CuPy that run as the PTX which NVRTC makes of them."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from cuda_emulator import build, nvrtc
from cuda_emulator.state import LOCK, CompileException, EmulatorError, settings

from .counters import Counters
from .machine import Launch, Machine
from .memory import DeviceMemory
from .parser import parse
from .program import Kernel, PtxError

ARCHITECTURE = "compute_90"  # the PTX that sm_90 is assembled from, without the time that this takes
LANES_AT_ONCE = 4096  # threads of as many blocks as these are run together
_counters: list[Counters | None] = [None]  # the last one is in use


@lru_cache(maxsize=128)
def kernels_of(code: str, options: tuple[str, ...]) -> dict[str, Kernel]:
    """Return the kernels of a CUDA source. Its PTX is kept where the emulator keeps what g++ has compiled."""
    key = hashlib.sha256("\0".join([nvrtc.version(), ARCHITECTURE, code, *options]).encode()).hexdigest()[:24]
    path = build.cache_folder() / f"{key}.ptx"
    if not path.exists():
        try:
            text = nvrtc.build(code, options, arch=ARCHITECTURE)[0]
        except nvrtc.CompileError as failure:
            raise CompileException(str(failure), code, "kernel.cu", options) from None
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        os.replace(part, path)
    return parse(path.read_text())


class Function:
    """A kernel that raw.RawKernel launches; `signature` is what its arguments are checked against."""

    def __init__(self, kernel: Kernel):
        self._kernel = kernel
        self.signature = [
            ("W" if kind.raw == np.uint64 and not kind.is_float else "V", kind.size) for _, kind in kernel.parameters
        ]

    def launch(self, grid, block, shared_bytes: int, values: list, limit: int) -> None:
        """Run all blocks.

        values : ctypes objects of the arguments
        limit : bytes of shared memory, static and dynamic, that a block may have
        """
        kernel = self._kernel
        if kernel.shared_bytes + shared_bytes > limit:
            raise EmulatorError(f"{kernel.name}: more shared memory, static and dynamic, than the kernel may have")
        arguments = {
            name: np.frombuffer(ctypes.string_at(ctypes.addressof(value), kind.size), kind.raw)[0]
            for (name, kind), value in zip(kernel.parameters, values, strict=True)
        }
        launch = Launch(grid, block, arguments, shared_bytes)
        n_blocks = grid[0] * grid[1] * grid[2]
        at_once = max(1, LANES_AT_ONCE // launch.n_threads)
        counters = _counters[-1]
        with LOCK, np.errstate(all="ignore"):
            memory = DeviceMemory()
            for first in range(0, n_blocks, at_once):
                blocks = np.arange(first, min(first + at_once, n_blocks))
                machine = Machine(kernel, launch, blocks, memory, counters)
                try:
                    machine.run()
                except PtxError as error:
                    raise PtxError(f"{kernel.name}: {error}") from None


def load(code: str, options: tuple[str, ...]) -> dict[str, Function]:
    """Return the kernels of a source by name, for settings.load of the emulator."""
    return {name: Function(kernel) for name, kernel in kernels_of(code, options).items()}


@contextmanager
def running(counters: Counters | None = None) -> Iterator[None]:
    """Context manager, inside cuda_emulator.installed(): kernels run as PTX.

    counters : count there what they execute; None for nothing, which is faster
    """
    before, settings.load = settings.load, load
    _counters.append(counters)
    try:
        yield
    finally:
        _counters.pop()
        settings.load = before
