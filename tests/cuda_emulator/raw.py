"""Emulated cupy.RawModule: kernels are compiled by g++, and the arguments of launches are checked, unlike in CuPy."""

from __future__ import annotations

import ctypes
import re
from functools import cache

import numpy as np

from . import build, memory
from .arrays import ndarray
from .state import (
    LOCK,
    MOST_SHARED,
    MOST_SHARED_OPTED,
    CompileException,
    EmulatorError,
    counts,
    device,
    settings,
    sources,
)
from .streams import get_current_stream

IGNORED = re.compile(
    r"--?(use_fast_math|fmad|lineinfo|generate-line-info|restrict|maxrregcount|std|arch|gpu-architecture"
    r"|default-device|device-as-default-execution-space|extra-device-vectorization|ptxas-options|Xptxas|prec-div"
    r"|prec-sqrt|ftz|dopt|dlto|split-compile|minimal|no-cache|jump-table-density)\b"
)
KERNEL = re.compile(
    r'^[ \t]*extern\s*"C"\s*(?:__global__\s+void|void\s+__global__)\s+'
    r"(?:__launch_bounds__\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*)?(\w+)\s*\(",
    re.M,
)
memo: set[tuple[str, tuple[str, ...]]] = set()  # modules that CuPy would keep loaded until cupy.clear_memo()


class CUDADriverError(RuntimeError):
    """Emulated cupy.cuda.driver.CUDADriverError."""


class _Function:
    """A kernel that g++ has compiled.

    signature : (type, bytes) of each parameter
    """

    def __init__(self, library: ctypes.CDLL, name: str):
        self._name, self._run = name, getattr(library, f"fm_launch_{name}")
        self._run.restype = ctypes.c_char_p
        signature = getattr(library, f"fm_signature_{name}")
        signature.restype = ctypes.c_char_p
        self.signature = [tuple(part.split(":")) for part in signature().decode().split()]

    def launch(self, grid, block, shared_bytes: int, values: list, limit: int) -> None:
        """Run all blocks.

        values : ctypes objects of the arguments
        limit : bytes of shared memory, static and dynamic, that a block may have
        """
        addresses = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        dims = (ctypes.c_uint * 6)(*grid, *block)
        with LOCK:
            build.scheduler().fm_allow_shared(ctypes.c_size_t(limit))
            error = self._run(dims, ctypes.c_size_t(shared_bytes), addresses, settings.order)
        if error:
            raise EmulatorError(f"{self._name}: {error.decode()}")


@cache
def _library(code: str, options: tuple[str, ...]):
    """Compile a module, and return {name of a kernel: its _Function}."""
    kept = tuple(option for option in options if option[:2] in ("-D", "-U", "-I"))
    unknown = [option for option in options if option not in kept and not IGNORED.match(option)]
    if unknown:
        raise EmulatorError(f"options that NVRTC may not know: {unknown}")
    try:
        path = build.shared_library(_with_launchers(code), kept)
    except build.CompilerFailed as failure:
        raise CompileException(str(failure), code, "kernel.cu", options) from None
    build.scheduler()
    library = ctypes.CDLL(str(path))
    return {name: _Function(library, name) for name in KERNEL.findall(code) if hasattr(library, f"fm_launch_{name}")}


def _with_launchers(code: str) -> str:
    """Return the text that g++ compiles, with launchers of the kernels.

    Each kernel is preceded by a #define. Its launcher is compiled only if the #define is active.
    """

    def marked(found: re.Match) -> str:
        line = code.count("\n", 0, found.start()) + 1
        return f"\n#define FM_HAS_{found[1]}\n#line {line}\n{found[0]}"

    parts = ['#include "emulator.h"', '#line 1 "kernel.cu"', KERNEL.sub(marked, code), '#line 1 "launchers"']
    for name in dict.fromkeys(KERNEL.findall(code)):
        parts += [
            f"#ifdef FM_HAS_{name}",
            f'extern "C" const char* fm_launch_{name}(const unsigned* d, size_t s, void** a, int o) '
            f"{{ return fm_emu::launch(&{name}, d, s, a, o); }}",
            f'extern "C" const char* fm_signature_{name}() {{ return fm_emu::signature(&{name}); }}',
            "#endif",
        ]
    return "\n".join([*parts, ""])


