"""Sources of rows: what fit and predict can read piece by piece.

a path of a .parquet file or of a folder of them, of a .csv file, of a .npy file
numpy.memmap
    an object with `__arrow_c_stream__` or `__arrow_c_array__`: DuckDB, Hugging Face datasets, Arrow readers
    a dataset of pyarrow.dataset
a sequence of rows: `len(x)`, `x[i:j]`, and the attribute `batch_size`, as LightGBM's Sequence; h5py, zarr in a wrapper
an iterable of batches (X, y), or of X, that can be iterated more than once; a list of pairs (X, y) of tables
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import WrongArgument, about_arguments, counted, install_command, is_number, shown, unknown_name
from .kinds import ARROW, is_arrow, is_dataset, is_name, is_sequence

PIECE_BYTES = 8_000_000  # of a piece of an array, about


class Source(NamedTuple):
    """Something that gives rows, piece by piece and as often as needed.

    kind : str     what it is, for messages
    pieces : called for each pass; yields pairs (X, y) of arrays, y None if the source has no targets
    identity : what its content is known by, for the names of cached files; None if nothing is known
    place : returns where rows are, from a first one to a last one that is not included, if that is not `kind` alone
    """

    kind: str
    pieces: Callable[[], Iterator[tuple[Any, Any]]]
    identity: tuple | None = None
    place: Callable[[int, int], str] | None = None

    def rows_shown(self, first: int, last: int) -> str:
        """Return the part of a sentence that names rows."""
        if self.place is not None:
            return self.place(first, last)
        return f"rows {first:,} to {last:,} of {self.kind} (not included)"


def as_source(X: Any, y: Any = None) -> Source:
    """Return a source for X, with its targets.

    X : as the module's docstring says
    y : str     name of the column that has the targets
        sequence of str     names of several
        array of shape (n_samples,) or (n_samples, n_outputs)     targets beside X
        None     if X has the targets, or none are needed

    Raises
    ------
    ValueError
        If X is nothing that can be read.
    """
    names = () if not is_name(y) else (y,) if isinstance(y, str) else tuple(y)
    source = _rows_of(X, names)
    if y is None or names:
        return source
    targets = np.asarray(y)
    if targets.ndim == 0:
        raise ValueError(f"y must be an array, or the name of a column, but it is {shown(y)}.")
    return source._replace(pieces=lambda: with_targets(source, targets), identity=None)


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


def with_targets(source: Source, targets: np.ndarray) -> Iterator[tuple[Any, Any]]:
    """Yield the pieces of a source with the rows of `targets` that belong to them."""
    first = 0
    for X, given in source.pieces():
        if given is not None:
            raise ValueError(f"{source.kind} has targets of its own, so y must be None, but it is an array.")
        last = first + len(X)
        if last <= len(targets):  # other rows are but counted
            yield X, targets[first:last]
        first = last
    if first != len(targets):
        n = counted(len(targets), "sample")
        raise ValueError(f"y has {n}, but X has {first:,}: they must have the same length.")


def _rows_of(X: Any, names: tuple[str, ...]) -> Source:
    if isinstance(X, (str, os.PathLike)):
        return _source_of_path(Path(X), names)
    if is_arrow(X):
        return Source(f"a {type(X).__name__}", lambda: _of_batches(record_batches(X), names))
    if names:
        raise ValueError(
            f"y names columns ({', '.join(map(repr, names))}), but X is a {type(X).__name__}, whose columns have no "
            "names. Pass the targets as an array."
        )
    if isinstance(X, np.memmap):
        return Source("a memory map", lambda: _slices(X), identity_of(Path(X.filename)) if X.filename else None)
    if is_sequence(X):
        size = int(X.batch_size)
        return Source(f"a {type(X).__name__}", lambda: ((X[i : i + size], None) for i in range(0, len(X), size)))
    return Source("an iterable of batches", lambda: map(_pair, X))


def _pair(batch: Any) -> tuple[Any, Any]:
    X, y = batch if isinstance(batch, (tuple, list)) and len(batch) == 2 else (batch, None)
    if not hasattr(X, "__len__"):
        raise ValueError(f"Each batch must be an array X or a pair (X, y) of arrays, but one is {shown(batch)}.")
    return X, y


def _slices(X: np.ndarray) -> Iterator[tuple[Any, Any]]:
    rows = max(1, PIECE_BYTES // max(X.itemsize * math.prod(X.shape[1:]), 1))
    for first in range(0, len(X), rows):
        yield np.array(X[first : first + rows]), None


def identity_of(path: Path) -> tuple:
    """Return what the content of a file, or of a folder's files, is known by: name, size, time of the last change."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return tuple((str(file.resolve()), (info := file.stat()).st_size, info.st_mtime_ns) for file in files)


