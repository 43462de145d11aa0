"""What tests set and read: thread order, memory limit, number of devices, and how much was asked of the device."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

LOCK = threading.RLock()  # one kernel at a time
counts: Counter[str] = Counter()
sources: dict[tuple[str, tuple[str, ...]], set[str]] = {}  # (code, options): names of kernels that were asked for
settings = SimpleNamespace(
    order=0,  # of threads: 0 ascending, 1 descending, more: a seed
    limit=2**33,  # bytes of device memory
    free=None,  # bytes that it says are free; None for as many as are
    n_devices=1,
    available=True,  # what cupy.cuda.is_available() says
    headers=True,  # whether there are CUDA's, without which no kernel of CuPy's own compiles
    cublas=True,  # whether there is a cuBLAS library with a C interface
    late="",  # which streams do what they are asked to as late as they may: "all", "null", or none
    compute_capability="90",
)
DEFAULTS = dict(vars(settings))
current = threading.local()  # .device, .stream


class EmulatorError(RuntimeError):
    """A kernel or a call does what a real device would not do, or not do right."""


class CompileException(Exception):
    """As cupy.cuda.compiler.CompileException."""

    def __init__(self, msg, source, name, options, backend="nvrtc"):
        super().__init__(msg)
        self._msg, self.source, self.name, self.options, self.backend = msg, source, name, options, backend

    def get_message(self):
        return self._msg

    __str__ = get_message


def reset() -> None:
    vars(settings).update(DEFAULTS)
    counts.clear()
    sources.clear()
    vars(current).clear()


@contextmanager
def counting():
    """A Counter, complete at the end: launches, products, host_to_device, synchronizations, allocations, ..."""
    before, found = counts.copy(), Counter()
    yield found
    found.update({name: n - before[name] for name, n in counts.items() if n > before[name]})


def device() -> int:
    return getattr(current, "device", 0)
