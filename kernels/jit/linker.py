"""Object files that are linked with others: which functions a kernel calls that have object files of their own.

A link is a function (LinkedHelper) or a table of functions (LinkedTable), for arguments of some types. A table is an
array of addresses: an object file is made of a row, and loaded, when a kernel is called that uses the row.
"""

from __future__ import annotations

import ctypes
import pickle
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from llvmlite import binding

from .decorators import LinkedTable

ROWS = 64  # of a table, at most


class Link(NamedTuple):
    """A function, or a table of functions, that an object file calls."""

    symbol: str  # its name in machine code, which depends on the helper and the types of the arguments
    helper: str  # dotted name of the LinkedHelper or LinkedTable
    codes: str  # of a table, the field with the codes of the rows that a call uses, such as "NetSpec.loss"; else empty
    kinds: bytes  # pickled Numba types of the arguments


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


def found(name: str) -> Any:
    """Return the object of a module with this dotted name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


class Table:
    """Addresses of the functions of a LinkedTable, in memory that machine code reads."""

    def __init__(self, link: Link):
        self.link, self._loaded = link, set[int]()
        self._struct, self._field = link.codes.split(".")
        self._addresses = (ctypes.c_void_p * ROWS)()
        binding.add_symbol(link.symbol, ctypes.addressof(self._addresses))

    def missing(self, arguments: Iterable[Any]) -> Iterator[int]:
        """Yield the codes of the rows that a call with these arguments uses and that are not loaded."""
        for struct in arguments:
            if type(struct).__name__ == self._struct:
                codes = getattr(struct, self._field)
                for code in (codes,) if isinstance(codes, int) else codes.tolist():
                    if code >= 0 and code not in self._loaded:
                        yield code

    def set(self, code: int, address: int) -> None:
        self._addresses[code] = address
        self._loaded.add(code)

    def row(self, code: int) -> Link:
        """Return a row as a link of its own."""
        return self.link._replace(symbol=f"{self.link.symbol}_{code}", codes="")

    def helper(self, code: int) -> Any:
        table: LinkedTable = found(self.link.helper)
        return table.functions[code]
