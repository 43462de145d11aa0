"""Sources of tables: rows whose cells may be text, dates or missing, read as data frames piece by piece.

What can be read is what sources.py reads, and all table files that tables/io.py knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import unknown_name
from ..tables.io import (
    PARQUET_ENDINGS,
    PIECE_CELLS,
    check_ending,
    csv_pieces,
    import_pandas,
    mixed_columns,
    read_table,
    with_text_names,
)
from .kinds import is_arrow, is_name
from .sources import (
    Source,
    as_source,
    check_same_columns,
    file_named,
    identity_of,
    parquet_batches,
    parquet_files,
    place_in_folder,
    record_batches,
    with_targets,
    without_index,
)

MOST_CELL_BYTES = 4_200  # of a cell: two copies of 256 features in float64, and its text


def as_table_source(X: Any, y: Any = None, text_columns: Sequence[str] | None = None) -> Source:
    """Return a source whose pieces are (data frame or array, targets) for X, with its targets.

    X, y : as for sources.as_source; the targets of named columns are a Series, or a data frame of several
    text_columns : columns of a CSV file that are read as text; by default those that a pass over the file finds

    Raises
    ------
    ImportError
        If pandas is not installed, or pyarrow where X needs it.
    ValueError
        If X is nothing that can be read.
    """
    import_pandas()
    is_path = isinstance(X, (str, os.PathLike))
    if _is_array_file(X) or not (is_path or is_arrow(X)):
        return as_source(X, y)
    source = (
        _file(Path(X), text_columns) if is_path else Source(f"a {type(X).__name__}", lambda: _frames(record_batches(X)))
    )
    if y is None:
        return source
    if is_name(y):
        names = (y,) if isinstance(y, str) else tuple(y)
        identity = None if source.identity is None else (*source.identity, names)
        return source._replace(pieces=lambda: _with_columns_apart(source, y), identity=identity)
    return source._replace(pieces=lambda: with_targets(source, np.asarray(y)), identity=None)


def _is_array_file(X: Any) -> bool:
    return isinstance(X, (str, os.PathLike)) and Path(X).suffix.lower() == ".npy"


def table_in_memory(path: Path) -> Any:
    """Return the whole table of a path, as read_table reads a file, or the array of a .npy file."""
    if _is_array_file(path):
        return np.load(path, allow_pickle=False)
    if not path.is_dir():
        return read_table(path)
    return import_pandas().concat([frame for frame, _ in as_table_source(path).pieces()], ignore_index=True)


def _file(path: Path, text_columns: Sequence[str] | None) -> Source:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    kind, identity = repr(str(path)), identity_of(path)
    if path.is_dir() or check_ending(path).endswith(PARQUET_ENDINGS):
        return Source(kind, lambda: _parquet_frames(path), identity, place_in_folder(path))
    known: list[Sequence[str]] = [] if text_columns is None else [text_columns]

    def pieces() -> Iterator[tuple[Any, Any]]:
        if not known:  # a pass of its own, once
            known.append(mixed_columns(path))
        return ((with_text_names(frame, kind), None) for frame in csv_pieces(path, known[0]))

    return Source(kind, pieces, identity)


def _parquet_frames(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield the data frames of a Parquet file, or of those of a folder; the index counts the rows of each file."""
    columns: list[str] = []
    for file in parquet_files(path):
        with file_named(file, path):
            yield from _frames(parquet_batches(file, PIECE_CELLS), columns)


def _frames(batches: Iterator[Any], columns: list[str] | None = None) -> Iterator[tuple[Any, Any]]:
    """Yield Arrow record batches as data frames with the columns of the first, in its order; the index counts rows.

    columns : names of the columns of earlier batches, as for check_same_columns
    """
    from pyarrow import Table

    columns = [] if columns is None else columns
    n_rows = 0
    for batch in map(without_index, batches):
        rows = max(1, PIECE_CELLS // max(1, batch.num_columns))
        check_same_columns(batch, columns)
        for first in range(0, batch.num_rows, rows):
            piece = Table.from_batches([batch.slice(first, rows)]).select(columns)
            frame = with_text_names(_as_frame(piece)).reset_index(drop=True)
            frame.index += n_rows
            n_rows += len(frame)
            yield frame, None


def _as_frame(table: Any) -> Any:
    """Return an Arrow table as a data frame.

    Raises
    ------
    ValueError
        If pandas does not know a type, or what it has written about the columns itself, which it does not check, is
        damaged.
    """
    try:
        return table.to_pandas()
    except (ImportError, MemoryError, OSError, ValueError):
        raise
    except Exception as error:  # damaged metadata may raise any
        raise ValueError(
            "The columns cannot be converted to those of pandas: a type is unknown, or what pandas has written about "
            f"them is damaged ({error}). Write the data again."
        ) from None


def _with_columns_apart(source: Source, y: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (features, targets) of frames that hold both; y : name of the targets' column, or names of several."""
    for frame, _ in source.pieces():
        yield columns_apart(frame, y)


def columns_apart(frame: Any, y: Any) -> tuple[Any, Any]:
    """Return (the columns beside those of the targets, the targets); y : name of a column, or names of several"""
    names = [y] if isinstance(y, str) else list(y)
    for name in names:
        if name not in frame.columns:
            raise unknown_name("column", name, list(map(str, frame.columns)))
    if len(names) == frame.shape[1]:
        raise ValueError(f"There is no column of features beside {', '.join(map(repr, names))}.")
    return frame.drop(columns=names), frame[y] if isinstance(y, str) else frame[names]


def surely_fits(path: Path, memory_limit: int) -> bool:
    """Return whether a fit in memory to the table in a file needs less than the limit however its columns are encoded,
    by the number of its cells: from the metadata of Parquet, else no more than half of the bytes.
    """
    if not path.is_file():
        return False
    if _is_array_file(path):
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
