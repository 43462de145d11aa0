"""Encoding of tables of few rows, such as the one row that a service predicts.

What pandas and NumPy prepare for a column takes longer than a few of its cells. So the cells are read without a Series
for each column, and the features of all columns of numbers are computed at once, to the same bits as by the encoders.
Columns with cells that are not usual (missing, unseen, text among numbers) are left to their encoders, which say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from .bin_edges import bin_features
from .category_column import CategoryColumn
from .columns_as_numbers import LARGEST_NUMBER
from .encoder_choice import Column
from .numeric_columns import NumericColumn, PiecewiseLinearColumn
from .text_column import TextColumn

if TYPE_CHECKING:
    import pandas as pd

FEW_ROWS = 32  # up to which a table is encoded in this way
MOST_KEPT = 8  # models whose columns stay prepared


class FewRows:
    """Encoder of few rows at a time for the columns of a model.

    columns : fitted encoders
    """

    def __init__(self, columns: tuple[Column, ...]):
        self.columns = columns
        self.ends = np.cumsum([len(column.feature_names) for column in columns]).tolist()
        self.starts = [0, *self.ends][: len(columns)]
        of_numbers = [(k, column) for k, column in enumerate(columns) if isinstance(column, NumericColumn)]
        self._numbers = [k for k, _ in of_numbers]
        self._numbers_together = NumbersTogether([(column, self.starts[k]) for k, column in of_numbers])
        self._categories = [(k, column) for k, column in enumerate(columns) if isinstance(column, CategoryColumn)]
        self._texts = [(k, column) for k, column in enumerate(columns) if isinstance(column, TextColumn)]
        prepared = {*self._numbers, *(k for k, _ in self._categories), *(k for k, _ in self._texts)}
        self._others = [k for k in range(len(columns)) if k not in prepared]
        self._known_names: tuple[list[str], list[int]] = [], []  # of the last table, and the places of the columns

    def places(self, names: list[str]) -> list[int] | None:
        """Return the place of each column in a table with these names, or None if the last table had others."""
        known, places = self._known_names
        return places if known and names == known else None

    def keep_places(self, names: list[str], places: list[int]) -> None:
        """Keep the places of the columns in tables with these names, which have been checked."""
        self._known_names = names, places

    def encode(self, table: pd.DataFrame, places: Sequence[int], X: np.ndarray) -> list[int]:
        """Write the features of usual cells into X, (n_rows, n_features) zeros.

        places : place of each column in the table

        Returns
        -------
        list of int
            Numbers of the columns whose features are still to be written, since some of their cells are not usual.
        """
        if len(self._numbers) == len(self.columns) and (numbers := finite_numbers(table)) is not None:
            return self._write_numbers(numbers[:, places].T, X)
        arrays, left, values = arrays_of(table), list(self._others), []
        for k in self._numbers:
            cells = cells_of(arrays[places[k]])
            if cells is None or not are_numbers(cells):
                left.append(k)
                cells = [0.0] * len(X)  # whose features are written again
            values.append(cells)
        features: list[int] = []  # that are 1, of all rows for one column after another
        for k, category in self._categories:
            array = arrays[places[k]]
            cells = cells_of(array)
            found = None if cells is None else category.places_of(cells, array.dtype)
            if found is None:
                left.append(k)
            else:
                start = self.starts[k]
                features += [start + place for place in found]
        if features:
            X[list(range(len(X))) * (len(features) // len(X)), features] = 1.0
        for k, text in self._texts:
            cells = cells_of(arrays[places[k]])
            if cells is None or not text.encode_cells(cells, X[:, self.starts[k] : self.ends[k]]):
                left.append(k)
        return sorted({*left, *self._write_numbers(np.array(values, np.float64), X)})

    def _write_numbers(self, values: np.ndarray, X: np.ndarray) -> list[int]:
        """Write the features of numbers (n_numeric_columns, n_rows), and return the columns that cannot be scaled."""
        if not self._numbers:
            return []
        scores = self._numbers_together.write(values, X)
        if isfinite(float(np.vdot(scores, scores))):  # in a third of the time, and without a warning
            return []
        return [self._numbers[k] for k in np.flatnonzero(~np.isfinite(scores).all(axis=0))]


class NumbersTogether:
    """Columns of numbers whose features are computed together.

    columns : encoder of each, and the place of its first feature
    """

    def __init__(self, columns: list[tuple[NumericColumn, int]]):
        self._columns = [column for column, _ in columns]
        self._places = np.array([start for _, start in columns], np.intp)
        low, width, of_bins, places = [np.empty(0)], [np.empty(0)], [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for k, (column, start) in enumerate(columns):
            if isinstance(column, PiecewiseLinearColumn):
                low.append(column.bin_bounds[0])
                width.append(column.bin_bounds[1])
                of_bins.append(np.full(column.n_bins, k))
                places.append(np.arange(start + 1, start + 1 + column.n_bins))
        self._low, self._width = np.concatenate(low), np.concatenate(width)  # of the bins of all columns
        self._of_bins, self._bin_places = np.concatenate(of_bins), np.concatenate(places)

    def write(self, values: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Write the features of numbers into X, and return their scores in the type of X, (n_rows, n_columns).

        values : (n_columns, n_rows), none missing
        """
        with np.errstate(over="ignore"):
            scores = np.array([column.scores(x) for column, x in zip(self._columns, values, strict=True)]).T
            X[:, self._places] = written = scores.astype(X.dtype)
        if len(self._of_bins):
            X[:, self._bin_places] = bin_features(scores[:, self._of_bins], self._low, self._width)
        return written


