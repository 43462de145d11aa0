"""Rows of tables as arrays of numbers: of Parquet files and other record batches of Arrow, and of CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import about_arguments, counted, is_number, shown
from ..tables.cells import read_numbers
from ..tables.table_files import columns_with_thousands, csv_format, csv_pieces
from .record_batches import PIECE_BYTES, checked_columns, import_pyarrow, uniform_pieces
from .source_kinds import names_in

if TYPE_CHECKING:
    import pandas as pd

ENCODE = "Leave it out, encode it first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."


def rows_of_batches(batches: Iterator[Any], y: Any, columns: list[str]) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of Arrow record batches: y has the named columns, X the others, in the order of the first batch.

    y : the name, or the names, as given; or None
    columns : as for uniform_pieces
    """
    names = names_in(y)
    for piece in uniform_pieces(batches, PIECE_BYTES // 8, columns, names):
        yield _targets_apart({name: _numbers(piece.column(name), name) for name in piece.schema.names}, names)


def rows_of_csv(path: Path, y: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of a CSV file, piece by piece: y has the named columns, X the others; all are float64.

    It is read as tables are, so that the same files can be read.

    Raises
    ------
    ValueError
        If the file cannot be read as CSV, its first line holds numbers, or a cell is missing or no number; the message
        names its row. With names, also if a column may have separators of thousands: 2.390 beside 754.
    """
    header, names = csv_format(path)[2], names_in(y)
    if header and all(map(is_number, header)):
        raise ValueError(
            f"The first line of {str(path)!r} should name the columns, but it holds numbers: {shown(header)}."
        )
    if names and (doubtful := columns_with_thousands(path)):
        raise ValueError(
            f"Column {doubtful[0]!r} of {str(path)!r} may have separators of thousands: each mark in it stands "
            "before three digits, so that 2.390 may be 2390. Write them without it, or pass arrays that "
            "pandas.read_csv has read with thousands= or decimal=."
        )
    columns: list[str] = []
    for frame in csv_pieces(path, ()):
        if not columns:
            with about_arguments():
                columns += checked_columns([str(name) for name in frame.columns], names)
        yield _targets_apart({name: _numbers_of_cells(frame[name], path) for name in columns}, names)


def _targets_apart(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> tuple[np.ndarray, Any]:
    """Return (X, y) of columns of numbers: y has the named ones, X the others; y is None where none are named."""
    X = np.stack([numbers for name, numbers in columns.items() if name not in names], axis=1)
    targets = [columns[name] for name in names]
    return X, np.stack(targets, axis=1) if len(targets) > 1 else targets[0] if targets else None


def _numbers(column: Any, name: str) -> np.ndarray:
    """Return the cells of a column of Arrow as numbers."""
    types, kind = import_pyarrow(".types"), column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise ValueError(f"Column {name!r} must hold numbers, but its type is {kind}. {ENCODE}")
    if column.null_count:
        raise ValueError(f"Column {name!r} has {counted(column.null_count, 'missing cell')}: impute such cells first.")
    if types.is_decimal(kind):
        column = column.cast(import_pyarrow().float64())
    return column.to_numpy(zero_copy_only=False)


def _numbers_of_cells(cells: pd.Series, path: Path) -> np.ndarray:
    """Return the cells of a column of a CSV file as float64 (n,); the types of other pieces do not matter.

    cells : part of the column, whose index counts the rows of the file
    """
    found = read_numbers(cells, reads_booleans=True)
    wrong = found.bad if found.n_bad else np.isnan(found.values)
    if not wrong.any():
        return found.values
    first = int(np.argmax(wrong))
    row = f"row {cells.index[first]:,} of {str(path)!r}, counted from 0"
    if found.n_bad:
        held = shown(cells.iloc[first])
        raise ValueError(f"Column {cells.name!r} must hold numbers, but it holds {held} in {row}. {ENCODE}")
    raise ValueError(f"Column {cells.name!r} has a missing cell in {row}: impute such cells first.")
