"""Predictions of `fastmlp predict` for tables that are larger than its memory limit: read and written in pieces."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from ..runtime.output_files import replacing
from ..streams.memory_limit import checked_memory_limit
from ..streams.table_sources import parquet_frames, surely_fits
from ..tables.base_column import Note
from ..tables.notes import NotesOfPieces
from ..tables.table_files import PARQUET_ENDINGS, check_ending, csv_pieces, with_text_names
from ..tables.tallies import MisfitsOfPieces
from .predict_and_report import as_csv, load_table_net, passed_columns, predictions_beside, present_ids, unused_ids

if TYPE_CHECKING:
    import pandas as pd


def is_large(file: Path, memory_limit: str | None) -> bool:
    """Return whether a table may take more memory than the limit, by the number of its cells; of a folder, always."""
    return (file.is_file() or file.is_dir()) and not surely_fits(file, checked_memory_limit(memory_limit))


def predictions(model: Path, file: Path, device: str, ids: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the predictions for the rows of a table, as predict_and_report.predict returns them, in pieces."""
    net = load_table_net(model, device)
    preprocessing = net.preprocessing
    only_ids = unused_ids(preprocessing, ids)
    wanted: list[str] | None = None
    apart: Iterator[pd.DataFrame] | None = None  # the table again, where an id is an input too: its cells as they are
    said, counted = NotesOfPieces(), MisfitsOfPieces()
    for frame in frames_of(file, preprocessing.text_columns, only_ids):
        if not len(frame):
            continue
        table = with_text_names(frame)
        if wanted is None:
            wanted = present_ids(table, preprocessing, ids)
            if not set(wanted) <= set(only_ids):
                apart = filter(len, frames_of(file, (), wanted))
        notes: list[Note] = []
        X = counted.counting(preprocessing.transform, table, net.dtype.name, notes)
        for note in said.of_next(len(table), notes):
            warnings.warn(note.text, stacklevel=2)
        cells = table if apart is None else with_text_names(next(apart))
        yield predictions_beside(net, X, passed_columns(cells, wanted))
    if wanted is None:
        raise ValueError(f"{str(file)!r} has no rows; a table needs at least one.")
    counted.check()


def frames_of(file: Path, text_columns: Sequence[str], unchanged: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Return an iterator of the pieces of a table; text_columns, unchanged : as for read_table"""
    if file.is_dir() or check_ending(file).endswith(PARQUET_ENDINGS):
        return (frame for frame, _ in parquet_frames(file, unchanged))
    return csv_pieces(file, text_columns, unchanged)


def write_pieces(pieces: Iterator[pd.DataFrame], output: Path | None, stdout: BinaryIO) -> None:
    """Write pieces of a table to a file, or as CSV to stdout: completely or not at all."""
    with TemporaryFile() if output is None else replacing(output) as file:
        name = "" if output is None else output.name.lower()
        if name.endswith(PARQUET_ENDINGS):
            _write_parquet(pieces, file)
        else:
            for k, piece in enumerate(pieces):
                as_csv(piece, file, name, header=k == 0)
        if output is None:
            file.seek(0)
            shutil.copyfileobj(file, stdout)
            stdout.flush()


def _write_parquet(pieces: Iterator[pd.DataFrame], file: Any) -> None:
    import pyarrow
    from pyarrow import parquet

    writer = None
    try:
        for piece in pieces:
            table = pyarrow.Table.from_pandas(piece, preserve_index=False)
            writer = writer or parquet.ParquetWriter(file, table.schema)
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
