"""One-hot encoding of columns of categories, and which of many categories have a feature."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .cell_counts import CellCounts
from .cells import MISSING_TEXTS, Spellings, categories_of, count_of, examples, text_of
from .column_notes import Note, missing_note

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 255  # of a column
MIN_ROWS = 16  # of a category with a feature of its own, in a column of more categories
PLAIN = (str, int, bool)  # types of cells whose names do not depend on the column's type


@dataclass(frozen=True)
class CategoryColumn:
    """One-hot encoding: one feature per category, plus one for missing cells if training had any.

    A category unseen in training, or too rare for a feature of its own, is encoded as all zeros.
    """

    name: str
    categories: tuple[str, ...]
    has_missing: bool
    is_text: bool  # whether cells must be read as text even if they look like numbers
    has_rest: bool = False  # whether training had further categories, which are zeros like those it had not
    kind: ClassVar[str] = "category"
    encoding: ClassVar[str] = "one-hot categories"  # for notes

    def __post_init__(self) -> None:
        texts = {category for category in self.categories if isinstance(category, str)}
        if len(texts) != len(self.categories):
            raise ValueError(f"column {self.name!r} needs distinct texts as categories")

    @property
    def marks_missing(self) -> bool:
        """As of the other encoders; `has_missing` is its name in files."""
        return self.has_missing

    @property
    def feature_names(self) -> list[str]:
        names = [f"{self.name} = {category}" for category in self.categories]
        return [*names, f"{self.name} is missing"] if self.has_missing else names

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.categories)

    def places_of(self, cells: list[Any], dtype: Any) -> list[int] | None:
        """Return the number of the category of each of few cells, or None if they are not all known categories.

        What `encode` prepares for many cells takes longer than few of them.

        dtype : of the column: numbers of float64 have the names that they have in `cells`, those of other types not
        """
        if not all(type(cell) in PLAIN for cell in cells) and not (
            dtype == np.float64 and all(cell == cell for cell in cells)
        ):
            return None
        places = [self._spellings.find(text_of(cell)) for cell in cells]
        return None if min(places, default=-1) < 0 else places

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`.

        Categories match in any spelling, such as true and 1; see cells.Spellings.

        series : the column
        out : (n_rows, n features of this column), written

        Returns
        -------
        list of Note
            Differences from the training table.
        """
        codes, names = categories_of(series)
        find = self._spellings.find
        missing_index = len(self.categories) if self.has_missing else -1
        indices = np.array([*map(find, names), -1])
        is_missing = np.array([*(name.strip().lower() in MISSING_TEXTS for name in names), True]) & (indices < 0)
        missing = is_missing[codes]  # in an array of text, None and NaN are the texts "None" and "nan"
        feature = np.where(is_missing, missing_index, indices)[codes]
        known = np.flatnonzero(feature >= 0)
        out[:] = 0
        out[known, feature[known]] = 1
        n = len(series)
        n_missing = int(np.count_nonzero(missing))
        notes = []
        n_unseen = n - len(known) - (0 if self.has_missing else n_missing)
        are_many = 2 * n_unseen > n - n_missing
        is_serious = are_many and not self.has_rest  # the rest may be most cells of the training, too
        if n_unseen and (are_many or not self.has_rest):
            cells = f"{count_of(n_unseen, n)} ({examples(series, (feature < 0) & ~missing)})"
            unseen = "rare or unseen" if self.has_rest else "unseen"
            text = f"Column {self.name!r} has categories {unseen} in training in {cells}, which are encoded as zeros."
            notes.append(Note(text, is_serious))
        if n_missing:
            notes += missing_note(self.name, n_missing, n, self.has_missing, "none of its categories")
        return notes


def frequent_categories(cells: CellCounts, names: list[str]) -> tuple[list[str], float]:
    """Return (the most frequent categories, sorted; the fraction of the cells that they make up).

    names : names of the categories, in the order of cells.counts; counts of equal names are added up
    """
    counts: Counter[str] = Counter()
    for name, count in zip(names, cells.counts.values(), strict=True):
        counts[name] += count
    chosen = [name for name, count in counts.most_common(MAX_CATEGORIES) if count >= MIN_ROWS]
    return sorted(chosen), sum(counts[name] for name in chosen) / max(1, cells.n_present)
