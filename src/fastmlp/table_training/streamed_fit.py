"""Fits of a TableModel to a table that is larger than memory: a first pass learns, a second one encodes the rows."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import place_in_errors
from ..runtime.memory_limits import format_bytes, return_freed_memory
from ..runtime.thread_count import with_threads
from ..streams.row_file import RowFile
from ..streams.row_loading import load
from ..streams.sources import Source
from ..streams.table_sources import as_table_source
from ..tables.base_column import Note, NotesOfPieces
from ..tables.bins import MOST_CLASSES
from ..tables.cells import ANY, numbers_in
from ..tables.features import encode_columns, feature_names
from ..tables.row_sample import RowSample
from .encoded_rows import MOST_SEED, EncodedRows, FileRows, Rows, Targets
from .fits_in_time import make_nets
from .model import DTYPE, TableModel

HELD_OUT_SHARE = 0.1  # of the memory limit, for held-out rows at most
RARE = 16  # rows of a class of which none is held out
ENCODED_BYTES = 8_000_000  # of rows that are encoded at a time: bins make them larger than they are in the table
COPIES = 2  # of the table and of its features that a fit in memory has at a time
SAMPLED_ROWS, LEAST_SAMPLED = 200_000, 1_000  # rows of the sample: at most, and where memory is short
SAMPLE_SHARE = 0.05  # of the memory limit, for the sample, which is copied while it is drawn and looked at
ROWS_WEIGHED = 1_000  # of each piece, whose bytes say how many all have
KEY_BYTES = 64  # of a row of the sample beside its cells: key, targets, and copies while it is sorted

Piece = tuple[Any, Any]  # of rows: (data frame, targets), or both encoded


class StreamedFit(ABC):
    """Fit of a TableModel to a table that is read in pieces, twice. Subclasses know its targets.

    X, y : as for as_table_source
    memory_limit : bytes

    After `learn`:

    drawn : (table, y) of rows that were drawn at random, which columns are learned from
    sample : (table, targets as the nets take them) of these rows
    """

    def __init__(self, model: TableModel, X: Any, y: Any, memory_limit: int):
        self.source = as_table_source(X, y, is_training=True)
        self.path = Path(X) if isinstance(X, (str, os.PathLike)) else None
        self.model, self.memory_limit, self.is_first_pass = model, memory_limit, True
        self.unseen = list[str]()  # sentences on cells that only rows outside of the sample have, after `encode`
        self._n_prepared = 0  # rows of this pass
        self._rows = 0, 0  # first and last row of the present piece

    @abstractmethod
    def prepare(self, X: Any, y: Any) -> Piece:
        """Return (data frame, targets) to learn from, of a frame or array and its targets, after all checks.

        In the first pass, it looks at the targets of all rows.
        """

    @abstractmethod
    def learn_targets(self, table: Any, y: Any) -> tuple[Any, Targets]:
        """Set the model's scale of numbers, and return (rows to learn columns from, their targets).

        table, y : rows that were drawn at random
        """

    @abstractmethod
    def encode_targets(self, table: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return (rows of a piece, their targets as the nets take them)."""

    @property
    @abstractmethod
    def class_counts(self) -> list[int] | None:
        """Rows of each class after the first pass; None for other targets."""

    def no_rows(self) -> ValueError:
        """Return the error for a table without rows to train on."""
        return ValueError(f"X must have at least one sample, but {self.source.kind} has none.")

    def learn(self, fraction: float) -> int:
        """Learn columns and targets, and return how many bytes a fit in memory would take.

        Targets are those of all rows, columns those of a sample.

        fraction : share of the rows that is held out
        """
        model, self._fraction, n_bytes = self.model, fraction, 0
        self._seed = int(model.generator.randint(MOST_SEED))  # of the sample and the split of rows
        model.seed = int(model.generator.randint(MOST_SEED))
        keys, rows = np.random.default_rng(self._seed), None
        for table, y in self._pieces():
            n = len(table)
            weighed = table.iloc[:ROWS_WEIGHED].memory_usage(index=False, deep=True).sum() / min(n, ROWS_WEIGHED)
            n_bytes += int(n * weighed)
            if rows is None:
                most = int(SAMPLE_SHARE * self.memory_limit / (weighed + KEY_BYTES))
                rows = RowSample(min(SAMPLED_ROWS, max(most, LEAST_SAMPLED)))
            rows.add((table, y), keys.random(n))
        if rows is None:
            raise self.no_rows()
        self.is_first_pass, self._n_rows = False, self._n_prepared
        table, y = self.drawn = rows.rows(1.0 - fraction)
        sample, targets = self.learn_targets(table, y)
        self.sample = sample, targets.values
        model.loss, model.n_outputs = targets.loss, targets.n_outputs
        with_threads(1, model.learn_columns, sample, targets.values)  # a fold of the trial of bins takes up to 100 MB
        self._width = len(feature_names(model.columns))
        return_freed_memory()
        of_row = COPIES * self._width * np.dtype(DTYPE).itemsize + 8 * min(model.n_outputs, MOST_CLASSES)
        return COPIES * n_bytes + self._n_rows * of_row

    def encode(self) -> EncodedRows:
        """Return the encoded rows after a second pass, which the caller closes; those to train on may be in a file.

        Raises
        ------
        ValueError
            If the table has changed since the first pass, or no row can be held out.
        """
        model, dtype, limit, counts = self.model, np.dtype(DTYPE), self.memory_limit, self.class_counts
        settings = {"dtype": DTYPE, "device": "cpu", "loss": model.loss}
        network = make_nets(model.n_outputs, settings, self._width, model.seed, model.recipe, 1).network
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
            if self._n_prepared != self._n_rows:
                raise ValueError(
                    f"{self.source.kind} had {self._n_rows:,} rows in the first pass and {self._n_prepared:,} in the "
                    "second. A table that does not fit into memory_limit is read twice: pass something that can be, "
                    "such as a file or a class with a generator as __iter__, or raise memory_limit."
                )

        place = lambda first, last: self.source.rows_shown(*self._rows)  # without those that are held out
        rows = load(Source(self.source.kind, parts, place), network, dtype, limit)
        X, y = map(np.concatenate, zip(*held, strict=True))
        held.clear()
        return_freed_memory()
        training = FileRows(rows, limit) if isinstance(rows, RowFile) else Rows(rows.X, rows.y)
        encoded = EncodedRows(training, Rows(X, y) if len(X) else None)
        if self._fraction and encoded.held_out is None:
            encoded.close()
            raise ValueError(
                f"A validation share of {self._fraction:g} leaves no row to validate on: raise it or the memory limit, "
                "or switch validation off with 0."
            )
        return encoded

    def notice(self, n_needed: int, rows: EncodedRows) -> str:
        """Return the sentence that says how the table is read, and why; n_needed : bytes of a fit in memory"""
        place = "read from disk in each epoch" if isinstance(rows.training, FileRows) else "encoded in memory"
        n_held = 0 if rows.held_out is None else rows.held_out.n_rows
        return (
            f"Reading {self.source.kind} in pieces, since a fit in memory would take about {format_bytes(n_needed)}, "
            f"and memory_limit is {format_bytes(self.memory_limit)}: {rows.training.n_rows:,} rows to train "
            f"on, {place}, and {n_held:,} held out. Columns are learned from {len(self.sample[0]):,} rows, drawn at "
            "random: categories that only others have count as unseen."
        )

    def _encoded_pieces(self, row_bytes: int) -> Iterator[Piece]:
        """Yield the rows encoded, a few at a time; row_bytes : of the features of a row"""
        n, said = max(1, ENCODED_BYTES // row_bytes), NotesOfPieces()
        for table, y in self._pieces():
            for first in range(0, len(table), n):
                with place_in_errors(self.source.rows_shown(*self._rows)):
                    rows = slice(first, first + n)
                    some = (part.iloc[rows] if hasattr(part, "iloc") else part[rows] for part in (table, y))
                    part, targets = self.encode_targets(*some)
                    notes: list[Note] = []
                    X = encode_columns(self.model.columns, part, DTYPE, notes, most_bad=ANY)
                for note in said.of_next(len(part), notes):
                    self.unseen.append(re.sub(r"\b(unseen in|none of) training", r"\1 the sample", note.text))
                yield X, targets

    def _pieces(self) -> Iterator[Piece]:
        """Yield the prepared rows of each piece that has some; an error about them names them."""
        self._n_prepared, last = 0, 0
        for X, y in self.source.pieces():
            self._rows = last, last + len(X)
            last += len(X)
            if not len(X):
                continue
            with place_in_errors(self.source.rows_shown(*self._rows)):
                table, y = self.prepare(X, y)
                for name in table.select_dtypes("number") if self.is_first_pass else ():
                    numbers_in(table[name])  # the error says which rows hold infinity
            self._n_prepared += len(table)
            if len(table):
                yield table, y
