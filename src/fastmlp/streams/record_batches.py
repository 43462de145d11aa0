"""Record batches of Arrow: of Parquet files, of which a few pages of each column are in memory, and of streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import WrongArgument, about_arguments, install_command, unknown_name
from .read_ahead import read_ahead
from .source_kinds import ARROW, is_dataset

PIECE_BYTES = 4_000_000  # of a piece of an array, about
PAGE_BUFFER = 2**18  # bytes of a column that are read from a Parquet file at a time


def import_pyarrow(module: str = "") -> Any:
    """Return a module of pyarrow, such as ".parquet", or raise an ImportError that says how to install it."""
    try:
        return import_module(f"pyarrow{module}")
    except ImportError:
        raise ImportError(f"Reading tables needs the package pyarrow: {install_command('table')}.") from None


# ---- Parquet files


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those of a folder in their order, without those of logs and drafts (_ or . in front).

    Raises
    ------
    ValueError
        If the folder has none, or has some in subfolders.
    """
    if not path.is_dir():
        return [path]
    files = [(file, file.relative_to(path)) for file in sorted(path.rglob("*.parquet"))]
    data = [(file, place) for file, place in files if not any(part.startswith(("_", ".")) for part in place.parts)]
    if (nested := next((place for _, place in data if len(place.parts) > 1), None)) is not None:
        raise ValueError(
            f"The folder {str(path)!r} has Parquet files in subfolders, such as {str(nested)!r}, which are not read. "
            f"Pass a dataset of them all, pyarrow.dataset.dataset({str(path)!r}, format='parquet', "
            "partitioning='hive'), or a folder without subfolders."
        )
    if not data:
        raise ValueError(f"The folder {str(path)!r} has no files *.parquet.")
    return [file for file, _ in data]


def parquet_batches(file: Path, piece_cells: int = PIECE_BYTES // 8) -> Iterator[Any]:
    """Yield the record batches of a Parquet file; a second thread reads the next one while one is in use."""
    return read_ahead(_batches_of_file(file, piece_cells))


def _batches_of_file(file: Path, piece_cells: int) -> Generator[Any, None, None]:
    """Yield the record batches of a file.

    What has been read stays in memory until the end of a row group, which a writer may make as large as the file. So
    row groups are read one after another, and with a buffer: without one, the whole row group would be read at once.
    """
    parquet = import_pyarrow(".parquet")
    with _parquet_errors(str(file)), parquet.ParquetFile(file, buffer_size=PAGE_BUFFER, pre_buffer=False) as opened:
        rows = max(1, piece_cells // max(len(opened.schema_arrow.names), 1))
        for group in range(opened.num_row_groups):
            yield from opened.iter_batches(rows, row_groups=[group], use_threads=False)


@contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    """Raise what is wrong with a Parquet file as ValueError with a sentence."""
    try:
        yield
    except (import_pyarrow().ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the disk: the file need not be damaged
            raise
        raise ValueError(f"{name!r} cannot be read as Parquet: {error}") from None


def pieces_of_files(path: Path, read: Callable[[Iterator[Any], list[str]], Iterator[Any]]) -> Iterator[Any]:
    """Yield what `read` yields of a Parquet file, or of each of a folder, whose name is added to a ValueError.

    read : function (record batches, columns of earlier ones, as for uniform_pieces)
    """
    columns: list[str] = []
    for file in parquet_files(path):
        try:
            yield from read(parquet_batches(file), columns)
        except WrongArgument as error:
            raise ValueError(str(error)) from None
        except ValueError as error:
            if file == path or repr(str(file)) in str(error):
                raise
            raise ValueError(f"In {str(file)!r}: {error}") from None


# ---- batches of any kind


def record_batches(X: Any) -> Iterator[Any]:
    """Yield the record batches of what is_arrow knows."""
    pyarrow = import_pyarrow()
    if is_dataset(X):
        with _parquet_errors("the dataset"):  # each pass has the same order; whole row groups are in memory
            yield from X.to_batches(use_threads=False, batch_readahead=1, fragment_readahead=1)
    elif hasattr(X, ARROW[0]):
        yield from pyarrow.RecordBatchReader.from_stream(X)
    else:
        yield pyarrow.record_batch(X)


def uniform_pieces(
    batches: Iterator[Any], n_cells: int, columns: list[str], names: tuple[str, ...] = ()
) -> Iterator[Any]:
    """Yield record batches cut into pieces of about n_cells, with the columns of the first one in its order.

    columns : names of the columns of earlier batches; an empty list is filled with the names in the first batch
    names : of columns that have to be there
    """
    for batch in map(_without_index, batches):
        found = batch.schema.names
        if not columns:
            with about_arguments():
                columns += checked_columns(found, names)
        refuse_equal_names(found)
        if set(found) != set(columns):
            absent, further = (
                ", ".join(repr(name) for name in some if name not in others)
                for some, others in ((columns, found), (found, columns))
            )
            differences = [f"lacks {absent}"] * bool(absent) + [f"has {further} besides"] * bool(further)
            raise ValueError(f"All pieces must have the columns of the first, but one {' and '.join(differences)}.")
        rows = max(1, n_cells // max(1, len(columns)))
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows).select(columns)


def checked_columns(columns: list[str], names: tuple[str, ...]) -> list[str]:
    """Return the columns of a table after a check that they can be told apart, and that `names` are among them."""
    for name in names:
        if name not in columns:
            raise unknown_name("column", name, columns)
    refuse_equal_names(columns)
    if len(columns) == len(names):
        raise ValueError(f"There is no column of features beside {', '.join(map(repr, names))}.")
    return columns


def refuse_equal_names(columns: list[str]) -> None:
    twice = sorted(name for name, count in Counter(columns).items() if count > 1)
    if twice:
        raise ValueError(f"Columns must have different names, but {', '.join(map(repr, twice))} is there twice.")


def _without_index(batch: Any) -> Any:
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
