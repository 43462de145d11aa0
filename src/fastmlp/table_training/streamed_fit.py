"""Fits of a TableModel to a table that is larger than memory: a first pass learns, a second one encodes the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..runtime.memory_limits import format_bytes, return_freed_memory
from ..streams.row_file import RowFile
from ..streams.row_loading import load, rows_named
from ..streams.sources import Source
from ..streams.table_sources import as_table_source
from ..tables.bins import MOST_CLASSES
from ..tables.cells import ANY
from ..tables.features import encode_columns, feature_names
from ..tables.table_summary import TableSummary
from .encoded_rows import MOST_SEED, EncodedRows, FileRows, Rows, Targets
from .model import DTYPE, TableModel
from .recipe_fit import make_nets

HELD_OUT_SHARE = 0.1  # of the memory limit, for held-out rows at most
RARE = 16  # rows of a class of which none is held out
ENCODED_BYTES = 8_000_000  # of rows that are encoded at a time: bins make them larger than they are in the table
COPIES = 2  # of the table and of its features that a fit in memory has at a time

Piece = tuple[Any, Any]  # of rows: (data frame, targets), or both encoded


class TargetsOfPieces(Protocol):
    """Targets of a table that is read piece by piece."""

    def prepare(self, X: Any, y: Any) -> Piece:
        """Return (data frame, targets) to learn from, of a frame or array and its targets, after all checks."""

    def add(self, table: Any, y: Any) -> None:
        """Look at the targets of a piece in the first pass."""

    def learn(self, model: TableModel, table: Any, y: Any) -> tuple[Any, Targets]:
        """Set the model's scale of numbers by all targets, and return (rows to learn columns from, their targets).

        table, y : rows that were drawn at random
        """

    def encode(self, model: TableModel, table: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return (rows of a piece, their targets as the nets take them)."""

    @property
    def class_counts(self) -> list[int] | None:
        """Rows of each class after the first pass; None for other targets."""


