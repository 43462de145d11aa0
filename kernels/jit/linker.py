"""Object files that are linked with others: which functions a kernel calls that have object files of their own.

A link is a function (LinkedHelper) or a table of functions (LinkedTable), for arguments of some types. A table is an
array of addresses: an object file is made of a row, and loaded, when a kernel is called that uses the row.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from .decorators import MOST_ROWS, own_digests


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
        return linked.py_func if self.row < 0 else linked.function(self.row).py_func

    def returns(self) -> Any:
        return attribute(self.helper).returns

    def of_row(self, code: int) -> Link:
        """Return the link of a row of this table."""
        return self._replace(symbol=f"{self.symbol}_{own_digests.get((self.codes, code), code)}", codes="", row=code)


def codes_of(arguments: Sequence[Any]) -> dict[str, Sequence[int]]:
    """Return {"Class.field": integers} of the named tuples among a kernel's arguments, which may be codes of rows.

    Own formulas are left out: another process does not know them.
    """
    codes = {}
    for x in arguments:
        for name, value in zip(getattr(x, "_fields", ()), x if isinstance(x, tuple) else (), strict=True):
            if isinstance(value, int):
                codes[f"{type(x).__name__}.{name}"] = [value]
            elif isinstance(value, np.ndarray) and value.dtype.kind == "i" and value.size <= MOST_ROWS:
                codes[f"{type(x).__name__}.{name}"] = value.ravel().tolist()
    return {name: [code for code in values if (name, code) not in own_digests] for name, values in codes.items()}


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
