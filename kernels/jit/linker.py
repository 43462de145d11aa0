"""Object files that are linked with others: which functions a kernel calls that have object files of their own.

A link is a function (LinkedHelper) or a table of functions (LinkedTable), for arguments of some types. A table is an
array of addresses: an object file is made of a row, and loaded, when a kernel is called that uses the row.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

from .decorators import MOST_ROWS


def attribute(name: str) -> Any:
    """Return the object of a module with this dotted name."""
    module, _, name = name.rpartition(".")
    return getattr(import_module(module), name)


class Link(NamedTuple):
    """A function, or a table of functions, that an object file calls."""

    symbol: str  # its name in machine code, which depends on the helper and the types of the arguments
    helper: str  # dotted name of the LinkedHelper or LinkedTable
    codes: str  # of a table, the field with the codes of the rows that a call uses, such as "NetSpec.loss"; else empty
    kinds: bytes  # pickled Numba types of the arguments
    row: int = -1  # of a LinkedTable, for the link of one of its rows

    def function(self) -> Callable:
        """Return the Python function of the helper or of the row."""
        linked = attribute(self.helper)
        return linked.py_func if self.row < 0 else linked.functions[self.row].py_func

    def returns(self) -> type | None:
        return attribute(self.helper).returns

    def of_row(self, code: int) -> Link:
        """Return the link of a row of this table."""
        return self._replace(symbol=f"{self.symbol}_{code}", codes="", row=code)


def codes_of(arguments: Sequence[Any]) -> dict[str, Sequence[int]]:
    """Return {"Class.field": integers} of the named tuples among a kernel's arguments, which may be codes of rows."""
    found = {}
    for x in arguments:
        for name, value in zip(getattr(x, "_fields", ()), x if isinstance(x, tuple) else (), strict=True):
            if isinstance(value, int):
                found[f"{type(x).__name__}.{name}"] = [value]
            elif isinstance(value, np.ndarray) and value.dtype.kind == "i" and value.size <= MOST_ROWS:
                found[f"{type(x).__name__}.{name}"] = value.tolist()
    return found


def links_in_use(link: Link, codes: Mapping[str, Sequence[int]]) -> list[Link]:
    """Return the functions that a call of this link can reach: itself, or the rows of a table with these codes."""
    if not link.codes:
        return [link]
    return [link.of_row(code) for code in sorted(set(codes.get(link.codes, ()))) if code >= 0]


class ObjectFile(NamedTuple):
    """Machine code, and what it is to be linked with."""

    code: bytes
    links: tuple[Link, ...] = ()

    def to_bytes(self) -> bytes:
        return pickle.dumps((self.code, [tuple(link) for link in self.links]))

    @classmethod
    def from_bytes(cls, content: bytes) -> ObjectFile:
        """Read an object file of the cache, which holds nothing that others can have written."""
        code, links = pickle.loads(content)
        return cls(code, tuple(Link(*link) for link in links))


@ctypes.CFUNCTYPE(None)
def _stop_at_missing_row() -> None:
    """End the process: a kernel has called a function that is not loaded, and cannot go on without its result."""
    sys.stderr.write("fastmlp: a kernel called a function that is not loaded. Please report this, with the program.\n")
    sys.stderr.flush()
    os.abort()


STOP = ctypes.cast(_stop_at_missing_row, ctypes.c_void_p).value


class Table:
    """Addresses of the functions of a LinkedTable, in memory that machine code reads."""

    def __init__(self, link: Link):
        self.link, self._loaded = link, set[int]()
        self._complete: set[bytes] = set()  # arrays of codes whose rows are all loaded, as bytes
        self._struct, self._field = link.codes.split(".")
        self._addresses = (ctypes.c_void_p * MOST_ROWS)(*[STOP] * MOST_ROWS)
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
