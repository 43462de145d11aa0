"""A column of a training table, as the kinds of columns that may encode it see it."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .cells import (
    CATEGORY,
    MAX_BAD_FRACTION,
    NUMERIC,
    TEXT,
    Reading,
    categories_of,
    contents,
    count_of,
    examples,
    read_numbers,
    spelled_alike,
    type_of,
)
from .numbers_as_text import DATE, ISO_DATE, conversion_of, dates_of, mark_of_thousands, thousands_of

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 255  # of a column
MIN_ROWS = 16  # of a category with a feature of its own, in a column of more categories
MIN_SHARE_OF_FREQUENT = 0.5  # of the cells that have frequent categories, in a column that may be something else


class TrainingColumn:
    """A column of a training table."""

    def __init__(self, cells: pd.Series):
        self.name, self.cells = str(cells.name), cells

    @cached_property
    def _type(self) -> str:
        dtype = self.cells.dtype
        return NUMERIC if isinstance(dtype, np.dtype) and dtype.kind in "fiu" else type_of(self.cells)

    @cached_property
    def kind(self) -> str:
        """Its kind: "number", "category", or the name of another type (dates, lists, bytes).

        In a column of numbers up to 5 % of the cells may not be numbers. A text column in which every cell looks like a
        number is a category.
        """
        if self._type != TEXT:
            return {NUMERIC: "number", CATEGORY: "category"}.get(self._type, self._type)
        is_string = contents(self.cells) == "string"
        if not self.texts_as_numbers.is_tolerable or (is_string and not self.texts_as_numbers.n_bad):
            return "category"
        texts = list(self.texts)
        if (is_string and mark_of_thousands(texts)) or self.names != texts:  # booleans mixed with 1 and 0
            return "category"
        return "number"

    @cached_property
    def texts_as_numbers(self) -> Reading:
        """Cells of text, or of text and numbers, as numbers; no cell of other types."""
        return read_numbers(self.cells) if self._type == TEXT else Reading(np.zeros(0))

    @cached_property
    def n_missing(self) -> int:
        return int(self.cells.isna().sum())

    @cached_property
    def texts(self) -> dict[str, int]:
        """Number of cells by the names of the categories."""
        codes, names = categories_of(self.cells)
        return dict(zip(names, np.bincount(codes[codes >= 0], minlength=len(names)).tolist(), strict=True))

    @cached_property
    def names(self) -> list[str]:
        """Names of the categories, in the order of `texts`; some may be equal."""
        return spelled_alike(list(self.texts))

    @cached_property
    def distinct(self) -> list[str]:
        return sorted(set(self.names))

    @cached_property
    def is_text(self) -> bool:
        cells = self.cells
        return contents(cells) == "string" or all(isinstance(cell, str) for cell in cells.dropna().unique())

    @cached_property
    def thousands(self) -> str:
        return thousands_of(self.names) if self.is_text and not hasattr(self.cells, "cat") else ""

    def are_mostly(self, pattern: re.Pattern[str]) -> bool:
        """Return whether more than half of its texts match a pattern."""
        return 2 * len(list(filter(pattern.fullmatch, map(str.strip, self.names)))) > len(self.names)

    @cached_property
    def against_categories(self) -> str:
        """Why its texts cannot all be categories; "" if they can."""
        has_too_many = len(self.distinct) > MAX_CATEGORIES
        if not has_too_many and len(self.distinct) != sum(self.texts.values()):
            return ""
        if self.are_mostly(DATE):
            return f"it holds dates as text, such as {self.names[0]!r}; to use it, {dates_of(self.name)}"
        if has_too_many:
            return f"it has {len(self.distinct)} different texts, but at most {MAX_CATEGORIES} are encoded"
        return "its text is different in every row"

    @cached_property
    def hint(self) -> str:
        """What its cells may be instead of categories, and how to say so; "" if there is nothing to say."""
        if not self.against_categories and self.are_mostly(DATE) and not self.are_mostly(ISO_DATE):
            return f"its texts look like dates, such as {self.names[0]!r}: to use them as dates, {dates_of(self.name)}"
        hint, reading = self.thousands, self.texts_as_numbers
        if not hint and not hasattr(self.cells, "cat"):  # pandas' categories are the user's word
            hint = conversion_of(self.name, self.names)
        if hint or not reading.n_bad or not reading.is_half:
            return hint
        cells = f"{count_of(reading.n_bad, reading.n_present)} ({examples(self.cells, reading.bad)})"
        return (
            f"it holds no numbers in {cells}, and a column of numbers may in {100 * MAX_BAD_FRACTION:g} %; if numbers "
            "are meant, correct or empty those cells"
        )

    @cached_property
    def frequent(self) -> tuple[list[str], float]:
        """(the most frequent of too many categories, sorted; the fraction of the cells that they make up)."""
        if len(self.distinct) <= MAX_CATEGORIES:
            return [], 0.0
        counts: Counter[str] = Counter()
        for name, count in zip(self.names, self.texts.values(), strict=True):
            counts[name] += count
        chosen = [name for name, count in counts.most_common(MAX_CATEGORIES) if count >= MIN_ROWS]
        return sorted(chosen), sum(counts[name] for name in chosen) / max(1, sum(self.texts.values()))
