"""Kernels as Python calls them: `call(name, kind, *arguments)`, or `entry` and `Words` for who calls often.

Machine code comes from the disk (cache.py) and is loaded by llvmlite alone, so that a new process trains its first net
without importing Numba; what is not there is compiled (compiler.py), which imports it. A kernel gets one pointer, to
words of 8 bytes: numbers as they are, NumPy arrays as the addresses of their objects, named tuples field by field (but
not one in another).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from struct import Struct
from threading import RLock
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from . import cache
from .jit import ENTRY, Kernel

CHECK_TYPES = bool(os.environ.get("FASTMLP_CHECK_TYPES"))  # whether entry proves what it is told
_entries: dict[tuple[Any, Any], Entry] = {}
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


class Words:
    """`words(arguments)` are the words of arguments, as Python's numbers; arrays must live until the call is over.

    lasting : classes of named tuples that come again and again, whose words are kept as long as this object
    """

    def __init__(self, lasting: tuple[type, ...] = ()):
        self._lasting = lasting
        self._kept: dict[int, tuple[list, tuple]] = {}

    def __call__(self, arguments: Sequence[Any]) -> list:
        found: list = []
        for x in arguments:
            if isinstance(x, np.ndarray):
                found.append(id(x))
            elif isinstance(x, tuple):
                found += self._of_tuple(x)
            else:
                found.append(x)
        return found

    def _of_tuple(self, x: tuple) -> list:
        kept = self._kept.get(id(x))
        if kept:
            return kept[0]
        words = [id(field) if isinstance(field, np.ndarray) else field for field in x]
        if isinstance(x, self._lasting):
            self._kept[id(x)] = words, x  # with x itself, so that nothing else gets its address
        return words


class Entry(NamedTuple):
    """A compiled kernel: `entry.function(entry.pack(*words))`"""

    signature: str
    function: Callable
    pack: Callable


def entry(kernel: str | Kernel, kind: Any, arguments: Sequence[Any]) -> Entry:
    """The compiled form of a kernel for these arguments.

    kernel : "module.name" below this package, or one that is defined elsewhere, whose code is not kept on disk
    kind : what the types of the arguments follow from; equal for equal types, whatever the arrays
    """
    found = _entries.get((kernel, kind))
    if found is None:
        with _lock:
            found = _entries.get((kernel, kind))
            if found is None:
                text = signature(tuple(arguments))
                function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(_load_kernel(kernel, text, tuple(arguments)))
                found = _entries[kernel, kind] = Entry(text, function, Struct("=" + "".join(_letters(arguments))).pack)
    if CHECK_TYPES:
        given = signature(tuple(arguments))
        assert given == found.signature, f"{kernel} was compiled for {found.signature}, but {given} came"
    return found


class Repeated:
    """`repeated(arguments)` calls a kernel again, with only the arguments at `new` to be looked at: arrays and named
    tuples. It answers False, and calls nothing, if any other is not the object that it was before.

    head : arguments that come before, the same each time
    """

    def __init__(self, kernel: str | Kernel, kind: Any, head: tuple, arguments: tuple, new: tuple[int, ...]):
        self._function = entry(kernel, kind, (*head, *arguments)).function
        self._same = [(i, x) for i, x in enumerate(arguments) if i not in new]
        self._parts = []  # words that stay, and the argument after them
        stay = list(head)
        for i, x in enumerate(arguments):
            if i in new:
                self._parts.append((_packed(stay), i, Struct("=" + "".join(_letters((x,)))).pack))
                stay = []
            else:
                stay.append(x)
        self._rest = _packed(stay)

    def __call__(self, arguments: tuple) -> bool:
        for i, x in self._same:
            if arguments[i] is not x:
                return False
        words = b""
        for before, i, pack in self._parts:
            x = arguments[i]
            if isinstance(x, tuple):
                words += before + pack(*[id(field) if isinstance(field, np.ndarray) else field for field in x])
            else:
                words += before + pack(id(x))
        self._function(words + self._rest)
        return True


def _packed(arguments: Sequence[Any]) -> bytes:
    return Struct("=" + "".join(_letters(arguments))).pack(*Words()(arguments))


def call(kernel: str | Kernel, kind: Any, *arguments: Any) -> None:
    """Call a kernel from this thread."""
    found = entry(kernel, kind, arguments)
    found.function(found.pack(*Words()(arguments)))


def _letters(arguments: Sequence[Any]) -> Iterator[str]:
    """Of the words, as the module struct has them."""
    for x in arguments:
        if isinstance(x, tuple):
            yield from _letters(x)
        else:
            yield "d" if isinstance(x, float) else "q"


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
    """LLVM; Numba, which may have been imported but not used, does the same when it needs it."""
    with suppress(RuntimeError):  # since llvmlite 0.45 it does this by itself, and says so
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()


def _address(code: bytes) -> int:
    """Load an object file for as long as this process lives."""
    _initialize()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return engine.get_function_address(ENTRY)
