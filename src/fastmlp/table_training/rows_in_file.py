"""Encoded rows of a table that are in a row file, since they do not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..api.fit_arguments import FitArguments
from ..api.fit_keywords import MLP_FIT_DEFAULTS, MLPFitKeywords
from ..api.optional_checkpoints import checkpoint_file
from ..api.stream_arguments import StreamArguments, needing_all_rows, refuse_with_stream
from ..api.streamed_fit import fit_population_rows, fit_rows
from ..callbacks import as_callbacks
from ..console.stopwatch import Stopwatch
from ..interface.keywords import completed
from ..mlp import MLP
from ..population import Population
from ..streams.row_file import RowFile
from ..training.time_limit import TimeLimit
from .rows_in_memory import Rows

if TYPE_CHECKING:
    from typing_extensions import Unpack


class FileRows:
    """Rows as of rows_in_memory.Rows, but in a file, for nets that are trained one after another.

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

    def fit(self, nets: MLP | Population, held_out: Any, **keywords: Unpack[MLPFitKeywords]) -> Any:
        """Train an MLP, or the nets of a Population, and return what their fit does.

        The keywords are those of their fit, and held_out is its validation_data.
        """
        watch, given = Stopwatch(), completed(MLP.fit, keywords, MLP_FIT_DEFAULTS)
        refuse_with_stream(**needing_all_rows(given))
        found, shuffle = FitArguments.checked(given), given["shuffle"]
        callbacks, optimizer_state = given["callbacks"], given["optimizer_state"]
        file = checkpoint_file(given, "net" if isinstance(nets, MLP) else "population", found.verbose)
        if isinstance(nets, Population):
            assert not any((callbacks, optimizer_state)), "the fit of a population has none of them"
            assert found.time_limit is None, "nets one after another have a limit each"
            return fit_population_rows(nets, self.file, found, self._stream, held_out, shuffle, file)
        limit = None if found.time_limit is None else TimeLimit(found.time_limit, watch)
        further = as_callbacks(callbacks), optimizer_state, limit, watch, file
        return fit_rows(nets, self.file, found, self._stream, held_out, shuffle, *further)
