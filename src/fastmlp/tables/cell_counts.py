"""Counts of the cells of a column of categories, of a table or of its pieces one after another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .cells import categories_of

if TYPE_CHECKING:
    import pandas as pd

MOST_COUNTED = 20_000  # categories of a column; of more, the rarer half is forgotten, and only their cells are counted


@dataclass
class CellCounts:
    """Number of cells of each category in a column.

    counts : number of cells by the name of the category, in the order in which they occur
    n_present, n_missing : number of cells that are not missing, those of forgotten categories included, and of the rest
    has_forgotten : whether there are further categories

    >>> import pandas as pd
    >>> cells = CellCounts.of(pd.Series(["red", "blue", None]))
    >>> cells.add(CellCounts.of(pd.Series(["blue", "green"])))
    >>> dict(cells.counts), cells.n_present, cells.n_missing
    ({'red': 1, 'blue': 2, 'green': 1}, 4, 1)
    """

    counts: Counter[str] = field(default_factory=Counter)
    n_present: int = 0
    n_missing: int = 0
    has_forgotten: bool = False

    @classmethod
    def of(cls, series: pd.Series) -> CellCounts:
        codes, names = categories_of(series)
        known = codes[codes >= 0]
        found = np.bincount(known, minlength=len(names)).tolist()
        return cls(Counter(dict(zip(names, found, strict=True))), len(known), len(codes) - len(known))

    def add(self, other: CellCounts) -> None:
        """Add the counts of further rows."""
        self.counts.update(other.counts)
        self.n_present += other.n_present
        self.n_missing += other.n_missing
        if len(self.counts) > MOST_COUNTED:
            self.counts = Counter(dict(self.counts.most_common(MOST_COUNTED // 2)))
            self.has_forgotten = True

    def n_shown(self, n_distinct: int) -> str:
        """Return the number of categories of all rows, as text; n_distinct : of those that are not forgotten"""
        return f"more than {MOST_COUNTED}" if self.has_forgotten else str(n_distinct)
