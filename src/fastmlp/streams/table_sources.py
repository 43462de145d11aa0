"""Sources of tables: rows whose cells may be text, dates or missing, read as data frames piece by piece.

What can be read is what sources.py reads, and all table files that tables/table_files.py knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import no_file, place_in_errors
from ..tables.table_files import (
    PARQUET_ENDINGS,
    check_ending,
    columns_with_thousands,
    csv_pieces,
    import_pandas,
    mixed_columns,
    read_csv,
    with_text_names,
)
from .record_batches import frame_of_arrow, import_pyarrow, parquet_errors, parquet_files, uniform_pieces
from .source_kinds import is_array_file
from .sources import Source, TableReader, as_source, targets_beside

if TYPE_CHECKING:
    import pandas as pd

WHOLE = 2**62  # cells of a piece that is never cut
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
    return as_source(X, y, _as_frames(text_columns, is_training))


def _as_frames(text_columns: Sequence[str] | None = None, is_training: bool = False) -> TableReader:
    text_columns_of = cache(lambda path: mixed_columns(path, is_training) if text_columns is None else text_columns)

    def frames_of_csv(path: Path, y: Any) -> Iterator[Any]:
        pieces = csv_pieces(path, text_columns_of(path))  # known by a pass of its own, once
        return (with_text_names(frame, repr(str(path))) for frame in pieces)

    return TableReader(frames_of_csv, lambda columns: columns)


def targets_in_memory(y: Any) -> Any:
    """Return all targets beside a table, as targets_beside does; those of a table may be text."""
    return targets_beside(y, _as_frames())


def table_in_memory(path: Path) -> Any:
    """Return the whole training table of a path, as read_table does, or the array of a .npy file."""
    return np.load(path, allow_pickle=False) if is_array_file(path) else read_table(path, is_training=True)


def read_table(
    path: str | Path, text_columns: Iterable[str] = (), unchanged: Iterable[str] = (), is_training: bool = False
) -> pd.DataFrame:
    """Read a table from a CSV or Parquet file, or from the Parquet files of a folder, one below the other.

    A CSV file has one header line; columns are separated by comma, semicolon or tab; decimals have a point or a comma;
    the file may be gzipped. Empty cells, "NA", "NaN", "null" and "?" are missing. Columns named in `text_columns` stay
    text even if all cells look like numbers; of those in `unchanged`, no cell is missing either. Whole numbers of a
    Parquet file become floats in a column with missing cells, but not in one of `unchanged`. In a training table,
    columns whose first rows may have separators of thousands stay text, too: "2.390" beside "754", with semicolons
    between columns.

    Returns
    -------
    pandas.DataFrame
        The table, with at least one row.

    Raises
    ------
    ImportError
        If pandas (or pyarrow, for Parquet) is not installed.
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file cannot be read as a table, has no rows, or has two columns with the same name.
    """
    path, noun = Path(path), f"The table {str(path)!r}"
    import_pandas()
    is_parquet = path.is_dir() or check_ending(path).endswith(PARQUET_ENDINGS)
    if not path.exists():
        raise no_file(path)
    if is_parquet:
        table = _read_parquet(path, unchanged)
    else:
        text_columns = (*text_columns, *(columns_with_thousands(path) if is_training else ()))
        table = read_csv(path, text_columns, unchanged)
    if len(table) == 0:
        raise ValueError(f"{noun} has no rows below its header; a table needs at least one.")
    return with_text_names(table, noun)


def _read_parquet(path: Path, unchanged: Iterable[str]) -> pd.DataFrame:
    """Return the rows of a Parquet file, or of those of a folder, one below the other."""
    pyarrow, parquet, columns, tables = import_pyarrow(), import_pyarrow(".parquet"), list[str](), list[Any]()
    for file in parquet_files(path):
        with place_in_errors(repr(str(file))):
            with parquet_errors(file), parquet.ParquetFile(file) as opened:
                batches = opened.read().to_batches()
            pieces = uniform_pieces(iter(batches), WHOLE, columns)
            tables += [pyarrow.Table.from_batches([piece]) for piece in pieces]
    if not tables:
        return import_pandas().DataFrame()
    try:
        return frame_of_arrow(pyarrow.concat_tables(tables, promote_options="permissive"), unchanged)
    except pyarrow.ArrowException:  # such as numbers in one file, text in another
        return import_pandas().concat([frame_of_arrow(table, unchanged) for table in tables], ignore_index=True)


def surely_fits(path: Path, memory_limit: int) -> bool:
    """Return whether a fit in memory to the table in a file needs less than the limit however its columns are encoded,
    by the number of its cells: from the metadata of Parquet, else no more than half of the bytes.
    """
    name = path.name.lower()
    if not path.is_file() or name.endswith(".gz"):
        return False
    n_cells = path.stat().st_size // 2
    if name.endswith(PARQUET_ENDINGS):
        try:
            from pyarrow import parquet

            metadata = parquet.read_metadata(path)
        except Exception:  # read_table says what is wrong with it
            return True
        n_cells = metadata.num_rows * metadata.num_columns
    return n_cells * MOST_CELL_BYTES <= memory_limit
