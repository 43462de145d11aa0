"""Cells of a column that are not what its other cells are, such as text among numbers: their number, and examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .cells import count_of, is_half, is_tolerable, shown_examples

if TYPE_CHECKING:
    import pandas as pd

MOST_TEXTS = 2_000  # that are counted each; of more, the rarer half is forgotten, and only their cells are counted


@dataclass
class BadCells:
    """Cells that are present, but no numbers or no dates, of a column or of its pieces one after another.

    counts : number of bad cells by their text
    n_bad, n_present, n_rows : number of bad cells, of all that are not missing, and of all
    has_forgotten : whether there were further texts

    >>> import pandas as pd
    >>> cells = BadCells.of(pd.Series([1.5, "none", None]), np.array([False, True, False]), 2)
    >>> cells.add(BadCells.of(pd.Series(["none", "?!"]), np.array([True, True]), 2))
    >>> cells.as_missing("numbers")
    "holds no numbers in 3 of 5 cells ('none', '?!'), which count as missing"
    """

    counts: Counter[str] = field(default_factory=Counter)
    n_bad: int = 0
    n_present: int = 0
    n_rows: int = 0
    has_forgotten: bool = False

    @classmethod
    def of(cls, series: pd.Series, bad: np.ndarray, n_present: int) -> BadCells:
        """Count cells of a column.

        bad : bool (n_rows,)
        n_present : number of cells that are not missing, bad ones included
        """
        return cls(Counter(map(str, series[bad].tolist())), int(np.count_nonzero(bad)), n_present, len(series))

    def add(self, other: BadCells) -> None:
        """Add the cells of further rows."""
        self.counts.update(other.counts)
        self.n_bad += other.n_bad
        self.n_present += other.n_present
        self.n_rows += other.n_rows
        if len(self.counts) > MOST_TEXTS:
            self.counts = Counter(dict(self.counts.most_common(MOST_TEXTS // 2)))
            self.has_forgotten = True

    @property
    def is_tolerable(self) -> bool:
        return is_tolerable(self.n_bad, self.n_present)

    @property
    def is_half(self) -> bool:
        """Whether at least half of the cells are not bad."""
        return is_half(self.n_bad, self.n_present)

    @property
    def examples(self) -> str:
        """The most frequent texts, as cells.examples shows them."""
        return shown_examples(self.counts, is_complete=not self.has_forgotten)

    def as_missing(self, noun: str) -> str:
        """Return the part of a sentence that says that these cells count as missing; noun : what they are not"""
        return f"holds no {noun} in {count_of(self.n_bad, self.n_rows)} ({self.examples}), which count as missing"