class RawModule:
    """Emulated cupy.RawModule, compiled at its first use."""

    def __init__(self, *, code, options=(), backend="nvrtc"):
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple")
        self.code, self.options = code, options

    def compile(self):
        return (settings.load or _library)(self.code, self.options)

    def get_function(self, name):
        kernels = self.compile()
        if name not in kernels:
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}; there are {sorted(kernels)}")
        memo.add((self.code, self.options))
        sources.setdefault((self.code, self.options), set()).add(name)
        return RawKernel(kernels[name], name)


class RawKernel:
    """Kernel of a RawModule."""

    def __init__(self, function, name):
        self.name = self.__name__ = name
        self._function = function
        self._allowed = 0  # bytes of dynamic shared memory that were requested; 0 if none were

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._allowed or MOST_SHARED

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        self._allowed = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        for dims in (grid, block):
            if not isinstance(dims, tuple) or not 1 <= len(dims) <= 3:
                raise TypeError(f"{self.name}: grid and block must be tuples of up to three numbers, not {dims!r}")
        grid, block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        grid, block = tuple(max(1, int(n)) for n in grid), tuple(max(1, int(n)) for n in block)
        if np.prod(block) > 1024 or block[2] > 64 or grid[0] >= 2**31 or max(grid[1:]) > 65535:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {self.name} on grid {grid}, block {block}")
        if shared_mem > self.max_dynamic_shared_size_bytes or shared_mem > MOST_SHARED_OPTED:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {self.name}: {shared_mem} bytes of shared memory")
        if len(args) != len(self._function.signature):
            raise EmulatorError(f"{self.name} takes {len(self._function.signature)} arguments, got {len(args)}")
        values = [
            self._value(i, x, *kind) for i, (x, kind) in enumerate(zip(args, self._function.signature, strict=True))
        ]
        counts["launches"] += 1
        counts[f"launches of {self.name}"] += 1
        asked = f"shared memory of {self.name}"
        counts[asked] = max(counts[asked], shared_mem)
        stream, keep, places, allowed = get_current_stream(), args, [], self._allowed
        if stream.is_capturing():  # a CUDA graph does not keep its arrays alive
            places, keep = [(i, x._address, x.nbytes) for i, x in enumerate(args) if isinstance(x, ndarray)], ()

        def run():
            for i, address, size in places:
                memory.check_range(address, size, f"{self.name}, replayed: argument {i}")
            # The limit includes static shared memory; without a request, it is that of every block.
            limit = MOST_SHARED_OPTED if allowed else MOST_SHARED
            self._function.launch(grid, block, shared_mem, values, limit)
            memory.check_guards({x._memory for x in keep if isinstance(x, ndarray)})

        stream._ask(run)

    def _value(self, i, x, code, size):
        """Return an argument as a ctypes object.

        code : type of the parameter: "pf4" is a pointer to float32 and "pv" one to anything, "i8" is an int64, "V" a
            value of any type, and "W" that or a pointer, which a signature of PTX does not tell apart
        """
        where = f"{self.name}: argument {i}"
        if isinstance(x, ndarray):
            if code[0] not in "pW":
                raise EmulatorError(f"{where} is an array, the kernel takes {code}")
            held = {"e": "v"}.get(x.dtype.char, f"{x.dtype.kind}{x.dtype.itemsize}")
            if code not in ("pv", "W") and held != code[1:]:
                raise EmulatorError(f"{where} is an array of {x.dtype}, the kernel takes {code}")
            if not x.flags.c_contiguous and not x.flags.f_contiguous:
                raise EmulatorError(f"{where} has strides {x.strides}, which a kernel does not see")
            if x._memory.device_id != device():
                raise EmulatorError(f"{where} is an array of device {x._memory.device_id}, not {device()}")
            return ctypes.c_void_p(x._address)
        if x is None and code[0] == "p":
            return ctypes.c_void_p(0)
        if isinstance(x, (np.uint64, np.int64)) and code[0] == "p":
            if int(x) and memory.find(int(x)) is None:
                raise EmulatorError(f"{where}: {int(x):#x} is no address of live device memory")
            return ctypes.c_void_p(int(x))
        if isinstance(x, np.generic):
            if code not in ("V", "W") and f"{x.dtype.kind}{x.dtype.itemsize}" != code:
                raise EmulatorError(f"{where} is a {x.dtype}, the kernel takes {code}")
            if x.dtype.itemsize != int(size):
                raise EmulatorError(f"{where} has {x.dtype.itemsize} bytes, the kernel takes {size}")
            return ctypes.create_string_buffer(x.tobytes(), int(size))
        raise EmulatorError(f"{where} is a {type(x).__name__}; pass device arrays and NumPy scalars of the right type")
