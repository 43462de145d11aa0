"""Summary of a table that is read in pieces: its columns over all rows, and a sample of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .features import FittedColumns, fit_columns
from .number_columns import NumericEncoding
from .training_column import TrainingColumn

if TYPE_CHECKING:
    import pandas as pd

SAMPLED_ROWS, LEAST_SAMPLED = 200_000, 1_000  # rows of the sample: at most, and where memory is short
SAMPLE_SHARE = 0.05  # of the memory limit, for the sample, which is copied while it is drawn and looked at
ROWS_WEIGHED = 1_000  # of each piece, whose bytes say how many all have
KEY_BYTES = 64  # of a row of the sample beside its cells: key, targets, and copies while it is sorted
SLACK = 1.5  # rows that are held, as a multiple of the sample, before those with large keys are dropped


class Moments:
    """Number, mean, standard deviation, minimum and maximum of the rows that `add` was given: Chan et al. 1979.

    >>> moments = Moments()
    >>> moments.add(np.array([1.0, 2.0]))
    >>> moments.add(np.array([6.0]))
    >>> moments.n, float(moments.mean), round(float(moments.std), 3)
    (3, 3.0, 2.16)
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())
        self.low: np.ndarray = np.array(np.inf)
        self.high: np.ndarray = np.array(-np.inf)

    def add(self, values: np.ndarray) -> None:
        """Add rows, float64 (n_rows,) or (n_rows, n_columns), all of the same width and finite."""
        n = len(values)
        if not n:
            return
        mean, total = values.mean(axis=0), self.n + n
        distance = mean - self.mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + distance * distance * (self.n * n / total)
        self.mean = self.mean + distance * (n / total)
        self.n = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self._squares / max(self.n, 1))


class RowSample:
    """Up to n_most rows, each row with the same chance: reservoir sampling by keys.

    Efraimidis and Spirakis 2006, for equal weights. The pieces may be anything that `take` can choose rows of.
    """

    def __init__(self, n_most: int):
        self.n_most = n_most
        self._threshold = 1.0  # rows with larger keys are not among the sample
        self._pieces: list[tuple[Any, ...]] = []
        self._keys = np.zeros(0)

    def add(self, columns: tuple[Any, ...], keys: np.ndarray) -> None:
        """Add rows: parts of them, such as features and targets, each a data frame, series or array."""
        rows = np.flatnonzero(keys < self._threshold)
        if not len(rows):
            return
        self._pieces.append(tuple(take(part, rows) for part in columns))
        self._keys = np.append(self._keys, keys[rows])
        if len(self._keys) > SLACK * self.n_most:
            self._shrink()

    def rows(self, below: float = 1.0) -> tuple[Any, ...]:
        """Return the sampled rows whose keys are below a number, in the order of the table, with their parts."""
        self._shrink()
        return tuple(take(part, np.flatnonzero(self._keys < below)) for part in self._pieces[0])

    def _shrink(self) -> None:
        parts = tuple(joined(list(pieces)) for pieces in zip(*self._pieces, strict=True))
        if len(self._keys) > self.n_most:
            rows = np.sort(np.argpartition(self._keys, self.n_most - 1)[: self.n_most])
            parts, self._keys = tuple(take(part, rows) for part in parts), self._keys[rows]
            self._threshold = float(self._keys.max())
        self._pieces = [parts]


def take(part: Any, rows: np.ndarray) -> Any:
    return part.iloc[rows] if hasattr(part, "iloc") else part[rows]


def joined(pieces: list[Any]) -> Any:
    """Return data frames, series or arrays one below the other."""
    if not hasattr(pieces[0], "iloc"):
        return np.concatenate(pieces)
    import pandas as pd

    return pd.concat(pieces, ignore_index=True)


class TableSummary:
    """Result of a pass over a table: a sample of its rows, and a summary of each column.

    seed : of the sample: of keys from 0 to 1, which depend on the seed and the number of a row alone
    memory_limit : bytes

    n_rows, n_bytes : number of rows of the table, and of its bytes as a data frame
    columns : each column, of all rows
    """

    def __init__(self, seed: int, memory_limit: int):
        self._keys, self._memory_limit = np.random.default_rng(seed), memory_limit
        self._sample: RowSample | None = None
        self.n_rows = self.n_bytes = 0
        self.columns: dict[str, TrainingColumn] = {}

    def add(self, table: pd.DataFrame, targets: Any, place: Callable[[], str] | None = None) -> None:
        """Add rows.

        targets : (n_rows,) or (n_rows, n_outputs)
        place : returns which rows these are, for messages

        Raises
        ------
        ValueError
            If cells cannot be used, as of TrainingColumn.
        """
        n = len(table)
        weighed = table.iloc[:ROWS_WEIGHED].memory_usage(index=False, deep=True).sum() / min(n, ROWS_WEIGHED)
        self.n_rows, self.n_bytes = self.n_rows + n, self.n_bytes + int(n * weighed)
        for name in table.columns:
            self.columns.setdefault(name, TrainingColumn(name)).add(table[name], place)
        if self._sample is None:
            most = int(SAMPLE_SHARE * self._memory_limit / (weighed + KEY_BYTES))
            self._sample = RowSample(min(SAMPLED_ROWS, max(most, LEAST_SAMPLED)))
        self._sample.add((table, targets), self._keys.random(n))

    def sample(self, below: float = 1.0) -> tuple[Any, Any]:
        """Return (table, targets) of rows drawn at random, of those whose keys are below a number."""
        assert self._sample is not None, "the table has rows"
        table, targets = self._sample.rows(below)
        return table, targets

    def fit_columns(self, sample: pd.DataFrame, encoding: NumericEncoding) -> FittedColumns:
        """Return encoders and notes as features.fit_columns does.

        Scales, quantiles and bins are those of the sample; categories and missing cells, of all rows.
        """
        found = fit_columns(sample, encoding, self.columns)
        if found.notes and len(sample) < self.n_rows:
            of_sample = (
                f"Of {self.n_rows:,} rows, {len(sample):,} were drawn for scales, quantiles and bins; cells are those "
                "of all rows."
            )
            return found._replace(notes=(*found.notes, of_sample))
        return found
