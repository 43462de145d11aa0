"""Rows of a CSV file as arrays of numbers. It is read as tables are, so that the same files can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import about_arguments, is_number, shown
from ..tables.cells import read_numbers
from ..tables.table_files import csv_names, csv_pieces
from .arrow_rows import ENCODE, checked_columns, targets_apart

if TYPE_CHECKING:
    import pandas as pd


def rows_of_csv(path: Path, names: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of a CSV file, piece by piece: y has the named columns, X the others; all are float64.

    Raises
    ------
    ValueError
        If the file cannot be read as CSV, its first line holds numbers, or a cell is missing or no number; the message
        names its row.
    """
    header = csv_names(path)
    if header and all(map(is_number, header)):
        raise ValueError(
            f"The first line of {str(path)!r} should name the columns, but it holds numbers: {shown(header)}."
        )
    columns: list[str] = []
    for frame in csv_pieces(path, ()):
        if not columns:
            with about_arguments():
                columns += checked_columns([str(name) for name in frame.columns], names)
        yield targets_apart({name: _numbers(frame[name], path) for name in columns}, names)


def _numbers(cells: pd.Series, path: Path) -> np.ndarray:
    """Return the cells of a column as float64 (n,); the types of other pieces do not matter.

    cells : part of the column, whose index counts the rows of the file
    """
    found = read_numbers(cells, reads_booleans=True)
    if found.n_bad:
        first = int(np.argmax(found.bad))
        raise ValueError(
            f"Column {cells.name!r} must hold numbers, but it holds {shown(cells.iloc[first])} in row "
            f"{cells.index[first]:,} of {str(path)!r}, counted from 0. {ENCODE}"
        )
    missing = np.isnan(found.values)
    if missing.any():
        raise ValueError(
            f"Column {cells.name!r} has a missing cell in row {cells.index[int(np.argmax(missing))]:,} of "
            f"{str(path)!r}, counted from 0: impute such cells first."
        )
    return found.values
