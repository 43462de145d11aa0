"""Encoded rows of a table that are in a row file, since they do not fit into memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..api.fit_arguments import FitArguments
from ..api.streamed_fit import StreamArguments, fit_rows
from ..callbacks import as_callbacks
from ..console.stopwatch import Stopwatch
from ..history import History
from ..mlp import MLP
from ..streams.row_file import RowFile
from ..training.time_limit import TimeLimit
from .rows import Rows


class FileRows:
    """Rows as of rows.Rows, but in a file, for nets that are trained one after another.

    file : RowFile
    stream : memory limit of the fits
    """

    weights = None

    def __init__(self, file: RowFile, stream: StreamArguments):
        self.file, self._stream = file, stream._replace(announces=False)

    @property
    def n_rows(self) -> int:
        return self.file.n_samples

    @property
    def n_features(self) -> int:
        return self.file.widths[0]

    def take(self, rows: np.ndarray) -> Rows:
        """Return rows that follow one another, in memory."""
        assert (np.diff(rows) == 1).all(), "the file is read in one piece"
        X, Y = (np.empty((len(rows), width), self.file.dtype) for width in self.file.widths)
        self.file.read(int(rows[0]), X, Y)
        return Rows(X, Y)

    def __len__(self) -> int:
        return self.file.n_samples

    def fit(
        self,
        net: MLP,
        held_out: Any,
        *,
        callbacks: Any = (),
        metrics: Any = (),
        shuffle: bool = True,
        optimizer_state: Any = None,
        **arguments: Any,
    ) -> History:
        """Train a net; arguments are those of MLP.fit, and held_out is its validation_data."""
        assert not metrics, "refused earlier: they need all rows in memory"
        watch, schedule = Stopwatch(), arguments["schedule"]
        found = FitArguments.checked(**{"early_stopping": None, "verbose": 1, **arguments})
        limit = None if found.time_limit is None else TimeLimit(found.time_limit, watch)
        further = shuffle, as_callbacks(callbacks), optimizer_state, (schedule, None), limit, watch
        return fit_rows(net, self.file, found, self._stream, held_out, *further)
