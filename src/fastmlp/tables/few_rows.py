"""Features of few rows at a time, such as the one row that a service predicts.

What pandas and NumPy prepare for a column takes longer than a few of its cells. So cells are read without a Series for
each column, and the features of all columns of numbers are computed at once, to the same bits.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from .base_column import Column, Note, bounds_of, checked_table
from .bins import bin_features
from .cells import LARGEST_NUMBER
from .number_columns import NumberColumn

if TYPE_CHECKING:
    import pandas as pd

FEW_ROWS = 32  # up to which a table is encoded by FewRows
MOST_KEPT = 8  # models whose columns stay prepared


class FewRows:
    """Encoder of few rows. Columns with cells that are not usual (missing, unseen, text among numbers) are left to
    their `encode`, which says so.

    columns : fitted encoders
    """

    def __init__(self, columns: tuple[Column, ...]):
        self.columns = columns
        self._bounds, self._width = bounds_of(columns)
        self._names, self._places = list[str](), list[int]()  # of the last table, and where it has the columns
        self._is_number = [isinstance(column, NumberColumn) for column in columns]
        self._numbers: list[Any] = [column for column in columns if isinstance(column, NumberColumn)]
        self._number_places = np.array([start for start, _ in self._bounds], np.intp)[self._is_number]
        low, width, of_bins, places = [np.empty(0)], [np.empty(0)], [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for k, (column, start) in enumerate(zip(self._numbers, self._number_places.tolist(), strict=True)):
            if column.without_bins() is not column:
                low.append(column.bin_bounds[0])
                width.append(column.bin_bounds[1])
                of_bins.append(np.full(column.n_bins, k))
                places.append(np.arange(start + 1, start + 1 + column.n_bins))
        self._low, self._bin_width = np.concatenate(low), np.concatenate(width)  # of the bins of all columns
        self._of_bins, self._bin_places = np.concatenate(of_bins), np.concatenate(places)

    def encode(self, table: pd.DataFrame, dtype: str | np.dtype, notes: list[Note] | None) -> np.ndarray:
        """Return the features of a table; arguments and errors as of encode_columns."""
        if not self._names or table.columns.tolist() != self._names:
            table = checked_table(self.columns, table)
            self._names = names = table.columns.tolist()
            self._places = [names.index(column.name) for column in self.columns]
        X = np.zeros((len(table), self._width), dtype)
        for k in self._left(table, X):
            column, (start, end) = self.columns[k], self._bounds[k]
            notes_of_column = column.encode(table[column.name], X[:, start:end])
            if notes is not None:
                notes += notes_of_column
        return X

    def _left(self, table: pd.DataFrame, X: np.ndarray) -> list[int]:
        """Write the features of usual cells into zeros X, and return the numbers of the columns that have others."""
        if all(self._is_number):
            numbers = table.to_numpy()
            if numbers.dtype.kind in "fiu" and np.abs(numbers).max(initial=0.0) <= LARGEST_NUMBER:  # it is not, of NaN
                return self._write_numbers(numbers[:, self._places].T.astype(np.float64, copy=False), X)
        arrays, left, values = arrays_of(table), [], []
        for k, (column, place) in enumerate(zip(self.columns, self._places, strict=True)):
            cells, (start, end) = cells_of(arrays[place]), self._bounds[k]
            if self._is_number[k]:
                if cells is None or not all(type(x) in (int, float) and abs(x) <= LARGEST_NUMBER for x in cells):
                    left.append(k)
                    cells = [0.0] * len(X)  # whose features are written again
                values.append(cells)
            elif cells is None or not column.encode_few(cells, arrays[place].dtype, X[:, start:end]):
                left.append(k)
        return sorted({*left, *self._write_numbers(np.array(values, np.float64), X)})

    def _write_numbers(self, values: np.ndarray, X: np.ndarray) -> list[int]:
        """Write the features of numbers (n_numeric_columns, n_rows), and return the columns that cannot be scaled."""
        if not self._numbers:
            return []
        with np.errstate(over="ignore"):
            scores = np.array([column.scores(x) for column, x in zip(self._numbers, values, strict=True)]).T
            X[:, self._number_places] = written = scores.astype(X.dtype)
        if len(self._of_bins):
            X[:, self._bin_places] = bin_features(scores[:, self._of_bins], self._low, self._bin_width)
        if isfinite(float(np.vdot(written, written))):  # in a third of the time, and without a warning
            return []
        return np.flatnonzero(self._is_number)[~np.isfinite(written).all(axis=0)].tolist()


def arrays_of(table: pd.DataFrame) -> list[Any]:
    """Return the array of each column, of NumPy or pandas."""
    arrays = getattr(table, "_iter_column_arrays", None)  # pandas' own; a Series for each takes ten times as long
    return [series.array for _, series in table.items()] if arrays is None else list(arrays())


def cells_of(array: Any) -> list[Any] | None:
    """Return the cells of an array as a list, or None for types whose cells are neither numbers nor text."""
    if isinstance(array, np.ndarray):
        return array.tolist() if array.dtype.kind in "biufO" else None  # dates would become whole numbers
    if getattr(array.dtype, "storage", "") == "pyarrow":  # pandas' text; its own tolist takes five times as long
        return array.__arrow_array__().to_pylist()
    return array.tolist()


_prepared: dict[int, FewRows] = {}  # by the address of the columns, which stays theirs as long as they are here


def few_rows(columns: tuple[Column, ...]) -> FewRows:
    """Return the encoder of few rows for these columns: the last one, if there is one for the same tuple."""
    encoder = _prepared.pop(id(columns), None) or FewRows(columns)
    for old in list(_prepared)[: 1 - MOST_KEPT]:  # those that were not used for the longest time
        _prepared.pop(old, None)
    _prepared[id(columns)] = encoder
    return encoder
