"""Fits of a TableModel to a table that is read piece by piece: a first pass learns, a second one encodes the rows."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from ..streams.row_cache import digest_of_value
from ..tables.features import encode_columns, feature_names, training_rows
from .model import DTYPE, TableModel
from .recipe_fit import make_nets
from .rows import MOST_SEED, EncodedRows, Targets
from .streamed_table import Split, StreamedTable, affordable_share, bytes_in_memory


class TargetsOfPieces(Protocol):
    """Targets of a table that is read piece by piece."""

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


class FirstPass(NamedTuple):
    """What a first pass over a table finds beside columns and targets; values of JSON.

    n_needed : bytes that a fit in memory would take
    class_counts : rows of each class, or None
    """

    n_rows: int
    n_needed: int
    class_counts: list[int] | None


class StreamedFit:
    """Fit of a TableModel to a table that is read piece by piece.

    table : StreamedTable
    fraction : share of the rows that is held out
    """

    def __init__(self, model: TableModel, table: StreamedTable, targets: TargetsOfPieces, fraction: float):
        self._model, self._table, self._targets, self._fraction = model, table, targets, fraction
        self.seed = int(model.generator.randint(MOST_SEED))  # of the sample and the split of rows
        model.seed = int(model.generator.randint(MOST_SEED))

    def learn(self) -> FirstPass:
        """Learn columns and targets from all rows."""
        model = self._model
        summary = self._table.learn(self.seed, self._targets.add)
        sample, targets = self._targets.learn(model, *summary.sample(1.0 - self._fraction))
        model.loss, model.n_outputs = targets.loss, targets.n_outputs
        self.sample = sample, targets.values
        model.set_columns(*summary.fit_columns(sample, model.encoding(targets.values), model.categories))
        width, itemsize = len(feature_names(model.columns)), np.dtype(DTYPE).itemsize
        n_needed = bytes_in_memory(summary, width, itemsize, model.n_outputs)
        return FirstPass(summary.n_rows, n_needed, self._targets.class_counts)

    def encode(self, first: FirstPass) -> EncodedRows:
        """Return the encoded rows after a second pass, which the caller closes."""
        model, dtype, width = self._model, np.dtype(DTYPE), len(feature_names(self._model.columns))
        row_bytes = (width + model.n_outputs) * dtype.itemsize
        share = affordable_share(self._fraction, first.n_rows, row_bytes, self._table.stream.memory_limit)
        counts = None if first.class_counts is None else np.array(first.class_counts)
        settings = {"dtype": DTYPE, "device": "cpu", "loss": model.loss}
        network = make_nets(width, model.n_outputs, model.recipe, settings, 1).network

        def encode(table: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
            table, targets = self._targets.encode(model, table, y)
            return encode_columns(model.columns, training_rows(model.columns, table), DTYPE), targets

        scale = np.asarray(model.mean).tolist(), np.asarray(model.std).tolist()
        content = digest_of_value((model.columns, scale, first.class_counts))
        split = Split(self.seed, share, counts)
        return self._table.encoded(encode, split, first.n_rows, network, dtype, (content,))
