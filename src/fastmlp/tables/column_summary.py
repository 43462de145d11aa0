"""Summaries of columns whose rows come in pieces: counts over all rows, which correct what a sample of them says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .cell_counts import CellCounts
from .cells import NUMBERS, contents, read_numbers
from .column_encoders import Column, NumericEncoding, fit_column
from .column_numbers import tolerated_numbers
from .date_column import DATE_CONTENTS, DateColumn
from .moments import Moments
from .numeric_columns import NumericColumn, StandardColumn

if TYPE_CHECKING:
    import pandas as pd


class ColumnSummary:
    """What is known of all rows of a column.

    numbers : mean, standard deviation and range of the numbers, if the cells are numbers by their type
    cells : counts of the categories, if they are not
    n_missing : number of missing cells
    n_present : number of others
    """

    def __init__(self) -> None:
        self.numbers, self.cells = Moments(), CellCounts()
        self.n_missing = self.n_present = 0

    def add(self, series: pd.Series) -> None:
        """Add further rows.

        Raises
        ------
        ValueError
            If a number is infinite or far too large, or the cells are numbers where those before were text, or the
            reverse.
        """
        n_missing = int(series.isna().sum())
        if n_missing == len(series):  # such as a piece without a cell, whose type says nothing
            self.n_missing += n_missing
            return
        kind = contents(series)
        is_number = kind in NUMBERS and not hasattr(series, "cat")
        if (self.cells.n_present if is_number else self.numbers.n) > 0:
            raise ValueError(
                f"Column {series.name!r} holds numbers in some rows, and cells of another type in others; convert all "
                "to one type."
            )
        if is_number:
            values = tolerated_numbers(series, 1.0)[0]
            n_missing = int(np.count_nonzero(np.isnan(values)))
            self.numbers.add(values[~np.isnan(values)])
        elif kind not in DATE_CONTENTS:
            self.cells.add(CellCounts.of(series))
        self.n_missing += n_missing
        self.n_present += len(series) - n_missing

    def fit(self, sample: pd.Series, encoding: NumericEncoding) -> tuple[Column | None, str]:
        """Return (encoder, note) of the column, as column_encoders.fit_column does.

        sample : rows of the column, drawn at random
        encoding : of numbers; its targets are those of the sample
        """
        name = sample.name
        if self.n_present and not sample.notna().any():
            return None, f"Column {name!r} is left out: nearly all of its cells are missing."
        column, note = fit_column(sample, encoding, self._all_cells if self.cells.n_present else None)
        if column is None and self.numbers.n and self.numbers.low < self.numbers.high:  # the sample has one number
            mean, std = float(self.numbers.mean), float(self.numbers.std)
            return StandardColumn(str(name), mean, std, self.n_missing > 0), ""
        if isinstance(column, (NumericColumn, DateColumn)) and self._has_missing(sample, column):
            column = replace(column, marks_missing=True)  # type: ignore[type-var]
        return column, note

    @property
    def _all_cells(self) -> CellCounts:
        return CellCounts(self.cells.counts, self.cells.n_present, self.n_missing)

    def _has_missing(self, sample: pd.Series, column: Column) -> bool:
        """Return whether a cell of a column of numbers or dates is missing, or text that is none."""
        if self.n_missing or not self.cells.n_present or isinstance(column, DateColumn):
            return self.n_missing > 0
        import pandas as pd

        return bool(np.isnan(read_numbers(pd.Series(list(self.cells.counts))).values).any())
