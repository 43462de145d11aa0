"""A column of a training table, as the kinds of columns that may encode it see it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .cells import MAX_BAD_FRACTION, contents, count_of, spelled_alike
from .number_formats import conversion_of, dates_of, thousands_of
from .tallies import Categories, Misfits

if TYPE_CHECKING:
    import pandas as pd

    from .base_column import Column

    Found = tuple[Column | None, str]  # an encoder, or None for a column that cannot be used; the end of a note, or ""

MAX_CATEGORIES = 255  # of a column
MIN_ROWS = 16  # of a category with a feature of its own, in a column of more categories
MIN_SHARE_OF_FREQUENT = 0.5  # of the cells that have frequent categories, in a column that may be something else
ISO_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]\d\d:\d\d.*)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d{4}|\d\d)([ ].*)?", re.ASCII)


@dataclass
class TrainingColumn:
    """A column of a training table.

    name : name of the column
    sample : all of its rows, or some
    kind : "number", "category", or the name of another type (dates, lists, bytes)
    categories : of all rows, if the kind is "category"
    not_numbers : cells of a column of text or numbers that are no numbers, or None for one of another type
    not_dates : cells that are no dates, or None if they are not counted
    """

    name: str
    sample: pd.Series
    kind: str
    categories: Categories
    not_numbers: Misfits | None = None
    not_dates: Misfits | None = None

    @property
    def has_missing(self) -> bool:
        return self.categories.n_missing > 0

    @cached_property
    def names(self) -> list[str]:
        """Names of the categories, in the order of `categories`; some may be equal."""
        return spelled_alike(list(self.categories.counts))

    @cached_property
    def distinct(self) -> list[str]:
        return sorted(set(self.names))

    @property
    def n_shown(self) -> str:
        """The number of categories of all rows, as text."""
        return f"more than {Categories.most}" if self.categories.has_forgotten else str(len(self.distinct))

    @cached_property
    def is_text(self) -> bool:
        cells = self.sample
        return contents(cells) == "string" or all(isinstance(cell, str) for cell in cells.dropna().unique())

    @cached_property
    def has_category_type(self) -> bool:
        """Whether it has pandas' category type, which is the user's word that it holds categories."""
        import pandas as pd

        return isinstance(self.sample.dtype, pd.CategoricalDtype)

    @cached_property
    def texts(self) -> Counter[str]:
        """Numbers of cells by text: of all rows or, if some of their texts are forgotten, of those in `sample`.

        Of texts that each occur once, those that are not forgotten are the first rows of the table.
        """
        return Categories.of(self.sample).counts if self.categories.has_forgotten else self.categories.counts

    @cached_property
    def thousands(self) -> str:
        return thousands_of(self.names) if self.is_text and not self.has_category_type else ""

    @property
    def has_numbers_only(self) -> bool:
        cells = self.not_numbers
        return cells is not None and cells.n_present > 0 and not cells.n_bad and not self.thousands

    def are_mostly(self, pattern: re.Pattern[str]) -> bool:
        """Return whether more than half of its texts match a pattern."""
        return float(np.mean([pattern.fullmatch(name.strip()) is not None for name in self.names])) > 0.5

    @cached_property
    def are_dates(self) -> bool:
        """Whether more than half of its texts are dates, of which some are in no clear order of day and month."""
        return self.are_mostly(DATE)

    @property
    def has_too_many(self) -> bool:
        return len(self.distinct) > MAX_CATEGORIES

    @cached_property
    def against_categories(self) -> str:
        """Why its texts cannot all be categories; "" if they can."""
        if not self.has_too_many and len(self.distinct) != self.categories.n_present:
            return ""
        if self.are_dates:
            return f"it holds dates as text, such as {self.names[0]!r}; to use it, {dates_of(self.name)}"
        if self.has_too_many:
            return f"it has {self.n_shown} different texts, but at most {MAX_CATEGORIES} are encoded"
        return "its text is different in every row"

    @cached_property
    def hint(self) -> str:
        """What its cells may be instead of categories, and how to say so; "" if there is nothing to say."""
        if not self.against_categories and self.are_dates and not self.are_mostly(ISO_DATE):
            return f"its texts look like dates, such as {self.names[0]!r}: to use them as dates, {dates_of(self.name)}"
        hint, cells = self.thousands, self.not_numbers
        if not hint and not self.has_category_type:
            hint = conversion_of(self.name, self.names)
        if hint or cells is None or not cells.n_bad or not cells.is_half:
            return hint
        return (
            f"it holds no numbers in {count_of(cells.n_bad, cells.n_present)} ({cells.examples}), and a column of "
            f"numbers may in {100 * MAX_BAD_FRACTION:g} %; if numbers are meant, correct or empty those cells"
        )

    @cached_property
    def frequent(self) -> tuple[list[str], float]:
        """(the most frequent of too many categories, sorted; the fraction of the cells that they make up)."""
        if not self.has_too_many:
            return [], 0.0
        counts: Counter[str] = Counter()
        for name, count in zip(self.names, self.categories.counts.values(), strict=True):
            counts[name] += count
        chosen = [name for name, count in counts.most_common(MAX_CATEGORIES) if count >= MIN_ROWS]
        return sorted(chosen), sum(counts[name] for name in chosen) / max(1, self.categories.n_present)

    @property
    def is_frequent(self) -> bool:
        """Whether its frequent categories make up enough of the cells."""
        return self.frequent[1] >= MIN_SHARE_OF_FREQUENT
