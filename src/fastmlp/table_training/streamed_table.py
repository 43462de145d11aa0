"""Tables that are larger than memory: a first pass learns columns and targets, a second one encodes the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..fit.sources import StreamArguments
from ..network.spec import Network
from ..runtime.memory_check import format_bytes
from ..streams.file_identity import stamps_of
from ..streams.memory_limit import return_freed_memory
from ..streams.row_cache import KeptValue
from ..streams.row_file import RowFile
from ..streams.row_loading import closed_after_error, load, rows_named
from ..streams.sources import Source, as_targets_file
from ..streams.table_sources import as_table_source
from ..tables.bins import MOST_CLASSES
from ..tables.table_summary import RowKeys, TableSummary
from .rows import EncodedRows, FileRows, Rows

HELD_OUT_SHARE = 0.1  # of the memory limit, for held-out rows at most
RARE = 16  # rows of a class of which none is held out
ENCODED_BYTES = 8_000_000  # of rows that are encoded at a time: bins make them larger than they are in the table
COPIES = 2  # of the table and of its features that a fit in memory has at a time

Piece = tuple[Any, Any]  # of rows: (data frame, targets), or both encoded


class Split(NamedTuple):
    """Split of a table into training rows and held-out rows.

    seed : seed of the random keys of rows; the rows with the largest keys are held out
    share : fraction of the rows
    class_counts : (n_classes,) rows of each class, or None; of a rare class, no row is held out
    """

    seed: int
    share: float
    class_counts: np.ndarray | None = None

    def held_out(self, keys: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return bool (n_rows,); targets : encoded, class numbers (n_rows,) if class_counts are given"""
        held = keys >= 1.0 - self.share
        return held if self.class_counts is None else held & (self.class_counts[targets] >= RARE)


