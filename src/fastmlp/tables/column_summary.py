"""Summaries of columns whose rows come in pieces: counts over all rows, which correct what a sample of them says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .bad_cells import BadCells
from .cell_counts import CellCounts
from .cells import NUMBERS, contents, read_numbers
from .columns_as_numbers import (
    LARGEST_NUMBER,
    column_kind,
    is_text_or_mixed,
    kind_of_names,
    may_be_numbers,
    tolerated_numbers,
)
from .date_column import DATE_CONTENTS, DateColumn, read_dates
from .encoder_choice import LEFT_OUT, Column, ColumnCells, NumericEncoding, fit_column
from .moments import Moments
from .numeric_columns import NumericColumn, StandardColumn

if TYPE_CHECKING:
    import pandas as pd

# Types of the cells of a piece: numbers; text, or numbers and text; booleans and pandas' categories; and all others.
NUMERIC, TEXT, CATEGORY, OTHER = "numbers", "text", "category", "other"


def some_rows() -> str:
    return "some rows"


class ColumnSummary:
    """Summary of all rows of a column, which are added piece by piece.

    numbers : mean, standard deviation and range of the cells that are numbers, also of those that are text
    cells : counts of the categories, of the pieces whose cells are not numbers by their type
    not_numbers, not_dates : cells that are no numbers, and no dates
    n_missing : number of missing cells
    n_present : number of others
    """

    def __init__(self) -> None:
        self.numbers, self.cells = Moments(), CellCounts()
        self.not_numbers, self.not_dates = BadCells(), BadCells()
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
            self.cells.add(CellCounts.of(series))
            self._add_text(series)
        elif contents(series) not in DATE_CONTENTS:
            self.cells.add(CellCounts.of(series))
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
        values = tolerated_numbers(series, 1.0)[0]
        known = values[~np.isnan(values)]
        self.numbers.add(known)
        self.not_numbers.add(BadCells(n_present=len(known), n_rows=len(values)))
        return len(values) - len(known)

    def _add_text(self, series: pd.Series) -> None:
        """Add cells that are text, or numbers and text."""
        reading = read_numbers(series)
        self.numbers.add(reading.values[np.abs(reading.values) <= LARGEST_NUMBER])  # the second pass refuses others
        self.not_numbers.add(BadCells.of(series, reading.bad, reading.n_present))
        with suppress(ValueError):  # of several time zones, which fit_dates refuses if the column is one of dates
            self.not_dates.add(read_dates(series).bad_cells(series))
        self._is_string &= contents(series) == "string"

    def fit(self, sample: pd.Series, encoding: NumericEncoding) -> tuple[Column | None, str]:
        """Return (encoder, note) of the column, as encoder_choice.fit_column does.

        sample : rows of the column, drawn at random
        encoding : NumericEncoding of columns of numbers; its targets are the targets of the sample's rows
        """
        name = sample.name
        if self.n_present and not sample.notna().any():
            return None, f"Column {name!r} {LEFT_OUT}: nearly all of its cells are missing."
        cells = self._all_cells(sample)
        if NUMERIC in self._first and cells.kind != "number":  # the numbers of some pieces were not counted as texts
            cells = replace(cells, categories=replace(CellCounts.of(sample), n_missing=self.n_missing))
        column, note = fit_column(sample, encoding, cells)
        varies = bool(self.numbers.n and self.numbers.low < self.numbers.high)
        if column is None and cells.kind == "number" and varies:  # the sample has one number
            column, note = StandardColumn(str(name), float(self.numbers.mean), float(self.numbers.std), False), ""
            if self.not_numbers.n_bad:
                note = f"Column {name!r} {self.not_numbers.as_missing('numbers')}."
        if isinstance(column, (NumericColumn, DateColumn)) and self._has_missing(column):
            column = replace(column, marks_missing=True)  # type: ignore[type-var]
        return column, note

    def _all_cells(self, sample: pd.Series) -> ColumnCells:
        categories = replace(self.cells, n_missing=self.n_missing)
        if TEXT not in self._first:  # the sample of pieces with other categories has not their type
            is_category = CATEGORY in self._first and OTHER not in self._first
            return ColumnCells("category" if is_category else column_kind(sample), categories)
        n_rows = self.n_missing + self.n_present
        not_numbers, not_dates = (replace(cells, n_rows=n_rows) for cells in (self.not_numbers, self.not_dates))
        kind = "category"
        if OTHER in self._first:
            kind = column_kind(sample)
        elif CATEGORY not in self._first and may_be_numbers(
            not_numbers, self._is_string and NUMERIC not in self._first
        ):
            kind = kind_of_names(list(self.cells.counts), self._is_string and NUMERIC not in self._first)
        return ColumnCells(kind, categories, not_numbers, not_dates if not_dates.n_present else None)

    def _has_missing(self, column: Column) -> bool:
        """Return whether a cell of a column of numbers or dates is missing, or text that is none."""
        cells = self.not_dates if isinstance(column, DateColumn) else self.not_numbers
        n_known = cells.n_present - cells.n_bad if cells.n_present else self.n_present
        return n_known < self.n_missing + self.n_present


def _type_of(series: pd.Series) -> str:
    if hasattr(series, "cat") or contents(series) == "boolean":
        return CATEGORY
    if contents(series) in NUMBERS:
        return NUMERIC
    return TEXT if is_text_or_mixed(series) else OTHER
