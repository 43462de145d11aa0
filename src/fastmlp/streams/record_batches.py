"""Record batches of Arrow: of Parquet files, of which a few pages of each column are in memory, and of streams."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import install_command, place_in_errors
from ..tables.table_files import PIECE_CELLS, check_names, import_pandas, with_columns
from .read_ahead import read_ahead
from .source_kinds import ARROW, is_dataset

if TYPE_CHECKING:
    import pandas as pd

PIECE_BYTES = 4_000_000  # of a piece of an array, about
PAGE_BUFFER = 2**18  # bytes of a column that are read from a Parquet file at a time
ENCODE = "Leave it out, encode it first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."
EXACT = 2**53  # whole numbers up to it are exact in float64


def import_pyarrow(module: str = "") -> Any:
    """Return a module of pyarrow, such as ".parquet", or raise an ImportError that says how to install it."""
    with suppress(ImportError):  # Arrow then knows the types that pandas writes, such as periods
        import pandas.core.arrays.arrow.extension_types  # noqa: F401
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


def parquet_batches(file: Path, piece_cells: int = PIECE_BYTES // 8) -> Generator[Any, None, None]:
    """Yield the record batches of a Parquet file.

    What has been read stays in memory until the end of a row group, which a writer may make as large as the file. So
    row groups are read one after another, and with a buffer: without one, the whole row group would be read at once.
    """
    parquet = import_pyarrow(".parquet")
    with parquet_errors(file), parquet.ParquetFile(file, buffer_size=PAGE_BUFFER, pre_buffer=False) as opened:
        rows = max(1, piece_cells // max(len(opened.schema_arrow.names), 1))
        for group in range(opened.num_row_groups):
            yield from opened.iter_batches(rows, row_groups=[group], use_threads=False)


@contextmanager
def parquet_errors(source: Path | str) -> Iterator[None]:
    """Raise what is wrong with Parquet files as ValueError with a sentence."""
    try:
        yield
    except Exception as error:  # a damaged file may raise any
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:  # of the disk
            raise
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(source)!r} cannot be read as Parquet: {reason}") from None


def pieces_of_files(path: Path, read: Callable[[Iterator[Any], list[str]], Iterator[Any]]) -> Iterator[Any]:
    """Yield what `read` yields of a Parquet file, or of each of a folder; its name is added to a ValueError.

    A second thread reads the next record batch while one is in use.

    read : function (record batches, columns of earlier ones, as for uniform_pieces)
    """
    columns: list[str] = []
    for file in parquet_files(path):
        with place_in_errors(repr(str(file))):
            yield from read(read_ahead(parquet_batches(file)), columns)


# ---- batches of any kind


def record_batches(X: Any) -> Iterator[Any]:
    """Yield the record batches of what is_arrow knows."""
    pyarrow = import_pyarrow()
    if is_dataset(X):
        with parquet_errors("the dataset"):  # each pass has the same order; whole row groups are in memory
            yield from X.to_batches(use_threads=False, batch_readahead=1, fragment_readahead=1)
    elif hasattr(X, ARROW[0]):
        yield from pyarrow.RecordBatchReader.from_stream(X)
    else:
        yield pyarrow.record_batch(X)


def uniform_pieces(batches: Iterator[Any], n_cells: int, columns: list[str]) -> Iterator[Any]:
    """Yield record batches cut into pieces of about n_cells, with the columns of the first one in its order.

    columns : list of str
        Names of the columns of earlier batches; an empty list is filled with the names in the first batch.
    """
    for batch in map(_without_index, batches):
        names = batch.schema.names
        check_names(names, "The table")
        columns += [] if columns else names
        if set(names) != set(columns):
            absent, further = (
                ", ".join(repr(name) for name in some if name not in others)
                for some, others in ((columns, names), (names, columns))
            )
            differences = [f"lacks {absent}"] * bool(absent) + [f"has {further} besides"] * bool(further)
            raise ValueError(f"All pieces must have the columns of the first, but one {' and '.join(differences)}.")
        rows = max(1, n_cells // max(1, len(columns)))
        for first in range(0, batch.num_rows, rows):
            yield batch.slice(first, rows).select(columns)


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
            f"The columns cannot be read: what pandas has written about them is damaged ({error}). Write the data "
            "again."
        ) from None
    return batch.select(columns)


# ---- data frames


def parquet_frames(path: Path, unchanged: Iterable[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield the data frames of a Parquet file, or of those of a folder; the index counts the rows of each file.

    unchanged : columns whose whole numbers stay what they are, as of read_table
    """
    return pieces_of_files(path, lambda batches, columns: frames_of_batches(batches, columns, unchanged))


def frames_of_batches(
    batches: Iterator[Any], columns: list[str], unchanged: Iterable[str] = (), only_numbers: bool = False
) -> Iterator[pd.DataFrame]:
    """Yield Arrow record batches as data frames with the columns of the first, in its order; the index counts rows.

    columns : names of the columns of earlier batches, as for uniform_pieces
    unchanged : columns whose whole numbers stay what they are, as of parquet_frames
    only_numbers : whether columns of other types are refused
    """
    n_rows = 0
    for batch in uniform_pieces(batches, PIECE_CELLS, columns):
        if only_numbers and not n_rows:
            _check_types(batch.schema)
        frame = frame_of_arrow(batch, unchanged)
        frame.index += n_rows
        n_rows += len(frame)
        yield frame


def _check_types(schema: Any) -> None:
    types = import_pyarrow(".types")
    are_numbers = types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null
    for field in schema:
        if not any(is_number(field.type) for is_number in are_numbers):
            raise ValueError(f"Column {field.name!r} must hold numbers, but its type is {field.type}. {ENCODE}")


def frame_of_arrow(table: Any, unchanged: Iterable[str] = ()) -> pd.DataFrame:
    """Return an Arrow table, or a record batch, as a data frame; what pandas has written about its columns is not read.

    unchanged : columns whose whole numbers stay what they are, as of read_table

    Raises
    ------
    ValueError
        If pandas does not know a type or cannot hold a value.
    """
    pandas = import_pandas()
    try:
        frame = table.to_pandas(ignore_metadata=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of pandas or Arrow
        raise ValueError(
            "The table cannot be converted to one of pandas: a type of its columns is unknown, or a value out of "
            f"range ({error}). Write the data again."
        ) from None
    is_integer, wanted = import_pyarrow(".types").is_integer, set(unchanged)
    numbers = [
        name
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if is_integer(column.type) and (name in wanted or (column.null_count and _is_large(column)))
    ]
    if not numbers:
        return frame
    # in a type of pandas for which cells may be missing
    return with_columns(frame, table.select(numbers).to_pandas(types_mapper=pandas.ArrowDtype, ignore_metadata=True))


def _is_large(column: Any) -> bool:
    """Return whether a column of whole numbers has some that float64 cannot hold."""
    bounds = import_pyarrow(".compute").min_max(column).as_py().values()
    return any(abs(bound) > EXACT for bound in bounds if bound is not None)
