"""CUDA emulator: a replacement of CuPy for tests on machines without a GPU.

It has CuPy's interface. Arrays are in host memory, and kernels are compiled by g++ and run one thread after another
(scheduler.cpp). It shows whether kernels are correct, and says nothing about speed.

    with cuda_emulator.installed():          `import cupy` finds it; the fixture emulated_cuda in conftest.py does this
        cuda_emulator.settings.order = 5     run threads in another order
        with cuda_emulator.counting() as n:  count launches, copies, ...
            ...

It raises errors where CuPy is silent: for Python numbers as kernel arguments, arguments of a type other than the
kernel's, arrays with strides, NumPy arrays mixed with device arrays, and addresses outside live memory. New memory is
filled with NaN.

It hides:

- lost updates: threads are switched at barriers only, so that `s[0] += 1` by all of them is not lost;
- blocks that depend on each other: they run one after another, and show it only in descending order;
- all of the memory model: `__threadfence()` does nothing, and no cache is out of date;
- what the compiler makes of a kernel: -ftz, contraction to fma, approximate division and root, exp of its own; TF32
  products are not rounded, products of bfloat16 are, as cuBLAS rounds them, and sums of tensor cores are in order;
- shuffles from lanes that have ended, which give a thread its own value;
- misaligned accesses of single numbers, which the CPU has no trouble with; those of vectors raise an error;
- registers, occupancy, bank conflicts, coalescing, time;
- of CUDA graphs: lazy loading of modules, and errors of instantiation;
- of CuPy's functions: those that CuPy lacks, and its rules of type promotion; they are NumPy's.

The PTX interpreter (tests/ptx_interpreter) shows, with --device ptx: lost updates, among the blocks that it runs
together; of what the compiler makes of a kernel all but the errors of approximate functions, TF32 and sums of tensor
cores; shuffles from lanes that have ended; misaligned accesses of any size; and, where a test counts them, bank
conflicts.
"""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager

import numpy as np

from . import arrays, cublas, cuda, memory, raw, streams
from .state import EmulatorError as EmulatorError
from .state import counting as counting
from .state import counts, reset
from .state import settings as settings
from .state import sources as sources

TYPES = "int8 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"


def asarray(a, dtype=None):
    if isinstance(a, arrays.ndarray):
        return a if dtype is None or a.dtype == dtype else arrays.call(np.array, a, dtype=dtype)
    host = np.array(a, dtype=dtype)
    counts["host_to_device"] += 1
    counts["bytes_by_pinned_memory"] += host.nbytes  # CuPy copies all pageable memory through pinned memory
    return arrays.wrap(host)


def ascontiguousarray(a, dtype=None):
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else arrays.call(np.ascontiguousarray, a)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(stream, order, out, blocking) if isinstance(a, arrays.ndarray) else np.asarray(a, order=order)


def empty(shape, dtype=float, order="C"):
    return arrays.ndarray(shape, dtype, order=order)


def full(shape, fill_value, dtype=None, order="C"):
    if fill_value != 0:  # CuPy writes zeros by memset, without a kernel
        arrays.compile_own()
    array = empty(shape, np.asarray(fill_value).dtype if dtype is None else dtype, order)
    array._host.fill(fill_value)
    return array


def zeros(shape, dtype=float, order="C"):
    return full(shape, 0, dtype, order)


def ones(shape, dtype=float, order="C"):
    return full(shape, 1, dtype, order)


def from_dlpack(x):
    kind, _ = x.__dlpack_device__()
    if kind != 2:
        raise ValueError("the array is not on a CUDA device")
    array = x.__dlpack__()
    return arrays.wrap(array._host) if isinstance(array, arrays.ndarray) else array


class _Cupy(types.ModuleType):
    """Module `cupy`. Functions that are not defined here are NumPy's, called on the host memory of device arrays."""

    def __getattr__(self, name):
        function = getattr(np, name, None)
        if name.startswith("_") or not callable(function):
            raise AttributeError(f"module 'cupy' has no attribute {name!r}")
        return lambda *args, **keywords: arrays.call(function, *args, **keywords)


def _modules():
    cupy = _Cupy("cupy")
    made = (asarray, ascontiguousarray, asnumpy, empty, full, zeros, ones, from_dlpack)
    vars(cupy).update({function.__name__: function for function in made})
    vars(cupy).update({name: getattr(np, name) for name in TYPES.split()})
    vars(cupy).update(
        __path__=[],
        __version__="14.2.0",
        ndarray=arrays.ndarray,
        RawModule=raw.RawModule,
        zeros_like=lambda a, dtype=None: zeros(a.shape, dtype or a.dtype),
        get_default_memory_pool=memory.MemoryPool,
        clear_memo=raw.memo.clear,
    )
    found = {"cupy": cupy, **cuda.modules(), **cublas.modules()}
    cupy.cuda = found["cupy.cuda"]
    return found


MODULES = _modules()


@contextmanager
def installed():
    """Context manager: `import cupy` finds the emulator. At the end, writes outside of arrays are checked once more."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in _PACKAGES}
    sys.modules.update(MODULES)
    reset()
    raw.memo.clear()
    streams.forget_all()
    try:
        yield sys.modules["cupy"]
        streams.drain_all()
        memory.check_guards()
        cublas.check_faults()
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)
        reset()


_PACKAGES = {"cupy", "cuda"}
