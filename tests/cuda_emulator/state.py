"""Settings and counters of the emulator, for tests: thread order, memory limit, number of devices, launches, copies."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from types import SimpleNamespace

LOCK = threading.RLock()  # one kernel runs at a time
MOST_SHARED, MOST_SHARED_OPTED = 48 * 1024, 227 * 1024  # bytes of shared memory of a block
counts: Counter[str] = Counter()
sources: dict[tuple[str, tuple[str, ...]], set[str]] = {}  # (code, options) -> names of the kernels that were used
settings = SimpleNamespace(
    order=0,  # order of threads: 0 ascending, 1 descending, larger: shuffled by this seed
    limit=2**33,  # bytes of device memory
    free=None,  # bytes that the device reports as free; None for the true number
    n_devices=1,
    available=True,  # result of cupy.cuda.is_available()
    headers=True,  # whether the CUDA headers exist, which kernels of CuPy itself need
    cublas=True,  # whether there is a cuBLAS library
    late="",  # streams that run their operations as late as allowed: "all", "null", or "" for none
    compute_capability="90",
    load=None,  # function that compiles kernels instead of g++, such as ptx_interpreter.load
)
DEFAULTS = dict(vars(settings))
current = threading.local()  # .device, .stream


class EmulatorError(RuntimeError):
    """A kernel or a call is invalid: a real device would raise an error or compute a wrong result."""


class CompileException(Exception):
    """Emulated cupy.cuda.compiler.CompileException."""

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
    """Context manager: yields a Counter that is filled at its end.

    It counts launches, products, host_to_device, synchronizations, allocations, ...
    """
    before, found = counts.copy(), Counter()
    yield found
    found.update({name: n - before[name] for name, n in counts.items() if n > before[name]})


def device() -> int:
    return getattr(current, "device", 0)
