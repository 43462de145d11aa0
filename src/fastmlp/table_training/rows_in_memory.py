"""Encoded rows of a table in memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_ROWS = 50_000  # evenly spaced rows of a larger held-out part decide on the temperature and the weights of nets


class Rows(NamedTuple):
    """Encoded rows of a table: features (n_rows, n_features), targets as the nets take them, weights (n_rows,)."""

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Rows:
        return Rows(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def at_most(self, n: int) -> Rows:
        """Return these rows or, of more than n, evenly spaced ones."""
        return self if self.n_rows <= n else self.take(np.linspace(0, self.n_rows - 1, n).astype(np.intp))

    @property
    def n_rows(self) -> int:
        return len(self.X)

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @property
    def n_bytes(self) -> int:
        return sum(array.nbytes for array in self if array is not None)

    def joined(self, other: Rows) -> Rows:
        """Return these rows and others after them; both have weights, or neither."""
        weights = None if self.weights is None else np.concatenate([self.weights, other.weights])  # type: ignore[list-item]
        return Rows(np.concatenate([self.X, other.X]), np.concatenate([self.y, other.y]), weights)


def first_held_out(rows: Rows, folds: np.ndarray) -> tuple[Rows, Rows]:
    """Return (rows to train on, held-out rows), where the first fold is held out; folds : (n_rows,) fold of each row"""
    return rows.take(np.flatnonzero(folds != 0)), rows.take(np.flatnonzero(folds == 0))
