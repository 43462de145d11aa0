"""Summary of a column over all rows, which come at once or piece by piece: counts, of which a sample tells less."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .base_column import Column
from .category_column import CategoryColumn
from .cells import (
    LARGEST_NUMBER,
    NUMBERS,
    Tolerance,
    categories_of,
    contents,
    is_text_or_mixed,
    numbers_in,
    read_numbers,
    spelled_alike,
)
from .date_column import DATE_CONTENTS, DateColumn, read_dates
from .notes import LEFT_OUT
from .number_columns import WITHOUT_TARGETS, NumberColumn, NumericEncoding, StandardColumn
from .number_formats import mark_of_thousands
from .tallies import Categories, Misfits
from .text_column import TextColumn
from .training_column import TrainingColumn

if TYPE_CHECKING:
    import pandas as pd

# Types of the cells of a piece: numbers; text, or numbers and text; booleans and pandas' categories; and all others.
NUMERIC, TEXT, CATEGORY, OTHER = "numbers", "text", "category", "other"


def column_kind(series: pd.Series) -> str:
    """Return the kind of a column: "number", "category", or the name of another type (dates, lists, bytes).

    In a column of numbers up to 5 % of the cells may not be numbers. A text column in which every cell looks like a
    number is a category.
    """
    kind, name = _type_of(series), contents(series)
    if kind == TEXT:
        return _kind_of_text(read_numbers(series), name == "string", lambda: categories_of(series)[1])
    return {CATEGORY: "category", NUMERIC: "number", OTHER: name}[kind]


def _kind_of_text(cells: Tolerance, is_string: bool, names: Callable[[], list[str]]) -> str:
    """Return "number" or "category" for a column of text, or of numbers and text.

    is_string : whether all cells are text
    names : returns the names of its categories
    """
    if not cells.is_tolerable or (is_string and not cells.n_bad) or (is_string and mark_of_thousands(names())):
        return "category"
    return "number" if spelled_alike(names()) == names() else "category"  # booleans mixed with 1 and 0: a category


def some_rows() -> str:
    return "some rows"


class Moments:
    """Number, mean, standard deviation, minimum and maximum of the rows that `add` was given: Chan et al. 1979.

    >>> moments = Moments()
    >>> moments.add(np.array([1.0, 2.0]))
    >>> moments.add(np.array([6.0]))
    >>> moments.n, float(moments.mean), round(float(moments.std), 3)
    (3, 3.0, 2.16)
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())
        self.low: np.ndarray = np.array(np.inf)
        self.high: np.ndarray = np.array(-np.inf)

    def add(self, values: np.ndarray) -> None:
        """Add rows, float64 (n_rows,) or (n_rows, n_columns), all of the same width and finite."""
        n = len(values)
        if not n:
            return
        mean, total = values.mean(axis=0), self.n + n
        distance = mean - self.mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + distance * distance * (self.n * n / total)
        self.mean = self.mean + distance * (n / total)
        self.n = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self._squares / max(self.n, 1))


