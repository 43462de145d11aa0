"""Rows of Arrow record batches, of which Parquet files consist: arrays of numbers, or batches with the same columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WrongArgument, about_arguments, counted, unknown_name
from .parquet_files import PIECE_BYTES, dataset_batches, import_pyarrow, parquet_batches, parquet_files
from .source_kinds import ARROW, is_dataset, is_hugging_face

BATCH_ROWS = 10_000  # of Hugging Face's datasets, which may have columns of long text
ENCODE = "Leave it out, encode it first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."


# ---- Parquet


def rows_of_parquet(path: Path, names: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield (X, y) of a Parquet file, or of those of a folder, as rows_of_batches does."""
    columns: list[str] = []
    for file in parquet_files(path):
        with file_named(file, path):
            yield from rows_of_batches(parquet_batches(file), names, columns)


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
    """Return a function that names rows of a folder of Parquet files by their file, for Source.place.

    None for a single file.
    """
    if not path.is_dir():
        return None

    def place(first: int, last: int) -> str:
        start = 0
        for file in parquet_files(path):
            n_rows = import_pyarrow(".parquet").read_metadata(file).num_rows
            if first < start + n_rows:
                return f"rows {first - start:,} to {last - start:,} of {str(file)!r} (not included)"
            start += n_rows
        return f"rows {first:,} to {last:,} of {str(path)!r} (not included)"

    return place


# ---- record batches


def record_batches(X: Any) -> Iterator[Any]:
    pyarrow = import_pyarrow()
    if type(X).__module__.partition(".")[0] == "pandas":
        yield from pyarrow.Table.from_pandas(X, preserve_index=False).to_batches()
    elif is_dataset(X):
        yield from dataset_batches(X)
    elif is_hugging_face(X):  # in the order of its indices, which its table does not have
        for table in _in_arrow_format(X).iter(BATCH_ROWS):
            yield from table.to_batches()
    elif hasattr(X, ARROW[0]):
        yield from pyarrow.RecordBatchReader.from_stream(X)
    else:
        yield pyarrow.record_batch(X)


def _in_arrow_format(X: Any) -> Any:
    """Return a dataset of Hugging Face that gives Arrow tables, with the columns that `set_format` has chosen.

    Raises
    ------
    ValueError
        If it has a transform, which would not be applied.
    """
    given = getattr(X, "format", {})  # an IterableDataset has none
    if given.get("type") == "custom":
        raise ValueError(
            f"The {type(X).__name__} has a transform (set_transform), which is not applied to rows that are read as "
            "Arrow tables: apply it by map first."
        )
    if given.get("columns") is None or given.get("output_all_columns"):
        return X.with_format("arrow")
    return X.with_format("arrow", columns=given["columns"])


def rows_of_batches(
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
            positions = {name: batch.schema.names.index(name) for name in columns}
            yield targets_apart({name: _numbers(piece.column(k), name) for name, k in positions.items()}, names)


def _rows_of_piece(n_columns: int) -> int:
    """Return the number of rows of a piece of a table, by its width."""
    return max(1, PIECE_BYTES // (8 * max(n_columns, 1)))


def targets_apart(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> tuple[np.ndarray, Any]:
    """Return (X, y) of columns of numbers: y has the named ones, X the others; y is None where none are named."""
    X = np.stack([numbers for name, numbers in columns.items() if name not in names], axis=1)
    targets = [columns[name] for name in names]
    return X, np.stack(targets, axis=1) if len(targets) > 1 else targets[0] if targets else None


def without_index(batch: Any) -> Any:
    """Return a record batch without the columns that pandas has written as the index of a frame.

    pandas writes them for frames whose index is more than a range, such as sorted or filtered ones; they are no columns
    of the frame.

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
    """Raise ValueError if a batch does not have the columns of earlier ones, or has a column twice.

    columns : names of the columns of earlier batches; an empty list is filled with those of this one, after their check
    """
    found = batch.schema.names
    if not columns:
        with about_arguments():
            columns += checked_columns(found, names)
    _refuse_equal_names(found)
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
    _refuse_equal_names(columns)
    if len(columns) == len(names):
        raise ValueError(f"There is no column of features beside {', '.join(map(repr, names))}.")
    return columns


def _refuse_equal_names(columns: list[str]) -> None:
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        raise ValueError(f"Columns must have different names, but {', '.join(map(repr, twice))} is there twice.")


def _numbers(column: Any, name: str) -> np.ndarray:
    """Return a column's cells as numbers."""
    types = import_pyarrow(".types")
    kind = column.type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
        raise ValueError(f"Column {name!r} must hold numbers, but its type is {kind}. {ENCODE}")
    if column.null_count:
        raise ValueError(f"Column {name!r} has {counted(column.null_count, 'missing cell')}: impute such cells first.")
    if types.is_decimal(kind):
        column = column.cast(import_pyarrow().float64())
    return column.to_numpy(zero_copy_only=False)
