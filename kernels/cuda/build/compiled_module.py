"""CUDA modules: source files, formulas and constants are joined, compiled by NVRTC, launched with checked arguments."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from ...formulas.activations import ACTIVATIONS
from ...formulas.losses import LOSSES
from ...jit.cache_dir import distrust_reason
from ...jit.compile_time import notify_listeners, timed
from . import formula_printer
from .net_constants import Architecture

# Division and square root of float are accurate to two units in the last place, like most functions in these kernels.
# CuPy adds the option that flushes denormals to zero, as CPU kernels do too.
OPTIONS = ("-std=c++17", "--prec-div=false", "--prec-sqrt=false")
# Bytes of shared memory that a block may use without opting in, those included that the kernel declares.
DEFAULT_SHARED = 48 * 1024
MOST_DECLARED = 2048  # bytes of shared memory that a kernel of this package declares, at most
SCALARS = {"long long": np.int64, "int": np.int32, "double": np.float64, "float": np.float32}
NULL = np.uint64(0)
MOST_MODULES = 256  # modules that stay loaded; CuPy's own cache, emptied after as many, may hold as many others
_made = count(1)  # number of modules that this process has made


@cache
def text_of(name: str) -> str:
    return resources.files(__package__).joinpath("..", name).read_text(encoding="utf-8")


def source(architecture: Architecture, header: str, *files: str) -> str:
    """Return the source of a whole translation unit."""
    own_activations = tuple(sorted({code for code in architecture.activations if code >= len(ACTIVATIONS)}))
    own_losses = tuple(code for code in (architecture.net.loss,) if code >= len(LOSSES))
    parts = [
        text_of("include/common.cuh"),
        text_of("include/elementary.cuh"),
        formula_printer.formulas(own_activations, own_losses),
        header,
        *map(text_of, files),
    ]
    return "\n".join(parts)


class Kernel:
    """A compiled kernel; `kernel(grid, block, *arguments)` checks arguments against the C++ signature.

    Arrays must be contiguous and, where a pointer is of numbers, have their type; numbers are converted, and None is a
    null pointer. A plain launch checks nothing: a Python float would arrive as a double, and strides would be ignored.
    """

    def __init__(self, function: Any, text: str, name: str):
        self._function, self.name = function, name
        declaration = re.search(rf"__global__ void\b[^;{{}}]*?\b{name}\s*\((.*?)\)\s*\{{", text, re.S)
        assert declaration is not None, f"{name} has no definition"
        number = np.float64 if "typedef double T;" in text else np.float32
        operand = np.uint16 if "typedef struct Bfloat16 Operand;" in text else number
        kinds = {**SCALARS, "T": number, "Operand": operand}
        self._checks = [_check_of(name, part, kinds) for part in declaration[1].split(",")]

    def __call__(self, grid: tuple[int, ...], block: int, *arguments: Any, shared: int = 0) -> None:
        if len(arguments) != len(self._checks):
            raise TypeError(f"{self.name} takes {len(self._checks)} arguments, but {len(arguments)} came.")
        converted = tuple([check(value) for check, value in zip(self._checks, arguments, strict=True)])
        if shared > DEFAULT_SHARED - MOST_DECLARED:
            self._function.max_dynamic_shared_size_bytes = shared
        self._function(grid, (block,), converted, shared_mem=shared)


def _check_of(kernel: str, text: str, kinds: dict[str, type]) -> Callable[[Any], Any]:
    """Return a function that checks and converts one kernel argument.

    text : C++ declaration of the parameter
    kinds : NumPy types of C++ types
    """
    words = text.replace("*", " * ").replace("__restrict__", " ").replace("const ", " ").split()
    kind, name = " ".join(words[: -2 if "*" in words else -1]), words[-1]
    if "*" not in words:
        return kinds[kind]
    wanted = np.dtype(kinds[kind]) if kind in kinds else None

    def checked(value: Any) -> Any:
        if value is None:
            return NULL
        if not isinstance(value, cupy.ndarray) or not value.flags.c_contiguous:
            raise TypeError(f"{kernel}: {name} must be a C-contiguous device array, but it is a {type(value)}.")
        if wanted is not None and value.dtype != wanted:
            raise TypeError(f"{kernel}: {name} must hold {wanted}, but it holds {value.dtype}.")
        return value

    return checked


class Module:
    """The kernels of one translation unit, for the current device."""

    def __init__(self, text: str):
        self._text = text
        with timed(), notify_listeners():
            self._compiled = cupy.RawModule(code=text, options=OPTIONS, backend="nvrtc")
        self._kernels: dict[str, Kernel] = {}

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._kernels:
            with timed(), notify_listeners():  # CuPy compiles when a function is first requested
                self._kernels[name] = Kernel(self._compiled.get_function(name), self._text, name)
        return self._kernels[name]


@cache
def check_cache_folder() -> None:
    """Warn, once, if other users could have written to CuPy's folder of machine code: CuPy runs what it finds there."""
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache"))
    with suppress(OSError):  # such as FileNotFoundError: CuPy will make it
        if reason := distrust_reason(folder):
            warnings.warn(
                f"CuPy keeps code for the GPU in {str(folder)!r} ({reason}), and runs what it finds there. Set "
                "CUPY_CACHE_DIR to a folder that belongs to you and to which nobody else can write.",
                RuntimeWarning,
                stacklevel=2,
            )


@lru_cache(maxsize=MOST_MODULES)
def _compiled(text: str, device: int) -> Module:
    """Return a module for a source. CuPy compiles it here or when its first kernel is looked up.

    CuPy keeps all modules that it has loaded in a cache of its own, without a limit. After every MOST_MODULES modules
    `clear_memo` empties that cache: the modules that this function's cache holds stay loaded, and CuPy loads its own
    kernels again, from their files.

    device : the current device's number, since a module is loaded for one device
    """
    check_cache_folder()
    if next(_made) % MOST_MODULES == 0:
        cupy.clear_memo()
    return Module(text)


def compiled(text: str) -> Module:
    """Return the module compiled from this source for the current device; CuPy stores the binary on disk."""
    return _compiled(text, cupy.cuda.Device().id)
