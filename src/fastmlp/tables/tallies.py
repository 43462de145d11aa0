"""Tallies of the cells of a column, of a table or of its pieces one after another: categories, and misfits.

Misfits are cells that are not what the others of their column are, such as text among numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .cells import Reading, Tolerance, categories_of, count_of, misfits_error, shown_examples

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Tally:
    """Numbers of cells by their text.

    counts : number of cells by text, in the order in which they occur
    n_present : number of cells that are not missing
    has_forgotten : whether there were further texts
    most : texts that are counted each; of more, the rarer half is forgotten
    """

    counts: Counter[str] = field(default_factory=Counter)
    n_present: int = 0
    has_forgotten: bool = False
    most: ClassVar[int]

    def add(self, other: Any) -> None:
        """Add the tally of further rows, of the same kind."""
        self.counts.update(other.counts)
        self.n_present += other.n_present
        if len(self.counts) > self.most:
            self.counts = Counter(dict(self.counts.most_common(self.most // 2)))
            self.has_forgotten = True


@dataclass
class Categories(Tally):
    """Cells of a column of categories, by the name of the category.

    n_missing : number of missing cells

    >>> import pandas as pd
    >>> cells = Categories.of(pd.Series(["red", "blue", None]))
    >>> cells.add(Categories.of(pd.Series(["blue", "green"])))
    >>> dict(cells.counts), cells.n_present, cells.n_missing
    ({'red': 1, 'blue': 2, 'green': 1}, 4, 1)
    """

    n_missing: int = 0
    most: ClassVar[int] = 20_000

    @classmethod
    def of(cls, series: pd.Series) -> Categories:
        codes, names = categories_of(series)
        known = codes[codes >= 0]
        found = np.bincount(known, minlength=len(names)).tolist()
        return cls(Counter(dict(zip(names, found, strict=True))), len(known), n_missing=len(codes) - len(known))

    def add(self, other: Categories) -> None:
        super().add(other)
        self.n_missing += other.n_missing


@dataclass
class Misfits(Tally, Tolerance):
    """Cells of a column that are present, but no numbers or no dates, by their text.

    n_bad, n_rows : number of misfits, and of all cells

    >>> import pandas as pd
    >>> from fastmlp.tables.cells import read_numbers
    >>> cells = [pd.Series([1.5, "none", None]), pd.Series(["none", "?!"])]
    >>> misfits = Misfits()
    >>> for series in cells:
    ...     misfits.add(Misfits.of(series, read_numbers(series)))
    >>> misfits.as_missing("numbers")
    "holds no numbers in 3 of 5 cells ('none', '?!'), which count as missing"
    """

    n_bad: int = 0
    n_rows: int = 0
    most: ClassVar[int] = 2_000

    @classmethod
    def of(cls, series: pd.Series, reading: Reading) -> Misfits:
        texts = Counter(map(str, series[reading.bad].tolist())) if reading.n_bad else Counter[str]()
        return cls(texts, reading.n_present, n_bad=reading.n_bad, n_rows=len(series))

    def add(self, other: Misfits) -> None:
        super().add(other)
        self.n_bad += other.n_bad
        self.n_rows += other.n_rows

    @property
    def examples(self) -> str:
        """The most frequent texts, as cells.examples shows them."""
        return shown_examples(self.counts, is_complete=not self.has_forgotten)

    def as_missing(self, noun: str) -> str:
        """Return the part of a sentence that says that these cells count as missing; noun : what they are not"""
        return f"holds no {noun} in {count_of(self.n_bad, self.n_rows)} ({self.examples}), which count as missing"


# While the table that is encoded is a piece of one: its misfits by column and by what the cells should be.
OF_PIECES: ContextVar[dict[tuple[str, str], Misfits] | None] = ContextVar("misfits of pieces", default=None)


class MisfitsOfPieces:
    """Misfits of columns of numbers and dates, in all pieces of a table for prediction.

    In a table in memory, half of a column's cells or more that are no numbers are refused. In a single piece such cells
    count as missing, however many they are, and `check` refuses them after the last piece.
    """

    def __init__(self) -> None:
        self._misfits: dict[tuple[str, str], Misfits] = {}  # by the column's name, and by what its cells should be

    def counting(self, encode: Callable[..., Any], *arguments: Any) -> Any:
        """Return encode(*arguments), during which the misfits of columns are counted."""
        token = OF_PIECES.set(self._misfits)
        try:
            return encode(*arguments)
        finally:
            OF_PIECES.reset(token)

    def check(self) -> None:
        """Raise ValueError if half of the cells of a column, or more, are not what they should be."""
        for (name, noun), cells in self._misfits.items():
            if cells.n_bad and 2 * cells.n_bad >= cells.n_present:
                raise misfits_error(name, noun, cells.examples, cells.n_bad, cells.n_present)


def count_misfits(name: str, noun: str, misfits: Misfits) -> None:
    """Count the misfits of a column if the table is a piece of one; noun : what its cells should be"""
    if (found := OF_PIECES.get()) is not None:
        found.setdefault((name, noun), Misfits()).add(misfits)