class StreamedFit:
    """Fit of a TableModel to a table that is read in pieces, twice.

    X, y : as for as_table_source
    memory_limit : bytes

    After `learn`:

    drawn : (table, y) of rows that were drawn at random, which columns are learned from
    sample : (table, targets as the nets take them) of these rows
    """

    def __init__(self, X: Any, y: Any, targets: TargetsOfPieces, memory_limit: int):
        self.source = as_table_source(X, y, is_training=True)
        self.path = Path(X) if isinstance(X, (str, os.PathLike)) else None
        self._targets, self._memory_limit = targets, memory_limit
        self._n_prepared = 0  # rows of this pass
        self._rows = 0, 0  # first and last row of the present piece

    def learn(self, model: TableModel, fraction: float) -> int:
        """Learn columns and targets from all rows, and return how many bytes a fit in memory would take.

        fraction : share of the rows that is held out
        """
        self._model, self._fraction = model, fraction
        self._seed = int(model.generator.randint(MOST_SEED))  # of the sample and the split of rows
        model.seed = int(model.generator.randint(MOST_SEED))
        summary = TableSummary(self._seed, self._memory_limit)

        def add(table: Any, y: Any) -> Piece:
            self._targets.add(table, y)
            summary.add(table, y, lambda: self.source.rows_shown(*self._rows))
            return table, y

        for _ in self._pieces(add):
            pass
        if not summary.n_rows:
            raise ValueError(f"X must have at least one sample, but {self.source.kind} has none.")
        self._n_rows, self.drawn = summary.n_rows, summary.sample(1.0 - fraction)
        sample, targets = self._targets.learn(model, *self.drawn)
        model.loss, model.n_outputs = targets.loss, targets.n_outputs
        self.sample = sample, targets.values
        model.set_columns(*summary.fit_columns(sample, model.encoding(targets.values)))
        self._width = len(feature_names(model.columns))
        return bytes_in_memory(summary, self._width, np.dtype(DTYPE).itemsize, model.n_outputs)

    def encode(self) -> EncodedRows:
        """Return the encoded rows after a second pass, which the caller closes; those to train on may be in a file.

        Raises
        ------
        ValueError
            If the table has changed since the first pass.
        """
        model, dtype, limit, counts = self._model, np.dtype(DTYPE), self._memory_limit, self._targets.class_counts
        settings = {"dtype": DTYPE, "device": "cpu", "loss": model.loss}
        network = make_nets(self._width, model.n_outputs, model.recipe, settings, 1).network
        row_bytes = (self._width + model.n_outputs) * dtype.itemsize
        share = min(self._fraction, HELD_OUT_SHARE * limit / (row_bytes * self._n_rows))
        is_common = None if counts is None else np.array(counts) >= RARE
        held: list[Piece] = []

        def parts() -> Iterator[Piece]:
            keys = np.random.default_rng(self._seed)  # as in the first pass: those of the sample are below the others
            for X, targets in self._encoded_pieces(self._width * dtype.itemsize):
                is_held = keys.random(len(X)) >= 1.0 - share
                is_held &= True if is_common is None else is_common[targets]
                held.append((X[is_held], targets[is_held]))
                yield X[~is_held], targets[~is_held]
            self._check_unchanged()

        place = lambda first, last: self.source.rows_shown(*self._rows)  # without those that are held out
        rows = load(Source(self.source.kind, parts, place), network, dtype, limit)
        X, y = map(np.concatenate, zip(*held, strict=True))
        held.clear()
        return_freed_memory()
        training = FileRows(rows, limit) if isinstance(rows, RowFile) else Rows(rows.X, rows.y)
        return EncodedRows(training, Rows(X, y) if len(X) else None)

    def notice(self, n_needed: int, rows: EncodedRows) -> str:
        """Return the sentence that says how the table is read, and why; n_needed : bytes of a fit in memory"""
        place = "read from disk in each epoch" if isinstance(rows.training, FileRows) else "encoded in memory"
        n_held = 0 if rows.held_out is None else rows.held_out.n_rows
        return (
            f"Reading {self.source.kind} in pieces, since a fit in memory would take about {format_bytes(n_needed)}, "
            f"and memory_limit is {format_bytes(self._memory_limit)}: {rows.training.n_rows:,} rows to train "
            f"on, {place}, and {n_held:,} held out."
        )

    def _encoded_pieces(self, row_bytes: int) -> Iterator[Piece]:
        """Yield the rows encoded, a few at a time; row_bytes : of the features of a row"""
        n, columns = max(1, ENCODED_BYTES // row_bytes), self._model.columns
        for table, y in self._pieces(lambda table, y: (table, y)):
            for first in range(0, len(table), n):
                with rows_named(self.source, *self._rows):
                    some = _some_rows(table, first, n), _some_rows(y, first, n)
                    part, targets = self._targets.encode(self._model, *some)
                    X = encode_columns(columns, part, DTYPE, most_bad=ANY)
                yield X, targets

    def _pieces(self, use: Callable[[Any, Any], Piece]) -> Iterator[Piece]:
        """Yield what `use` makes of each prepared piece that has rows; an error about them names them."""
        first = self._n_prepared = 0
        for X, y in self.source.pieces():
            n = len(X)
            self._rows = first, first + n
            with rows_named(self.source, *self._rows):
                prepared = self._targets.prepare(X, y) if n else (X, y)
                piece = use(*prepared) if len(prepared[0]) else None
            first, self._n_prepared = first + n, self._n_prepared + len(prepared[0])
            if piece is not None:
                yield piece

    def _check_unchanged(self) -> None:
        """Raise ValueError if there are not as many rows as in the first pass."""
        if self._n_prepared != self._n_rows:
            raise ValueError(
                f"{self.source.kind} had {self._n_rows:,} rows in the first pass and {self._n_prepared:,} in the "
                "second. A table that does not fit into memory_limit is read twice: pass something that can be, such "
                "as a file or a class with a generator as __iter__, or raise memory_limit."
            )


def _some_rows(data: Any, first: int, n: int) -> Any:
    """Return n rows of an array, data frame or series, by position."""
    return data.iloc[first : first + n] if hasattr(data, "iloc") else data[first : first + n]


def bytes_in_memory(summary: TableSummary, n_features: int, itemsize: int, n_outputs: int) -> int:
    """Return how many bytes a fit in memory would need for the table, its features and the targets of bins."""
    of_row = COPIES * n_features * itemsize + 8 * min(n_outputs, MOST_CLASSES)
    return COPIES * summary.n_bytes + summary.n_rows * of_row
