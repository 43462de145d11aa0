"""Sources of tables: rows whose cells may be text, dates or missing, read as data frames piece by piece.

What can be read is what sources.py reads, and all table files that tables/table_files.py knows.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import unknown_name
from ..tables.table_files import (
    PARQUET_ENDINGS,
    PIECE_CELLS,
    check_ending,
    csv_pieces,
    frame_of_arrow,
    import_pandas,
    mixed_columns,
    read_table,
    with_text_names,
)
from .record_batches import pieces_of_files, uniform_pieces
from .source_kinds import is_array_file, is_arrow, names_in
from .sources import Source, TableReaders, as_source, targets_beside

MOST_CELL_BYTES = 4_200  # of a cell: two copies of 256 features in float64, and its text


def as_table_source(
    X: Any, y: Any = None, text_columns: Sequence[str] | None = None, is_training: bool = False
) -> Source:
    """Return a source whose pieces are (data frame or array, targets) for X, with its targets.

    X, y : as for sources.as_source; the targets of named columns are a Series, or a data frame of several
    text_columns : columns of a CSV file that are read as text; by default those that a pass over the file finds
    is_training : whether these are all that read_table leaves as text in a training table

    Raises
    ------
    ImportError
        If X is a table and pandas is not installed, or pyarrow where X needs it.
    ValueError
        If X is nothing that can be read.
    """
    if not is_array_file(X) and (is_arrow(X) or isinstance(X, (str, os.PathLike))):
        import_pandas()
    return as_source(X, y, _as_frames(text_columns, is_training))


def _as_frames(text_columns: Sequence[str] | None = None, is_training: bool = False) -> TableReaders:
    known = cache(lambda path: mixed_columns(path, is_training) if text_columns is None else text_columns)

    def csv_frames(path: Path, y: Any) -> Iterator[tuple[Any, Any]]:
        pieces = csv_pieces(path, known(path))  # known by a pass of its own, once
        return (columns_apart(with_text_names(frame, repr(str(path))), y) for frame in pieces)

    frames = lambda batches, y, columns: (columns_apart(frame, y) for frame, _ in _frames(batches, columns))
    return TableReaders(frames, csv_frames)


def targets_in_memory(y: Any) -> Any:
    """Return all targets beside a table, as targets_beside does; those of a table may be text."""
    return targets_beside(y, _as_frames())


def table_in_memory(path: Path) -> Any:
    """Return the whole training table of a path, as read_tables does, or the array of a .npy file."""
    return np.load(path, allow_pickle=False) if is_array_file(path) else read_tables(path, is_training=True)


def read_tables(
    path: Path, text_columns: Iterable[str] = (), unchanged: Iterable[str] = (), is_training: bool = False
) -> Any:
    """Return the table in a file, as read_table does, or in the Parquet files of a folder, one below the other."""
    if not path.is_dir():
        return read_table(path, text_columns, unchanged, is_training)
    frames = [frame for frame, _ in parquet_frames(path, unchanged)]
    if not frames:
        raise ValueError(f"The files of {str(path)!r} have no rows; a table needs at least one.")
    with warnings.catch_warnings():  # of pandas 2, about columns without a cell in one of the files
        warnings.simplefilter("ignore", FutureWarning)
        table = import_pandas().concat(frames, ignore_index=True)
    return with_text_names(table, f"The table {str(path)!r}")


def parquet_frames(path: Path, unchanged: Iterable[str] = ()) -> Iterator[tuple[Any, Any]]:
    """Return the data frames of a Parquet file, or of those of a folder; the index counts the rows of each file.

    unchanged : columns whose whole numbers stay what they are, as of read_table
    """
    return pieces_of_files(path, lambda batches, columns: _frames(batches, columns, unchanged))


def _frames(batches: Iterator[Any], columns: list[str], unchanged: Iterable[str] = ()) -> Iterator[tuple[Any, Any]]:
    """Yield Arrow record batches as data frames with the columns of the first, in its order; the index counts rows.

    columns : names of the columns of earlier batches, as for uniform_pieces
    unchanged : columns, as of parquet_frames
    """
    from pyarrow import Table

    n_rows = 0
    for batch in uniform_pieces(batches, PIECE_CELLS, columns):
        frame = frame_of_arrow(Table.from_batches([batch]), unchanged).reset_index(drop=True)
        frame.index += n_rows
        n_rows += len(frame)
        yield frame, None


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


def surely_fits(path: Path, memory_limit: int) -> bool:
    """Return whether a fit in memory to the table in a file needs less than the limit however its columns are encoded,
    by the number of its cells: from the metadata of Parquet, else no more than half of the bytes.
    """
    if not path.is_file():
        return False
    if is_array_file(path):
        return path.stat().st_size // 2 * MOST_CELL_BYTES <= memory_limit
    name, n_cells = check_ending(path), path.stat().st_size // 2
    if name.endswith(".gz"):
        return False
    if name.endswith(PARQUET_ENDINGS):
        try:
            from pyarrow import parquet

            metadata = parquet.read_metadata(path)
        except Exception:  # read_table says what is wrong with it
            return True
        n_cells = metadata.num_rows * metadata.num_columns
    return n_cells * MOST_CELL_BYTES <= memory_limit