class StreamedTable:
    """A table that is read in pieces, twice.

    X, y : as for as_table_source
    prepare : function (frame or array, targets) that returns (data frame, targets) to learn from, after its checks
    stream : memory limit, and folder for row files that are kept
    """

    def __init__(self, X: Any, y: Any, prepare: Callable[[Any, Any], Piece], stream: StreamArguments):
        self.source = as_table_source(X, y, is_training=True)
        self.path = Path(X) if isinstance(X, (str, os.PathLike)) else None
        files = [Path(file) for file in (self.path, as_targets_file(X, y)) if isinstance(file, os.PathLike)]
        self._stamps = {file: stamps_of(file) for file in files}
        self._prepare, self.stream = prepare, stream
        self._n_prepared = 0  # rows of this pass
        self._rows = 0, 0  # first and last row of the present piece

    def kept_value(self, key: tuple) -> KeptValue | None:
        """Return the place of what a first pass finds, in the row cache; None where none is kept.

        key : what it depends on beside the source
        """
        from .. import __version__  # found out at its first use

        cache, known = self.stream.row_cache, self.source.identity
        return None if cache is None or known is None else KeptValue(cache, ("first pass", __version__, known(), key))

    def learn(self, seed: int, see: Callable[[Any, Any], None]) -> TableSummary:
        """Return what a first pass finds.

        seed : seed of the sample of rows
        see : called with each piece, prepared
        """
        summary = TableSummary(seed, self.stream.memory_limit)

        def add(table: Any, y: Any) -> Piece:
            see(table, y)
            summary.add(table, y, lambda: self.source.rows_shown(*self._rows))
            return table, y

        for _ in self.pieces(add):
            pass
        if not summary.n_rows:
            raise ValueError(f"X must have at least one sample, but {self.source.kind} has none.")
        return summary

    def encoded(
        self,
        encode: Callable[[Any, Any], Piece],
        split: Split,
        n_rows: int,
        network: Network,
        dtype: np.dtype,
        content: tuple,
    ) -> EncodedRows:
        """Return the encoded rows after a second pass; those to train on are in memory if they fit.

        encode : function (data frame, targets) that returns (features, targets) as the nets take them
        n_rows : rows of the first pass
        network, dtype : Network and dtype of the nets
        content : what the encoded rows depend on beside the source, for the name of a row file that is kept

        Raises
        ------
        ValueError
            If the table has changed since the first pass.
        """
        held: list[tuple[np.ndarray, np.ndarray]] = []

        def parts() -> Iterator[Piece]:
            keys = RowKeys(split.seed)
            for X, targets in self._encoded_pieces(encode, network.n_features * dtype.itemsize):
                is_held = split.held_out(keys.of_next(len(X)), targets)
                held.append((X[is_held], targets[is_held]))
                yield X[~is_held], targets[~is_held]
            self._check_unchanged(n_rows)

        known = self.source.identity
        identity = None if known is None else lambda: (*known(), *content, split.seed, split.share)
        place = lambda first, last: self.source.rows_shown(*self._rows)  # without those that are held out
        source = Source(self.source.kind, parts, identity, place)
        join = lambda: _joined(held)
        limit, row_cache = self.stream.memory_limit, self.stream.row_cache
        rows = load(source, network, dtype, limit, row_cache, held_out=join if split.share else None)
        if not held and isinstance(rows, RowFile):  # it is one of an earlier fit
            if not split.share:
                return EncodedRows(FileRows(rows, self.stream))
            with closed_after_error(rows):
                if (kept := rows.held_out()) is not None:
                    held.append(kept)
                else:
                    for _ in parts():
                        pass
        X, y = join()
        held.clear()
        return_freed_memory()
        training = FileRows(rows, self.stream) if isinstance(rows, RowFile) else Rows(rows.X, rows.y)
        return EncodedRows(training, Rows(X, y) if len(X) else None)

    def _encoded_pieces(self, encode: Callable[[Any, Any], Piece], row_bytes: int) -> Iterator[Piece]:
        """Yield the rows encoded, a few at a time; row_bytes : of the features of a row"""
        n = max(1, ENCODED_BYTES // row_bytes)
        for table, y in self.pieces(lambda table, y: (table, y)):
            for first in range(0, len(table), n):
                with rows_named(self.source, *self._rows):
                    piece = encode(_some_rows(table, first, n), _some_rows(y, first, n))
                yield piece

    def pieces(self, use: Callable[[Any, Any], Piece]) -> Iterator[Piece]:
        """Yield what `use` makes of each piece that has rows; an error about them names them."""
        first = self._n_prepared = 0
        for X, y in self.source.pieces():
            n = len(X)
            self._rows = first, first + n
            with rows_named(self.source, *self._rows):
                prepared = self._prepare(X, y) if n else (X, y)
                piece = use(*prepared) if len(prepared[0]) else None
            first, self._n_prepared = first + n, self._n_prepared + len(prepared[0])
            if piece is not None:
                yield piece

    def _check_unchanged(self, n_expected: int) -> None:
        """Raise ValueError if the table, or a file of targets beside it, is not what it was.

        n_expected : rows of the first pass
        """
        kind, n_rows = self.source.kind, self._n_prepared
        for file, stamps in self._stamps.items():
            if stamps_of(file) != stamps:
                raise ValueError(f"{str(file)!r} has changed while it was read. Try again when it is complete.")
        if n_rows != n_expected:
            raise ValueError(
                f"{kind} had {n_expected:,} rows in the first pass and {n_rows:,} in the second. A table that does not "
                "fit into memory_limit is read twice: pass something that can be, such as a file or a class with a "
                "generator as __iter__, or raise memory_limit."
            )


def _joined(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    X, y = zip(*pieces, strict=True)
    return np.concatenate(X), np.concatenate(y)


def _some_rows(data: Any, first: int, n: int) -> Any:
    """Return n rows of an array, data frame or series, by position."""
    return data.iloc[first : first + n] if hasattr(data, "iloc") else data[first : first + n]


def bytes_in_memory(summary: TableSummary, n_features: int, itemsize: int, n_outputs: int) -> int:
    """Return how many bytes a fit in memory would need for the table, its features and the targets of bins."""
    of_row = COPIES * n_features * itemsize + 8 * min(n_outputs, MOST_CLASSES)
    return COPIES * summary.n_bytes + summary.n_rows * of_row


def affordable_share(fraction: float, n_rows: int, row_bytes: int, memory_limit: int) -> float:
    """Return the fraction of the rows to hold out: `fraction`, or less where these would take too much memory."""
    return min(fraction, HELD_OUT_SHARE * memory_limit / (row_bytes * n_rows))


def notice(kind: str, n_needed: int, rows: EncodedRows, limit: int) -> str:
    """Return the sentence that says how a table is read, and why."""
    place = "read from disk in each epoch" if isinstance(rows.training, FileRows) else "encoded in memory"
    n_held = 0 if rows.held_out is None else rows.held_out.n_rows
    return (
        f"Reading {kind} in pieces, since a fit in memory would take about {format_bytes(n_needed)}, and memory_limit "
        f"is {format_bytes(limit)}: {rows.training.n_rows:,} rows to train on, {place}, and {n_held:,} held out."
    )
