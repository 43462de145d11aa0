"""Kernel calls from Python: `call(name, kind, *arguments)`, or `compiled_kernel` and `ArgumentPacker` if frequent.

Machine code is read from disk (object_cache.py) and loaded with llvmlite only, so that a new process trains its first
net without importing Numba. Kernels that are not on disk are compiled (compiler.py), which does import Numba. A kernel
gets one pointer to an array of 8-byte words: numbers as they are, NumPy arrays as the addresses of their Python
objects, named tuples field by field (no tuple within a tuple).
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from ..system import interrupts
from ..system.fork_lock import FORK_LOCK
from . import object_cache
from .compile_time import notify_listeners, timed
from .decorators import ENTRY, MOST_ROWS, Kernel
from .linker import Link, ObjectFile

CHECK_TYPES = bool(os.environ.get("FASTMLP_CHECK_TYPES"))  # whether compiled_kernel compares argument types each time
_entries: dict[tuple[Any, Any], CompiledKernel] = {}
_structs: dict[type, Struct] = {}  # packing format of each class of named tuples
_functions: dict[str, Loaded] = {}  # by their names on disk
_tables: dict[str, Table] = {}  # by their symbols
_linked: set[str] = set()  # symbols of functions that machine code finds by name
_addresses: set[int] = set()  # of all functions that are loaded
NOTICE = "Interrupted. A kernel is being compiled and kept, which takes up to half a minute; then this ends."


def signature(argument: Any) -> str:
    """Return the type of an argument as text; for a tuple, the types of its fields."""
    if isinstance(argument, np.ndarray):
        order = "" if argument.flags.c_contiguous else " strided"
        return f"{argument.dtype.str}[{argument.ndim}]{order}"
    if isinstance(argument, tuple):
        return f"{type(argument).__name__}({', '.join(map(signature, argument))})"
    for kind, name in (((bool, np.bool_), "b"), ((int, np.integer), "i"), (float, "d")):
        if isinstance(argument, kind):
            return name
    raise TypeError(f"A kernel takes numbers, arrays and named tuples of both, but not a {type(argument).__name__}.")


class Table:
    """Addresses of the functions of a LinkedTable, in memory that machine code reads."""

    def __init__(self, link: Link):
        self.link, self._loaded = link, set[int]()
        self._complete: set[bytes] = set()  # arrays of codes whose rows are all loaded, as bytes
        self._struct, self._field = link.codes.split(".")
        self._addresses = (ctypes.c_void_p * MOST_ROWS)()
        binding.add_symbol(link.symbol, ctypes.addressof(self._addresses))

    def place(self, arguments: Sequence[Any]) -> int:
        """Return which argument of a kernel has the codes."""
        return next(i for i, x in enumerate(arguments) if type(x).__name__ == self._struct)

    def missing(self, struct: Any) -> Sequence[int]:
        """Return the codes of rows that a call with this struct uses and that are not loaded."""
        codes = getattr(struct, self._field)
        if isinstance(codes, int):
            return () if codes in self._loaded or codes < 0 else (codes,)
        key = codes.tobytes()  # calls with the same codes are frequent, and this takes a fraction of a microsecond
        if key in self._complete:
            return ()
        missing = sorted({code for code in codes.tolist() if code >= 0} - self._loaded)
        if not missing:
            self._complete.add(key)
        return missing

    def set(self, code: int, address: int) -> None:
        self._addresses[code] = address
        self._loaded.add(code)


class ArgumentPacker:
    """Converts arguments to the values that `CompiledKernel.pack` takes: addresses, numbers, and bytes of named tuples.

    lasting : classes of named tuples that are often passed repeatedly: the last tuple of each and its bytes are stored

    Arrays must stay alive until the call is over.
    """

    def __init__(self, lasting: tuple[type, ...] = ()):
        self._kept: dict[type, tuple[Any, bytes]] = dict.fromkeys(lasting, (None, b""))

    def __call__(self, arguments: Sequence[Any]) -> list:
        words: list = []
        for x in arguments:
            if isinstance(x, np.ndarray):
                words.append(id(x))
            elif isinstance(x, tuple):
                words.append(self._words_of(x))
            else:
                words.append(x)
        return words

    def _words_of(self, x: tuple) -> bytes:
        kind = type(x)
        last, words = self._kept.get(kind, (None, b""))
        if last is not x:
            struct = _structs.get(kind) or _structs.setdefault(kind, _struct_of(x))
            words = struct.pack(*[id(field) if isinstance(field, np.ndarray) else field for field in x])
            if kind in self._kept:
                self._kept[kind] = x, words
        return words

    def forget(self, kind: type) -> None:
        self._kept[kind] = None, b""


def _struct_of(arguments: Sequence[Any]) -> Struct:
    """Return the packing format of arguments with these types."""
    letters = [f"{8 * len(x)}s" if isinstance(x, tuple) else "d" if isinstance(x, float) else "q" for x in arguments]
    return Struct("=" + "".join(letters))


def _check_fields(arguments: Sequence[Any]) -> None:
    """Check that named tuples have floats in the same fields as earlier ones: a kernel would misread the bits."""
    for x in arguments:
        if isinstance(x, tuple):
            own = _struct_of(x)
            if own.format != _structs.setdefault(type(x), own).format:
                raise TypeError(f"All {type(x).__name__} must have real numbers in the same fields, but not {x}.")


class CompiledKernel(NamedTuple):
    """A compiled kernel. Call it by `kernel.function(kernel.pack(*words))`, with `words` from an ArgumentPacker."""

    signature: str
    function: Callable
    pack: Callable
    tables: list[tuple[Table, int]]  # of linked functions, and which argument has the codes of the rows in use


def compiled_kernel(kernel: str | Kernel, kind: Any, arguments: Sequence[Any]) -> CompiledKernel:
    """Return the compiled form of a kernel for these arguments.

    kernel : "module.name" below the package `kernels`, or a Kernel defined elsewhere, whose code is not stored on disk
    kind : hashable key that determines the types of the arguments; equal for equal types, whatever the arrays hold
    """
    compiled = _entries.get((kernel, kind))
    if compiled is None:
        with timed(), FORK_LOCK, interrupts.deferred(NOTICE):
            compiled = _entries.get((kernel, kind))
            if compiled is None:
                _check_fields(arguments)
                text = signature(tuple(arguments))
                loaded = _load_kernel(kernel, text, tuple(arguments))
                function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(loaded.address)
                tables = [(table, table.place(arguments)) for table in loaded.tables]
                compiled = CompiledKernel(text, function, _struct_of(arguments).pack, tables)
                _entries[kernel, kind] = compiled
    if CHECK_TYPES:
        present = signature(tuple(arguments))
        assert present == compiled.signature, f"{kernel} was compiled for {compiled.signature}, but {present} came"
    for table, place in compiled.tables:
        for code in table.missing(arguments[place]):
            with FORK_LOCK:  # it imports the module of the row
                load_row(table, code)
    return compiled


class PreparedCall:
    """A kernel call to be repeated with the same arguments, except for some arrays: `prepared(*arrays)`.

    new : arrays among the arguments, or among the fields of their named tuples, that each call replaces; in order
    """

    def __init__(self, kernel: str | Kernel, kind: Any, arguments: tuple, new: tuple[np.ndarray, ...]):
        fields = [x for argument in arguments for x in (argument if isinstance(argument, tuple) else (argument,))]
        places = [next(i for i, x in enumerate(fields) if x is array) for array in new]
        _, self._function, pack, _ = compiled_kernel(kernel, kind, arguments)
        words = pack(*ArgumentPacker()(arguments))
        self._kept = [x for i, x in enumerate(fields) if i not in places]  # kept alive: the words hold addresses
        self._types = [signature(array) for array in new]
        layout, self._words = "=", []  # constant bytes, with a word for a replaced array after each piece but the last
        for first, end in pairwise([0, *(place + 1 for place in places), len(fields) + 1]):
            piece = words[8 * first : 8 * (end - 1)]
            layout += f"{len(piece)}sq"
            self._words += [piece, 0]
        del self._words[-1]
        self._pack = Struct(layout[:-1]).pack

    def __call__(self, *arrays: np.ndarray) -> None:
        if CHECK_TYPES:
            assert [signature(array) for array in arrays] == self._types, f"a kernel is called again for {self._types}"
        words = self._words.copy()  # a signal handler may make the same call
        words[1::2] = map(id, arrays)
        self._function(self._pack(*words))


def call(kernel: str | Kernel, kind: Any, *arguments: Any) -> None:
    """Call a kernel on this thread."""
    compiled = compiled_kernel(kernel, kind, arguments)
    compiled.function(compiled.pack(*ArgumentPacker()(arguments)))


class Loaded(NamedTuple):
    """A function in memory."""

    address: int
    tables: frozenset[Table]  # of the function, and of those that it calls


def _load_kernel(kernel: str | Kernel, text: str, arguments: tuple) -> Loaded:
    if isinstance(kernel, str):
        return load_function(f"{kernel} {text}", lambda: _compiled_kernel(kernel, arguments))
    with notify_listeners():
        return _load(_compiled_kernel(kernel, arguments))


def _compiled_kernel(kernel: str | Kernel, arguments: tuple) -> ObjectFile:
    from .compile_process import work_shared  # before the compiler: the second process imports Numba at the same time

    with work_shared(arguments):
        from .compiler import library

        if isinstance(kernel, str):
            module, _, name = kernel.rpartition(".")
            kernel = getattr(import_module(f"..{module}", __package__), name)
        return library(kernel, arguments).object_code


def _load_link(link: Link) -> frozenset[Table]:
    """Load what an object file is linked with; return its tables."""
    if link.codes:
        if link.symbol not in _tables:
            _tables[link.symbol] = Table(link)
        return frozenset((_tables[link.symbol],))
    loaded = load_function(link.symbol, lambda: _compiled_link(link))
    if link.symbol not in _linked:
        binding.add_symbol(link.symbol, loaded.address)
        _linked.add(link.symbol)
    return loaded.tables


def load_row(table: Table, code: int) -> None:
    """Load the function of a row, and enter its address in the table."""
    row = table.link.of_row(code)
    loaded = load_function(row.symbol, lambda: _compiled_link(row))
    assert not loaded.tables, f"{row.symbol} calls a table of functions, whose rows nobody would load"
    table.set(code, loaded.address)


def tables() -> list[Table]:
    """Return all tables that machine code of this process reads."""
    return list(_tables.values())


def _compiled_link(link: Link) -> ObjectFile:
    from .compiler import machine_code_of_link

    return machine_code_of_link(link)


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause Python's garbage collector, which takes a sixth of a compilation: Numba builds trees of many objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_function(name: str, compiled: Callable[[], ObjectFile]) -> Loaded:
    """Load the function in the object file stored under `name`, and what it is linked with.

    compiled : called without arguments if there is no such file; returns its content

    Ctrl-C is handled after the function is loaded, or while this thread waits for another process to compile it.
    """
    with timed(), FORK_LOCK, interrupts.deferred(NOTICE):
        loaded = _functions.get(name)
        if loaded is None:
            content = object_cache.read(name)
            if content is None:
                with notify_listeners(), _garbage_collection_paused():
                    content = object_cache.read_or_write(name, lambda: compiled().to_bytes())
            loaded = _functions[name] = _load(ObjectFile.from_bytes(content))
        return loaded


@lru_cache(maxsize=1)
def _engine() -> Any:
    """Return LLVM's engine, which owns all machine code that is loaded. If Numba is used later, it has its own."""
    with suppress(RuntimeError):  # since llvmlite 0.45 this happens automatically, and the call raises
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def _load(file: ObjectFile) -> Loaded:
    """Load an object file, and those that it is linked with, for the lifetime of this process."""
    tables = frozenset().union(*map(_load_link, file.links))
    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(file.code))
    engine.finalize_object()
    address = engine.get_function_address(ENTRY)  # that of the last file: all files name their function so
    assert address not in _addresses, "LLVM's engine found the function of an earlier object file"
    _addresses.add(address)
    return Loaded(address, tables)