class ColumnSummary:
    """Summary of all rows of a column.

    is_whole : whether they are added at once, and the sample has all of them

    numbers : mean, standard deviation and range of the cells that are numbers, also of those that are text
    categories : of the pieces whose cells are not numbers by their type
    not_numbers, not_dates : cells that are no numbers, and no dates
    n_missing, n_present : number of missing cells, and of others
    """

    def __init__(self, is_whole: bool = False) -> None:
        self._is_whole = is_whole
        self.numbers, self.categories = Moments(), Categories()
        self.not_numbers, self.not_dates = Misfits(), Misfits()
        self.n_missing = self.n_present = 0
        self._first: dict[str, str] = {}  # by the type of the cells, the first rows that have it
        self._is_string = True  # whether all cells of TEXT are text

    def add(self, series: pd.Series, place: Callable[[], str] = some_rows) -> None:
        """Add further rows.

        place : returns which rows these are, for messages

        Raises
        ------
        ValueError
            If a number is infinite or far too large, or the cells are numbers where those before were dates or
            booleans, or the reverse.
        """
        n_missing = int(series.isna().sum())
        if n_missing == len(series):  # such as a piece without a cell, whose type says nothing
            self.n_missing += n_missing
            return
        kind = _type_of(series)
        if kind == NUMERIC:
            n_missing = self._add_numbers(series)
        elif kind == TEXT:
            self._add_text(series)
        if kind in (TEXT, CATEGORY) or (kind == OTHER and contents(series) not in DATE_CONTENTS):
            self.categories.add(Categories.of(series))
        self.n_missing += n_missing
        self.n_present += len(series) - n_missing
        if kind not in self._first:
            self._first[kind] = place()
        unlike = self._first.get(CATEGORY, self._first.get(OTHER))
        if NUMERIC in self._first and unlike is not None:
            raise ValueError(
                f"Column {series.name!r} holds numbers in {self._first[NUMERIC]}, and cells of another type in "
                f"{unlike}; convert all to one type."
            )

    def _add_numbers(self, series: pd.Series) -> int:
        """Add cells that are numbers by their type, and return how many are missing."""
        reading = numbers_in(series)
        if not self._is_whole:
            self.numbers.add(reading.values[~np.isnan(reading.values)])
            self.not_numbers.add(Misfits.of(series, reading))
        return len(series) - reading.n_present

    def _add_text(self, series: pd.Series) -> None:
        """Add cells that are text, or numbers and text."""
        reading = read_numbers(series)
        self.not_numbers.add(Misfits.of(series, reading))
        self._is_string &= contents(series) == "string"
        if not self._is_whole:
            self.numbers.add(reading.values[np.abs(reading.values) <= LARGEST_NUMBER])  # the second pass refuses others
            with suppress(ValueError):  # of several time zones, which a column of dates refuses
                self.not_dates.add(Misfits.of(series, read_dates(series)))

    def fit(self, sample: pd.Series, encoding: NumericEncoding) -> tuple[Column | None, str]:
        """Return (encoder, note) of the column, as fit_encoder does.

        sample : rows of the column, drawn at random
        encoding : NumericEncoding of columns of numbers; its targets are the targets of the sample's rows
        """
        if self.n_present and not sample.notna().any():
            return None, f"Column {sample.name!r} {LEFT_OUT}: nearly all of its cells are missing."
        column = self.training_column(sample)
        found, note = fit_encoder(column, encoding)
        if self._is_whole:
            return found, note
        varies = bool(self.numbers.n and self.numbers.low < self.numbers.high)
        if found is None and column.kind == "number" and varies:  # the sample has one number
            found, note = StandardColumn(column.name, float(self.numbers.mean), float(self.numbers.std), False), ""
            if self.not_numbers.n_bad:
                note = f"Column {column.name!r} {self.not_numbers.as_missing('numbers')}."
        misfits = {"numbers": self.not_numbers, "dates": self.not_dates}.get(found.noun if found else "")
        if found is not None and misfits is not None:
            n_known = misfits.n_present - misfits.n_bad if misfits.n_present else self.n_present
            if n_known < self.n_missing + self.n_present:
                found = replace(found, marks_missing=True)  # type: ignore[type-var]
        return found, note

    def training_column(self, sample: pd.Series) -> TrainingColumn:
        """Return the column with all that is known of it."""
        categories, kind = replace(self.categories, n_missing=self.n_missing), self._kind(sample)
        if NUMERIC in self._first and kind != "number":  # the numbers of some pieces were not counted as texts
            categories = replace(Categories.of(sample), n_missing=self.n_missing)
        if TEXT not in self._first:
            return TrainingColumn(str(sample.name), sample, kind, categories)
        n_rows = self.n_missing + self.n_present
        not_numbers, not_dates = (replace(cells, n_rows=n_rows) for cells in (self.not_numbers, self.not_dates))
        dates = not_dates if not_dates.n_present else None
        return TrainingColumn(str(sample.name), sample, kind, categories, not_numbers, dates)

    def _kind(self, sample: pd.Series) -> str:
        if OTHER in self._first or not {TEXT, CATEGORY} & set(self._first):
            return column_kind(sample)
        if CATEGORY in self._first:  # the sample of pieces with other categories has not their type
            return "category"
        is_string = self._is_string and NUMERIC not in self._first
        return _kind_of_text(self.not_numbers, is_string, lambda: list(self.categories.counts))


# What may encode a column, in the order in which they are asked: `fit` returns (encoder or None, the end of a note), or
# None for a column of another kind.
CHOICES: tuple[Any, ...] = NumberColumn, DateColumn, TextColumn, CategoryColumn


def fit_encoder(column: TrainingColumn, encoding: NumericEncoding) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table.

    The encoder is None for a column that cannot be used; the note is "" if there is nothing to report.
    """
    found, reason = _chosen(column, encoding)
    if found is None:
        return None, f"Column {column.name!r} {LEFT_OUT}: {reason}."
    return found, reason and f"Column {column.name!r} {reason}."


def _chosen(column: TrainingColumn, encoding: NumericEncoding) -> tuple[Column | None, str]:
    if column.name.startswith("Unnamed:"):
        return None, "it has no name in the header (row numbers saved with the table?)"
    if column.sample.isna().all():
        return None, "all of its cells are missing"
    is_named_text = column.name in (encoding.texts or ())
    if column.kind == "category" and not is_named_text and len(column.distinct) == 1 and not column.has_missing:
        return None, "all of its cells are equal"
    for kind in [TextColumn] if is_named_text else CHOICES:
        if (found := kind.fit(column, encoding)) is not None:
            return found  # type: ignore[no-any-return]
    what = "lists, dictionaries or other objects" if column.kind == "mixed" else column.kind
    return None, f"it holds {what}, not numbers, dates, text, true or false; convert it to numbers to use it"


def fit_column(series: pd.Series, encoding: NumericEncoding = WITHOUT_TARGETS) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table, as fit_encoder does."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":  # the usual case
        return fit_encoder(TrainingColumn(str(series.name), series, "number", Categories()), encoding)
    summary = ColumnSummary(is_whole=True)
    summary.add(series)
    return summary.fit(series, encoding)


def _type_of(series: pd.Series) -> str:
    kind = contents(series)
    if hasattr(series, "cat") or kind == "boolean":
        return CATEGORY
    if kind in NUMBERS:
        return NUMERIC
    return TEXT if is_text_or_mixed(series) else OTHER
