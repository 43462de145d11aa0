"""Summary of a table that is read in pieces: its columns over all rows, and a sample of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .column_summary import ColumnSummary, some_rows
from .columns_to_features import FittedColumns, fit_columns
from .encoder_choice import NumericEncoding
from .row_sample import RowKeys, RowSample

if TYPE_CHECKING:
    import pandas as pd

SAMPLED_ROWS, LEAST_SAMPLED = 200_000, 1_000  # rows of the sample: at most, and where memory is short
SAMPLE_SHARE = 0.05  # of the memory limit, for the sample, which is copied while it is drawn and looked at
ROWS_WEIGHED = 1_000  # of each piece, whose bytes say how many all have
KEY_BYTES = 64  # of a row of the sample beside its cells: key, targets, and copies while it is sorted


class TableSummary:
    """Result of a pass over a table: a sample of its rows, and a summary of each column.

    seed : seed of the sample
    memory_limit : bytes

    n_rows, n_bytes : number of rows of the table, and of its bytes as a data frame
    columns : a summary of each column
    """

    def __init__(self, seed: int, memory_limit: int):
        self._keys, self._memory_limit = RowKeys(seed), memory_limit
        self._sample: RowSample | None = None
        self.n_rows = self.n_bytes = 0
        self.columns: dict[str, ColumnSummary] = {}

    def add(self, table: pd.DataFrame, targets: Any, place: Callable[[], str] = some_rows) -> None:
        """Add rows.

        targets : (n_rows,) or (n_rows, n_outputs)
        place : returns which rows these are, for messages

        Raises
        ------
        ValueError
            If cells cannot be used, as of ColumnSummary.
        """
        n = len(table)
        weighed = table.iloc[:ROWS_WEIGHED].memory_usage(index=False, deep=True).sum() / min(n, ROWS_WEIGHED)
        self.n_rows, self.n_bytes = self.n_rows + n, self.n_bytes + int(n * weighed)
        for name in table.columns:
            self.columns.setdefault(name, ColumnSummary()).add(table[name], place)
        if self._sample is None:
            most = int(SAMPLE_SHARE * self._memory_limit / (weighed + KEY_BYTES))
            self._sample = RowSample(min(SAMPLED_ROWS, max(most, LEAST_SAMPLED)))
        self._sample.add((table, targets), self._keys.of_next(n))

    def sample(self, below: float = 1.0) -> tuple[Any, Any]:
        """Return (table, targets) of rows drawn at random, of those whose keys are below a number."""
        assert self._sample is not None, "the table has rows"
        table, targets = self._sample.rows(below)
        return table, targets

    def fit_columns(self, sample: pd.DataFrame, encoding: NumericEncoding, chosen: Iterable[str] = ()) -> FittedColumns:
        """Return encoders and notes as columns_to_features.fit_columns does.

        Scales, quantiles and bins are those of the sample; categories and missing cells, of all rows.
        """
        fit = lambda series, encoding: self.columns[series.name].fit(series, encoding)
        found = fit_columns(sample, encoding, chosen, fit)
        if found.notes and len(sample) < self.n_rows:
            of_sample = (
                f"Of {self.n_rows:,} rows, {len(sample):,} were drawn for scales, quantiles and bins; cells are those "
                "of all rows."
            )
            return found._replace(notes=(*found.notes, of_sample))
        return found
