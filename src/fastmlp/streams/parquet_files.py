"""Record batches of Parquet files, of which no more is in memory than a few pages of each column."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import install_command
from .read_ahead import read_ahead

PIECE_BYTES = 4_000_000  # of a piece of an array, about
PAGE_BUFFER = 2**18  # bytes of a column that are read from a Parquet file at a time


def import_pyarrow(module: str = "") -> Any:
    """Return a module of pyarrow, such as ".parquet", or raise an ImportError that says how to install it."""
    try:
        return import_module(f"pyarrow{module}")
    except ImportError:
        raise ImportError(f"Reading tables needs the package pyarrow: {install_command('table')}.") from None


# ---- files


def parquet_files(path: Path) -> list[Path]:
    """Return a Parquet file, or those of a folder in their order.

    Raises
    ------
    ValueError
        If the folder has none, or has some in subfolders.
    """
    if not path.is_dir():
        return [path]
    if (nested := next(filter(lambda file: _is_data(file, path), path.glob("*/**/*.parquet")), None)) is not None:
        raise ValueError(
            f"The folder {str(path)!r} has Parquet files in subfolders, such as {str(nested.relative_to(path))!r}, "
            "which are not read. Pass a dataset of them all, "
            f"pyarrow.dataset.dataset({str(path)!r}, format='parquet', partitioning='hive'), or a folder without "
            "subfolders."
        )
    files = sorted(file for file in path.glob("*.parquet") if _is_data(file, path))
    if not files:
        raise ValueError(f"The folder {str(path)!r} has no files *.parquet.")
    return files


def _is_data(file: Path, folder: Path) -> bool:
    """Return whether a file of a folder has data: names that begin with _ or . are those of logs and of drafts."""
    return not any(name.startswith(("_", ".")) for name in file.relative_to(folder).parts)


def parquet_batches(file: Path, piece_cells: int = PIECE_BYTES // 8) -> Iterator[Any]:
    """Yield the record batches of a Parquet file; a second thread reads the next one while one is in use."""
    return read_ahead(_batches_of_file(file, piece_cells))


def _batches_of_file(file: Path, piece_cells: int) -> Generator[Any, None, None]:
    parquet = import_pyarrow(".parquet")
    with _parquet_errors(str(file)), parquet.ParquetFile(file, buffer_size=PAGE_BUFFER, pre_buffer=False) as opened:
        yield from _batches_by_row_groups(opened, range(opened.num_row_groups), piece_cells)


def _batches_by_row_groups(opened: Any, groups: range | list[int], piece_cells: int) -> Iterator[Any]:
    """Yield the record batches of some row groups of a ParquetFile, which is opened with a buffer.

    What has been read stays in memory until the end of a row group, which a writer may make as large as the file. So
    row groups are read one after another, and with a buffer: without one, the whole row group would be read at once.
    """
    rows = max(1, piece_cells // max(len(opened.schema_arrow.names), 1))
    for group in groups:
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


# ---- datasets of pyarrow


def dataset_batches(dataset: Any) -> Iterator[Any]:
    """Yield the record batches of a dataset.

    Its own iterator holds whole row groups, and may hold more of them while it goes on (apache/arrow, issue 39808). So
    Parquet files on this machine are read as parquet_batches does, except for those whose columns it converts.
    """
    options = {"use_threads": False, "batch_readahead": 1, "fragment_readahead": 1}  # each pass has the same order
    fragments = _local_parquet_fragments(dataset)
    if fragments is None:
        yield from dataset.to_batches(**options)
        return
    for fragment in fragments:
        if _has_columns_of(fragment, dataset.schema):
            yield from read_ahead(_batches_of_fragment(fragment, dataset.schema))
        else:
            yield from fragment.to_batches(schema=dataset.schema, **options)


def _local_parquet_fragments(dataset: Any) -> list[Any] | None:
    """Return the fragments of a dataset if all are Parquet files on this machine; None for another dataset."""
    try:
        parquet, local = import_pyarrow(".dataset").ParquetFileFragment, import_pyarrow(".fs").LocalFileSystem
        fragments = list(dataset.get_fragments())
    except (ImportError, AttributeError, ValueError):  # a filtered dataset refuses: its fragments have other rows, too
        return None
    are_local = all(isinstance(one, parquet) and isinstance(one.filesystem, local) for one in fragments)
    return fragments if are_local else None


def _partition_keys(fragment: Any) -> dict[str, Any]:
    """Return the values of the columns that the folders of a fragment name."""
    return dict(import_pyarrow(".dataset").get_partition_keys(fragment.partition_expression))


def _has_columns_of(fragment: Any, schema: Any) -> bool:
    """Return whether the file of a fragment has all columns of the dataset that its folders do not name, no others, and
    of the same types.
    """
    names = [name for name in schema.names if name not in _partition_keys(fragment)]
    found = fragment.physical_schema
    if sorted(found.names) != sorted(names) or len(set(names)) < len(names):
        return False
    return all(found.field(name).type == schema.field(name).type for name in names)


def _batches_of_fragment(fragment: Any, schema: Any) -> Generator[Any, None, None]:
    """Yield the record batches of a fragment whose file has the columns of the dataset's schema."""
    pyarrow, keys = import_pyarrow(), _partition_keys(fragment)
    parquet = import_pyarrow(".parquet")
    groups = [group.id for group in fragment.row_groups]  # it may have some of those of its file
    with (
        _parquet_errors(fragment.path),
        fragment.open() as content,
        parquet.ParquetFile(content, buffer_size=PAGE_BUFFER, pre_buffer=False) as opened,
    ):
        for batch in _batches_by_row_groups(opened, groups, PIECE_BYTES // 8):
            columns = [
                _repeated(keys[field.name], field.type, batch.num_rows)
                if field.name in keys
                else batch.column(field.name)
                for field in schema
            ]
            yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _repeated(value: Any, kind: Any, n: int) -> Any:
    """Return an Arrow array of n times the same value."""
    pyarrow = import_pyarrow()
    if not pyarrow.types.is_dictionary(kind):
        return pyarrow.repeat(pyarrow.scalar(value, kind), n)
    return pyarrow.repeat(pyarrow.scalar(value, kind.value_type), n).dictionary_encode().cast(kind)
