"""Sources of rows: what fit and predict can read piece by piece.

a path of a Parquet file or of a folder of them, of a CSV file, of a .npy file
numpy.memmap; an array that is read by slices (`shape`, `dtype`, `chunks`), such as those of h5py, zarr and Dask
an object with `__arrow_c_stream__` or `__arrow_c_array__`: relations of DuckDB, Arrow readers, frames of polars
a dataset of pyarrow.dataset
an iterable of batches (X, y), or of X; a list of pairs (X, y) of tables
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import about_arguments, counted, no_file, place_in_errors, shown, unknown_name
from ..tables.table_files import CSV_ENDINGS, PARQUET_ENDINGS
from .record_batches import PIECE_BYTES, frames_of_batches, parquet_files, pieces_of_files, record_batches
from .rows_of_tables import columns_apart, frames_of_numbers, numbers_of
from .source_kinds import is_array_file, is_arrow, is_chunked_array, is_name, is_source, names_in


class TableReader(NamedTuple):
    """How tables are read: as arrays of numbers, or as data frames.

    csv : function (path, names of the targets as given or None) that yields data frames
    cells : function that returns what the source yields of a data frame or a series, part of a table
    only_numbers : whether columns of Arrow that have other types are refused
    """

    csv: Callable[[Path, Any], Iterator[Any]]
    cells: Callable[[Any], Any]
    only_numbers: bool = False


AS_NUMBERS = TableReader(frames_of_numbers, numbers_of, only_numbers=True)


class Source(NamedTuple):
    """Something that gives rows, piece by piece and as often as needed.

    kind : str     what it is, for messages
    pieces : called for each pass; yields pairs (X, y) of arrays, y None if the source has no targets
    place : function (first, last) that names rows first to last, last not included; None if `kind` suffices for that
    """

    kind: str
    pieces: Callable[[], Iterator[tuple[Any, Any]]]
    place: Callable[[int, int], str] | None = None

    def rows_shown(self, first: int, last: int) -> str:
        """Return the part of a sentence that names rows."""
        if self.place is not None:
            return self.place(first, last)
        return f"rows {first:,} to {last:,} of {self.kind} (not included)"


def as_source(X: Any, y: Any = None, reader: TableReader = AS_NUMBERS) -> Source:
    """Return a source for X, with its targets.

    X : as the module's docstring says
    y : str     name of the column that has the targets
        sequence of str     names of several
        array of shape (n_samples,) or (n_samples, n_outputs)     targets beside X
        as X     targets beside X, of as many rows, which are kept in memory; a .npy file may be text where columns of X
                 have no names
        None     if X has the targets, or none are needed
    reader : how tables are read

    Raises
    ------
    ValueError
        If X is nothing that can be read.
    """
    y = as_targets_file(X, y)
    names = y if is_name(y) else None
    source = _rows_of(X, names, reader)
    if y is None or names is not None:
        return source
    targets = cache(lambda: np.asarray(targets_beside(y, reader)))
    return source._replace(pieces=lambda: _beside(source, targets()))


def with_weights(X: Any, y: Any, name: str, weights: list[np.ndarray]) -> Source:
    """Return a source for X with the targets in columns y; each pass fills a list with the column of weights.

    Raises
    ------
    ValueError
        If y names no columns.
    """
    if not is_name(y):
        raise ValueError(f"sample_weight names the column {name!r}, so that y must name columns, too.")
    source = as_source(X, (*names_in(y), name))

    def pieces() -> Iterator[tuple[Any, Any]]:
        weights.clear()
        for features, columns in source.pieces():
            weights.append(columns[:, -1].copy())
            yield features, columns[:, 0] if columns.shape[1] == 2 else columns[:, :-1]

    return source._replace(pieces=pieces)


def arrays_of(source: Source) -> tuple[np.ndarray, Any]:
    """Return all rows of a source as arrays (X, y) in memory; y is None if it has no targets.

    Raises
    ------
    ValueError
        If there is no row.
    """
    pieces = [(np.array(X), y if y is None else np.array(y)) for X, y in source.pieces() if len(X)]
    if not pieces:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    X, y = zip(*pieces, strict=True)
    return np.concatenate(X), None if y[0] is None else np.concatenate(y)


# ---- targets beside X


def as_targets_file(X: Any, y: Any) -> Any:
    """Return y as a path if it is text that can only be the path of a .npy file, since columns of X have no names."""
    if not (is_array_file(y) and is_source(X)) or is_arrow(X):
        return y
    return y if isinstance(X, (str, os.PathLike)) and not is_array_file(X) else Path(y)


def is_targets_source(y: Any) -> bool:
    """Return whether y, beside X, is read as a source is, rather than an array or the names of columns.

    An iterable is a source unless it is a sequence: a range, for instance, is an array.
    """
    if isinstance(y, (str, list, tuple)) or not is_source(y):
        return False
    is_known = isinstance(y, os.PathLike) or is_arrow(y) or is_chunked_array(y)
    return is_known or not (hasattr(y, "__len__") and hasattr(y, "__getitem__"))


def targets_beside(y: Any, reader: TableReader = AS_NUMBERS) -> Any:
    """Return all targets beside X: those of a source as an array, others as they are.

    y : an array, or as X of as_source

    Raises
    ------
    ValueError
        If y is no array, or gives pairs, or no rows, as after a pass over what can be read only once.
    """
    if not is_targets_source(y):
        if np.ndim(y) == 0:
            raise ValueError(f"y must be an array, or the name of a column, but it is {shown(y)}.")
        return y
    source, parts = as_source(y, None, reader), []
    for targets, own in source.pieces():
        if own is not None:
            raise ValueError(f"y must give targets, but it is {source.kind} of pairs.")
        array = np.array(targets)  # a copy: a source may use its buffers again
        parts += [array[:, 0] if hasattr(targets, "columns") and array.shape[1] == 1 else array] * (len(array) > 0)
    if not parts:
        raise ValueError(
            "y has no rows, or can be read only once and was read before. Pass something that can be read again, such "
            "as an array, a file or a class with a generator as __iter__."
        )
    return np.concatenate(parts)


def _beside(source: Source, targets: np.ndarray) -> Iterator[tuple[Any, Any]]:
    """Yield the pieces of a source with as many of the targets."""
    n_rows = 0
    for X, own in source.pieces():
        if own is not None:
            raise ValueError(f"{source.kind} has targets of its own, so y must be None.")
        first, n_rows = n_rows, n_rows + len(X)
        if n_rows <= len(targets):  # the rows of a longer X are only counted, for the message
            yield X, targets[first:n_rows]
    if n_rows != len(targets):
        n = counted(len(targets), "sample")
        raise ValueError(f"y has {n}, but X has {n_rows:,}: they must have the same length.")


# ---- rows


def _rows_of(X: Any, names: Any, reader: TableReader) -> Source:
    """Return a source of rows; names : as given for the targets, or None"""
    if isinstance(X, (str, os.PathLike)):
        return _source_of_path(Path(X), names, reader)
    kind = kind_of(X)
    if is_arrow(X):
        return Source(kind, lambda: _pairs_of_batches(record_batches(X), [], names, reader))
    if names is not None:
        raise ValueError(
            f"y names columns ({', '.join(map(repr, names_in(names)))}), but those of {kind} cannot be chosen by their "
            "names. Pass the targets as an array."
        )
    if isinstance(X, np.memmap) or is_chunked_array(X):
        if X.shape and math.isnan(X.shape[0]):  # of Dask's, such as the rows of another one that a condition chooses
            raise ValueError(f"It is not known how many rows {kind} has: call its compute_chunk_sizes() first.")
        return Source(kind, lambda: _slices(X))
    return Source("an iterable of batches", lambda: map(_pair, X))


def _pairs(frames: Iterator[Any], y: Any, reader: TableReader) -> Iterator[tuple[Any, Any]]:
    """Yield pairs (X, y) of data frames; y has the named columns, X the others."""
    for frame in frames:
        with about_arguments():
            features, targets = columns_apart(frame, y)
        yield reader.cells(features), None if targets is None else reader.cells(targets)


def _pairs_of_batches(
    batches: Iterator[Any], columns: list[str], y: Any, reader: TableReader
) -> Iterator[tuple[Any, Any]]:
    return _pairs(frames_of_batches(batches, columns, only_numbers=reader.only_numbers), y, reader)


def _pairs_of_csv(path: Path, y: Any, reader: TableReader) -> Iterator[tuple[Any, Any]]:
    with place_in_errors(repr(str(path))):
        yield from _pairs(reader.csv(path, y), y, reader)


def kind_of(X: Any) -> str:
    """Return the name of a value's type with its article."""
    name = type(X).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _pair(batch: Any) -> tuple[Any, Any]:
    is_pair = isinstance(batch, (tuple, list)) and len(batch) == 2 and np.ndim(batch[0]) > 1  # two rows are none
    X, y = batch if is_pair else (batch, None)
    if not hasattr(X, "__len__") or isinstance(X, (dict, str)):
        raise ValueError(f"Each batch must be an array, or a pair (X, y) of arrays, but one is {shown(batch)}.")
    return X, y