def _source_of_path(path: Path, names: tuple[str, ...]) -> Source:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    kind, suffix = f"{str(path)!r}", ".parquet" if path.is_dir() else path.suffix.lower()
    if suffix == ".npy":
        if names:
            raise ValueError(f"y names columns, but those of {kind} have no names. Pass the targets as an array.")
        return Source(kind, lambda: _slices(np.load(path, mmap_mode="r", allow_pickle=False)), identity_of(path))
    if suffix not in (".parquet", ".csv"):
        raise unknown_name("kind of file", path.suffix or path.name, (".parquet", ".csv", ".npy"))
    identity = (*identity_of(path), names)
    if suffix == ".csv":
        return Source(kind, lambda: _of_batches(_csv_batches(path), names), identity)
    return Source(kind, lambda: _of_parquet(path, names), identity, place_in_folder(path))


# ---- Arrow


def _pyarrow(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"pyarrow{module}")
    except ImportError:
        raise ImportError(f"Reading tables needs the package pyarrow: {install_command('table')}.") from None


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those of a folder in their order."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"The folder {str(path)!r} has no files *.parquet.")
    return files


def parquet_batches(file: Path, piece_cells: int = PIECE_BYTES // 8) -> Iterator[Any]:
    """Yield the record batches of a Parquet file, by row groups: more would stay in memory."""
    parquet = _pyarrow(".parquet")
    try:
        with parquet.ParquetFile(file) as opened:
            rows = max(1, piece_cells // max(len(opened.schema_arrow.names), 1))
            for group in range(opened.num_row_groups):
                yield from opened.iter_batches(rows, row_groups=[group], use_threads=False)
    except (_pyarrow("").ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the disk: the file need not be damaged
            raise
        raise ValueError(f"{str(file)!r} cannot be read as Parquet: {error}") from None


def _of_parquet(path: Path, names: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of a Parquet file, or of those of a folder, as _of_batches does."""
    columns: list[str] = []
    for file in parquet_files(path):
        with file_named(file, path):
            yield from _of_batches(parquet_batches(file), names, columns)


@contextmanager
def file_named(file: Path, path: Path) -> Iterator[None]:
    """Add the name of a file to the message of a ValueError, if it is one of several in a folder."""
    try:
        yield
    except WrongArgument as error:
        raise ValueError(str(error)) from None
    except ValueError as error:
        if file == path or repr(str(file)) in str(error):
            raise
        raise ValueError(f"In {str(file)!r}: {error}") from None


def place_in_folder(path: Path) -> Callable[[int, int], str] | None:
    """Return what names rows of a folder of Parquet files with their file, as Source.place; None for a single file."""
    if not path.is_dir():
        return None

    def place(first: int, last: int) -> str:
        start = 0
        for file in parquet_files(path):
            n_rows = _pyarrow(".parquet").read_metadata(file).num_rows
            if first < start + n_rows:
                return f"rows {first - start:,} to {last - start:,} of {str(file)!r} (not included)"
            start += n_rows
        return f"rows {first:,} to {last:,} of {str(path)!r} (not included)"

    return place


def _csv_batches(path: Path) -> Iterator[Any]:
    error = _pyarrow("").ArrowInvalid
    try:
        with _pyarrow(".csv").open_csv(path) as reader:
            names = reader.schema.names
            if all(map(is_number, names)):
                raise ValueError(
                    f"The first line of {str(path)!r} should name the columns, but it holds numbers: {shown(names)}."
                )
            yield from reader
    except error as reason:
        raise ValueError(f"{str(path)!r} cannot be read as CSV: {reason}") from None


def _rows_of_piece(n_columns: int) -> int:
    """Return the number of rows of a piece of a table, by its width."""
    return max(1, PIECE_BYTES // (8 * max(n_columns, 1)))


def record_batches(X: Any) -> Iterator[Any]:
    pyarrow = _pyarrow("")
    if type(X).__module__.partition(".")[0] == "pandas":
        yield from pyarrow.Table.from_pandas(X, preserve_index=False).to_batches()
    elif is_dataset(X):  # on one thread: each pass has the same order, and few batches are in memory
        yield from X.to_batches(use_threads=False, batch_readahead=1, fragment_readahead=1)
    elif hasattr(X, ARROW[0]):
        yield from pyarrow.RecordBatchReader.from_stream(X)
    else:
        yield pyarrow.record_batch(X)


def _of_batches(
    batches: Iterator[Any], names: tuple[str, ...], columns: list[str] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of Arrow record batches: y has the named columns, X the others, in the order of the first batch.

    columns : names of the columns of earlier batches; an empty list is filled with the names in the first batch
    """
    columns = [] if columns is None else columns
    for batch in map(without_index, batches):
        check_same_columns(batch, columns, names)
        rows = _rows_of_piece(len(columns))
        for first in range(0, batch.num_rows, rows):
            piece = batch.slice(first, rows)
            numbers = {name: _numbers(piece.column(batch.schema.names.index(name)), name) for name in columns}
            X = np.stack([numbers[name] for name in columns if name not in names], axis=1)
            targets = [numbers[name] for name in names]
            yield X, np.stack(targets, axis=1) if len(targets) > 1 else targets[0] if targets else None


def without_index(batch: Any) -> Any:
    """Return a record batch without the columns that pandas has written as the index of a frame.

    They number the rows, as in any frame that was sorted or filtered, and are no columns of the frame.

    Raises
    ------
    ValueError
        If what pandas has written about the columns is damaged.
    """
    try:
        index = (batch.schema.pandas_metadata or {}).get("index_columns", ())
        columns = [k for k, name in enumerate(batch.schema.names) if name not in index]
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"What pandas has written about the columns is damaged ({error}): write the data again."
        ) from None
    return batch.select(columns)


def check_same_columns(batch: Any, columns: list[str], names: tuple[str, ...] = ()) -> None:
    """Raise ValueError if a batch has not the columns of earlier ones; an empty list is filled with those of the first,
    after their check.
    """
    found = batch.schema.names
    if not columns:
        with about_arguments():
            columns += checked_columns(found, names)
    if set(found) != set(columns):
        absent, further = (
            ", ".join(repr(name) for name in some if name not in others)
            for some, others in ((columns, found), (found, columns))
        )
        differences = [f"lacks {absent}"] if absent else []
        differences += [f"has {further} besides"] if further else []
        raise ValueError(f"All pieces must have the columns of the first, but one {' and '.join(differences)}.")


def checked_columns(columns: list[str], names: tuple[str, ...]) -> list[str]:
    """Return the columns of a table after a check that they can be told apart, and that `names` are among them."""
    for name in names:
        if name not in columns:
            raise unknown_name("column", name, columns)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"Columns must have different names, but {', '.join(map(repr, twice))} is there twice.")
    if len(columns) == len(names):
        raise ValueError(f"There is no column of features beside {', '.join(map(repr, names))}.")
    return columns


def _numbers(column: Any, name: str) -> np.ndarray:
    """Return a column's cells as numbers."""
    types = _pyarrow(".types")
    kind = column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise ValueError(
            f"Column {name!r} must hold numbers, but its type is {kind}. Leave it out, encode it first, or use "
            "TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."
        )
    if column.null_count:
        raise ValueError(f"Column {name!r} has {counted(column.null_count, 'missing cell')}: impute such cells first.")
    if types.is_decimal(kind):
        column = column.cast(_pyarrow("").float64())
    return column.to_numpy(zero_copy_only=False)
