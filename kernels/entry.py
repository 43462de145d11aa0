"""Kernels as Python calls them: `entry(name, kind, arguments)(pack(arguments))`.

Machine code comes from the disk (cache.py) and is loaded by llvmlite alone, so that a new process trains its first net
without importing Numba; what is not there is compiled (compiler.py), which imports it. A kernel gets one pointer, to
words of 8 bytes: numbers as they are, NumPy arrays as the addresses of their objects, named tuples field by field.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from struct import Struct
from threading import RLock
from typing import Any

import numpy as np
from llvmlite import binding

from . import cache
from .jit import ENTRY, Kernel

CHECK_TYPES = bool(os.environ.get("FASTMLP_CHECK_TYPES"))  # whether entry proves what it is told
_entries: dict[tuple[Any, Any], tuple[str, Callable]] = {}
_engines: list[Any] = []  # that hold the code
_lock = RLock()


def signature(argument: Any) -> str:
    """The type of an argument, or of each in a tuple, as text."""
    if isinstance(argument, np.ndarray):
        order = "" if argument.flags.c_contiguous else " strided"
        return f"{argument.dtype.str}[{argument.ndim}]{order}"
    if isinstance(argument, tuple):
        return f"{type(argument).__name__}({', '.join(map(signature, argument))})"
    for kind, name in (((bool, np.bool_), "b"), ((int, np.integer), "i"), (float, "d")):
        if isinstance(argument, kind):
            return name
    raise TypeError(f"A kernel takes numbers, arrays and named tuples of both, but not a {type(argument).__name__}.")


def _flat(arguments: Sequence[Any], words: list, letters: list) -> None:
    for x in arguments:
        if isinstance(x, np.ndarray):
            words.append(id(x))
            letters.append("q")
        elif isinstance(x, tuple):
            _flat(x, words, letters)
        else:
            words.append(x)
            letters.append("d" if isinstance(x, float) else "q")


@lru_cache(maxsize=256)
def _packer(letters: str) -> Callable:
    return Struct("=" + letters).pack


def pack(arguments: Sequence[Any]) -> bytes:
    """The words of arguments; the arrays must live until the call is over."""
    words: list = []
    letters: list = []
    _flat(arguments, words, letters)
    return _packer("".join(letters))(*words)


def entry(kernel: str | Kernel, kind: Any, arguments: Sequence[Any]) -> Callable:
    """The compiled form of a kernel for these arguments: a function of their words.

    kernel : "module.name" below this package, or one that is defined elsewhere, whose code is not kept on disk
    kind : what the types of the arguments follow from; equal for equal types, whatever the arrays
    """
    found = _entries.get((kernel, kind))
    if found is None:
        with _lock:
            found = _entries.get((kernel, kind))
            if found is None:
                text = signature(tuple(arguments))
                found = text, _words_function(_load_kernel(kernel, text, tuple(arguments)))
                _entries[kernel, kind] = found
    if CHECK_TYPES:
        given = signature(tuple(arguments))
        assert given == found[0], f"{kernel} was compiled for {found[0]}, but {given} came"
    return found[1]


def call(kernel: str | Kernel, kind: Any, *arguments: Any) -> None:
    """Call a kernel from this thread."""
    entry(kernel, kind, arguments)(pack(arguments))


def _words_function(address: int) -> Callable:
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(address)


def _load_kernel(kernel: str | Kernel, text: str, arguments: tuple) -> int:
    def compiled() -> bytes:
        function = kernel
        if isinstance(function, str):
            module, _, name = function.rpartition(".")
            function = getattr(import_module(f".{module}", __package__), name)
        from .compiler import machine_code

        return machine_code(function, arguments)

    return load(f"{kernel} {text}", compiled) if isinstance(kernel, str) else _address(compiled())


def load(name: str, compiled: Callable[[], bytes]) -> int:
    """The address of the function in the object file that is on disk under `name`, or that compiled() makes."""
    with _lock:
        code = cache.read(name)
        if code is None:
            code = compiled()
            cache.write(name, code)
        return _address(code)


@lru_cache(maxsize=1)
def _initialize() -> None:
    if "numba" not in sys.modules:  # which does the same
        for step in (binding.initialize, binding.initialize_native_target, binding.initialize_native_asmprinter):
            try:
                step()
            except RuntimeError:  # llvmlite 0.45 does the first by itself, and says so
                pass


def _address(code: bytes) -> int:
    """Load an object file for as long as this process lives."""
    _initialize()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(ENTRY)
