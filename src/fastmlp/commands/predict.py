"""The command `fastmlp predict`: predictions for the rows of a table, which may be larger than memory."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from ..class_probabilities import outputs_of
from ..loading import load_net
from ..runtime.memory_limits import checked_memory_limit
from ..runtime.output_files import check_output, replacing
from ..streams.record_batches import parquet_frames
from ..streams.table_sources import read_table, surely_fits
from ..tables.base_column import Note, NotesOfPieces
from ..tables.features import Preprocessing
from ..tables.table_files import PARQUET_ENDINGS, check_ending, csv_pieces, import_pandas, with_text_names
from ..tables.target import check_columns

if TYPE_CHECKING:
    import pandas as pd


def predictions(
    model: Path, file: Path, device: str, ids: Sequence[str] = (), memory_limit: str | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the predictions for the rows of a table: at once, or in pieces if it may take more than the memory limit.

    The columns are the ids, `prediction`, and the probability of each class. A warning is issued of each column with
    values that the training part did not have.

    ids : columns of the table to copy into the result; if empty, the ids that the training was given

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If the net knows no table columns, or the table does not fit it.
    """
    pandas = import_pandas()
    net: Any = load_net(model, device=device)
    preprocessing = net.preprocessing
    if preprocessing is None:
        raise ValueError(
            f"{str(model)!r} should be a net saved by `fastmlp train`, but it knows no table columns; use fastmlp.load "
            "and its predict method with an array."
        )
    is_large = (file.is_file() or file.is_dir()) and not surely_fits(file, checked_memory_limit(memory_limit))
    used = {preprocessing.target.name, *(column.name for column in preprocessing.columns)}
    only_ids = [name for name in ids or preprocessing.ids if name not in used]
    wanted: list[str] | None = None
    apart: Iterator[pd.DataFrame] | None = None  # the table again, where an id is an input too: its cells as they are
    said = NotesOfPieces()
    for table in _frames(file, is_large, preprocessing.text_columns, only_ids):
        if wanted is None:
            wanted = _present_ids(table, preprocessing, ids)
            if not set(wanted) <= set(only_ids):
                apart = _frames(file, is_large, (), wanted)
        notes: list[Note] = []
        X = preprocessing.transform(table, net.dtype.name, notes)
        for note in said.of_next(len(table), notes) if is_large else notes:
            warnings.warn(note.text, stacklevel=2)
        passed = _passed_columns(table if apart is None else next(apart), wanted)
        answers = pandas.DataFrame(preprocessing.target.decode(outputs_of(net, preprocessing.target, X)))
        if both := [name for name in passed.columns if name in answers.columns]:
            raise ValueError(f"{both[0]!r} is an id and a column of the predictions: rename it in the table.")
        yield pandas.concat([passed, answers], axis=1)
    if wanted is None:
        raise ValueError(f"{str(file)!r} has no rows; a table needs at least one.")


def _frames(
    file: Path, is_large: bool, text_columns: Sequence[str], unchanged: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """Yield a table, or its pieces that have rows; text_columns, unchanged : as for read_table"""
    if not is_large:
        yield read_table(file, text_columns, unchanged)
        return
    if file.is_dir() or check_ending(file).endswith(PARQUET_ENDINGS):
        frames = parquet_frames(file, unchanged)
    else:
        frames = csv_pieces(file, text_columns, unchanged)
    yield from map(with_text_names, filter(len, frames))


def _present_ids(table: pd.DataFrame, preprocessing: Preprocessing, ids: Sequence[str]) -> list[str]:
    """Return the id columns of a table; warn of one of the training that it lacks. ids : the user's"""
    wanted = list(dict.fromkeys(ids or preprocessing.ids))
    if ids:
        check_columns(table, ids, "--id")
    elif absent := [name for name in wanted if name not in table.columns]:
        wanted = [name for name in wanted if name not in absent]
        names = " or ".join(map(repr, absent))
        warnings.warn(
            f"The table has no column {names}, which training was told is an id, so predictions go without it.",
            stacklevel=2,
        )
    return wanted


def _passed_columns(table: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    """Return the columns of ids as they are put beside predictions."""
    passed = table[ids]
    numbers = [name for name in ids if passed[name].dtype.kind == "f"]  # as objects: to_csv would round them
    return passed.astype(dict.fromkeys(numbers, object)).reset_index(drop=True)


def check_table_path(path: Path, *inputs: Path) -> None:
    """Raise an error if write could not write to this path, or if it is one of the inputs or part of a folder."""
    check_output(path, *inputs, else_leave_out="--output for a CSV on standard output")
    check_ending(path)
    for folder in inputs:
        if folder.is_dir() and path.name.lower().endswith(".parquet") and path.resolve().parent == folder.resolve():
            raise ValueError(
                f"The output {str(path)!r} would be a table of the folder {str(folder)!r}: choose another folder."
            )


def write(pieces: Iterator[pd.DataFrame], output: Path | None, stdout: BinaryIO | None = None) -> None:
    """Write pieces of a table, completely or not at all: to a file, as its ending says, or as CSV to stdout."""
    name = "" if output is None else output.name.lower()
    with TemporaryFile() if output is None else replacing(output) as file:
        if name.endswith(PARQUET_ENDINGS):
            _write_parquet(pieces, file)
        else:
            compression: Any = "gzip" if name.endswith(".gz") else None
            layout: Any = {"sep": "\t" if name.endswith((".tsv", ".tsv.gz")) else ",", "lineterminator": "\n"}
            for k, piece in enumerate(pieces):
                layout |= {"header": k == 0, "index": False, "float_format": "%.9g"}
                piece.to_csv(file, compression=compression, mode="wb", **layout)
        if stdout is not None:
            file.seek(0)
            shutil.copyfileobj(file, stdout)
            stdout.flush()


def _write_parquet(pieces: Iterator[pd.DataFrame], file: Any) -> None:
    import pyarrow
    from pyarrow import parquet

    tables = (pyarrow.Table.from_pandas(piece, preserve_index=False) for piece in pieces)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table.cast(first.schema))