def finite_numbers(table: pd.DataFrame) -> np.ndarray | None:
    """Return a table as float64 (n_rows, n_columns) if all of its cells are numbers and none is missing."""
    cells = table.to_numpy()
    if cells.dtype.kind not in "fiu" or not np.abs(cells).max(initial=0.0) <= LARGEST_NUMBER:  # so it is of NaN
        return None
    return cells.astype(np.float64, copy=False)


def arrays_of(table: pd.DataFrame) -> list[Any]:
    """Return the array of each column, of NumPy or pandas."""
    arrays = getattr(table, "_iter_column_arrays", None)  # pandas' own; a Series for each takes ten times as long
    return [series.array for _, series in table.items()] if arrays is None else list(arrays())


def names_of(table: pd.DataFrame) -> list[Any]:
    """Return the names of the columns of a table."""
    names = table.columns
    is_arrow = getattr(names.dtype, "storage", "") == "pyarrow"  # as in cells_of
    return names.array.__arrow_array__().to_pylist() if is_arrow else names.tolist()


def cells_of(array: Any) -> list[Any] | None:
    """Return the cells of an array as a list, or None for types whose cells are neither numbers nor text."""
    if isinstance(array, np.ndarray):
        return array.tolist() if array.dtype.kind in "biufO" else None  # dates would become whole numbers
    if getattr(array.dtype, "storage", "") == "pyarrow":  # pandas' text; its own tolist takes five times as long
        return array.__arrow_array__().to_pylist()
    return array.tolist()


def are_numbers(cells: list[Any]) -> bool:
    """Return whether all cells are numbers, none of which is missing or too large."""
    return all(type(cell) in (int, float) and abs(cell) <= LARGEST_NUMBER for cell in cells)


_prepared: dict[int, FewRows] = {}  # by the address of the columns, which stays theirs as long as they are here


def few_rows(columns: tuple[Column, ...]) -> FewRows:
    """Return the encoder of few rows for these columns: the last one, if there is one for the same tuple."""
    found = _prepared.pop(id(columns), None) or FewRows(columns)
    for old in list(_prepared)[: 1 - MOST_KEPT]:  # those that were not used for the longest time
        _prepared.pop(old, None)
    _prepared[id(columns)] = found
    return found
