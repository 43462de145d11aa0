"""Rows of tables as arrays of numbers: of data frames that were read from files or are record batches of Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import is_number, shown, unknown_name
from ..tables.cells import read_numbers
from ..tables.table_files import columns_with_thousands, csv_format, csv_pieces
from .record_batches import ENCODE
from .source_kinds import names_in

if TYPE_CHECKING:
    import pandas as pd


def columns_apart(frame: Any, y: Any) -> tuple[Any, Any]:
    """Return (the columns beside those of the targets, the targets).

    y : name of a column, or names of several; None for no targets
    """
    names = list(names_in(y))
    for name in names:
        if name not in frame.columns:
            raise unknown_name("column", name, list(map(str, frame.columns)))
    if names and len(names) == frame.shape[1]:
        raise ValueError(f"There is no column of features beside {', '.join(map(repr, names))}.")
    return (frame.drop(columns=names), frame[y] if isinstance(y, str) else frame[names]) if names else (frame, None)


def frames_of_numbers(path: Path, y: Any) -> Iterator[pd.DataFrame]:
    """Yield the data frames of a CSV file of numbers, piece by piece.

    Raises
    ------
    ValueError
        If the file cannot be read as CSV, or its first line holds numbers. With y, the names of targets, also if a
        column may have separators of thousands: 2.390 beside 754.
    """
    header = csv_format(path)[2]
    if header and all(map(is_number, header)):
        raise ValueError(
            f"The first line of {str(path)!r} should name the columns, but it holds numbers: {shown(header)}."
        )
    if y is not None and (doubtful := columns_with_thousands(path)):
        raise ValueError(
            f"Column {doubtful[0]!r} of {str(path)!r} may have separators of thousands: each mark in it stands "
            "before three digits, so that 2.390 may be 2390. Write them without it, or pass arrays that "
            "pandas.read_csv has read with thousands= or decimal=."
        )
    yield from csv_pieces(path, ())


def numbers_of(columns: Any) -> np.ndarray:
    """Return a series as numbers (n,), and a data frame as (n, n_columns).

    The index counts the rows, for messages.

    Raises
    ------
    ValueError
        If a cell is missing or no number; the message names its row.
    """
    if columns.ndim == 1:
        return _numbers_of_cells(columns)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiu" for dtype in columns.dtypes):
        numbers = columns.to_numpy()
        if not np.isnan(numbers).any():
            return numbers
    return np.stack([_numbers_of_cells(cells) for _, cells in columns.items()], axis=1)


def _numbers_of_cells(cells: pd.Series) -> np.ndarray:
    """Return cells of a column as float64 (n,); the types of other pieces do not matter."""
    reading = read_numbers(cells, reads_booleans=True)
    wrong = reading.bad if reading.n_bad else np.isnan(reading.values)
    if not wrong.any():
        return reading.values
    first = int(np.argmax(wrong))
    row = f"row {cells.index[first]:,}, counted from 0"
    if reading.n_bad:
        cell = shown(cells.iloc[first])
        raise ValueError(f"Column {cells.name!r} must hold numbers, but it holds {cell} in {row}. {ENCODE}")
    raise ValueError(f"Column {cells.name!r} has a missing cell in {row}: impute such cells first.")
