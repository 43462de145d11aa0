"""Uniform sample of the rows of a table that is read in pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from .table_files import with_columns

SLACK = 1.5  # rows that are held, as a multiple of the sample, before those with large keys are dropped


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
    """Return data frames, series or arrays one below the other; columns of categories stay such."""
    if not hasattr(pieces[0], "iloc"):
        return np.concatenate(pieces)
    import pandas as pd

    whole = pd.concat(pieces, ignore_index=True)  # objects, of categories that differ from piece to piece
    if whole.ndim == 1:
        return whole.astype("category") if hasattr(pieces[0], "cat") else whole
    categories = pieces[0].select_dtypes("category").columns
    return with_columns(whole, {name: whole[name].astype("category") for name in categories})
