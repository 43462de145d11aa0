"""Cells that are no numbers or no dates, in a table that is encoded in pieces: all rows decide what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from .bad_cells import BadCells
from .cells import count_of

Found = dict[tuple[str, str], BadCells]  # by the name of a column, and by what its cells should be

_found: ContextVar[Found | None] = ContextVar("cells of the pieces that were encoded", default=None)


class CellsOfPieces:
    """Counts of the cells of columns of numbers and dates, in all pieces of a table for prediction.

    In a table in memory, half of a column's cells or more that are no numbers are refused. In a single piece such cells
    count as missing, however many they are, and `check` refuses them after the last piece.
    """

    def __init__(self) -> None:
        self._cells: Found = {}

    def counting(self, encode: Callable[..., Any], *arguments: Any) -> Any:
        """Return encode(*arguments), during which the encoders of columns count their cells."""
        token = _found.set(self._cells)
        try:
            return encode(*arguments)
        finally:
            _found.reset(token)

    def check(self) -> None:
        """Raise ValueError if half of the cells of a column, or more, are not what they should be."""
        for (name, noun), cells in self._cells.items():
            if cells.n_bad and 2 * cells.n_bad >= cells.n_present:
                raise no_such_cells(name, noun, cells.examples, cells.n_bad, cells.n_present)


def is_in_pieces() -> bool:
    """Return whether the table that is encoded is a piece of one."""
    return _found.get() is not None


def count_cells(name: str, noun: str, series: Any, bad: np.ndarray, n_present: int) -> None:
    """Count the cells of a column if the table is a piece of one; parameters as of BadCells.of, noun as of Found"""
    if (found := _found.get()) is not None:
        found.setdefault((name, noun), BadCells()).add(BadCells.of(series, bad, n_present))


def no_such_cells(name: str, noun: str, examples: str, n_bad: int, n: int) -> ValueError:
    """Return the error for a column of which too many cells are not what they should be."""
    cells = f"{examples} in {count_of(n_bad, n)}"
    return ValueError(f"Column {name!r} should hold {noun}, but holds {cells}; correct or empty such cells.")