def _slices(X: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the rows of an array that need not be in memory."""
    if not X.shape:
        raise ValueError("The array must have rows, shape (n_samples, n_features), but it is a single number.")
    rows = _rows_of_slice(X)
    for first in range(0, X.shape[0], rows):  # arrays of zarr 3 have no length
        yield np.array(X[first : first + rows]), None


def _rows_of_slice(X: Any) -> int:
    """Return how many rows to read at a time: those of about PIECE_BYTES, in whole chunks.

    To read a part of a chunk, a library reads, or Dask computes, the whole chunk. So a chunk that is larger than a
    piece is read at once, if it has all columns; if not, as many rows of the other columns would come with it.
    """
    rows = max(1, PIECE_BYTES // max(X.dtype.itemsize * math.prod(X.shape[1:]), 1))
    chunks = getattr(X, "chunks", None)
    if not chunks:
        return rows
    sizes = [max(1, *axis) if isinstance(axis, tuple) else max(1, axis) for axis in chunks]  # Dask's differ in size
    chunk_rows = sizes[0]
    if chunk_rows <= rows:
        return rows - rows % chunk_rows
    has_all_columns = all(size >= n for size, n in zip(sizes[1:], X.shape[1:], strict=True))
    return chunk_rows if has_all_columns else rows


def _source_of_path(path: Path, names: Any, reader: TableReader) -> Source:
    if not path.exists():
        raise no_file(path)
    kind, file = repr(str(path)), path.name.lower()
    if path.is_dir() or file.endswith(PARQUET_ENDINGS):
        pairs = lambda batches, columns: _pairs_of_batches(batches, columns, names, reader)
        rows = lambda: pieces_of_files(path, pairs)
    elif is_array_file(path):
        if names is not None:
            raise ValueError(f"y names columns, but those of {kind} have no names. Pass the targets as an array.")
        rows = lambda: _slices(np.load(path, mmap_mode="r", allow_pickle=False))
    elif file.endswith(CSV_ENDINGS):
        rows = lambda: _pairs_of_csv(path, names, reader)
    else:
        raise unknown_name("kind of file", path.suffix or path.name, (*PARQUET_ENDINGS, *CSV_ENDINGS, ".npy"))
    stamps = cache(lambda: stamps_of(path))  # of the first pass
    return Source(kind, lambda: _unchanged(path, stamps, rows))


def stamps_of(path: Path) -> tuple:
    """Return what changes when somebody writes to a file, or to a folder's Parquet files, in the usual way."""
    return tuple((str(file), (info := file.stat()).st_size, info.st_mtime_ns) for file in parquet_files(path))


def _unchanged(path: Path, stamps: Callable[[], tuple], rows: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Yield the pieces of a file, and raise ValueError if it has changed since the first use of `stamps`."""
    before = stamps()
    try:
        yield from rows()
    except ValueError:  # what is read of another content may seem damaged
        if stamps_of(path) == before:
            raise
    if stamps_of(path) != before:
        raise ValueError(f"{str(path)!r} has changed while it was read. Try again when it is complete.")
