"""Encoded rows of a table, in memory or in a file, and their split into rows to train on and held-out ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..streams.row_file import RowFile

MOST_SEED = 2**31 - 1  # of seeds that are drawn


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


class Targets(NamedTuple):
    """Targets of the rows of a table.

    values : class numbers (n_rows,), 0 and 1 (n_rows, n_labels), or numbers (n_rows,) or (n_rows, n_outputs)
    loss : of the nets: OF_CLASSES, OF_LABELS or OF_NUMBERS
    n_outputs : number of classes, labels or numbers of a row
    """

    values: np.ndarray
    loss: str
    n_outputs: int


class FileRows(NamedTuple):
    """Rows as of Rows, but in a file, for nets that are trained one after another.

    memory_limit : int     bytes, of the fits
    """

    file: RowFile
    memory_limit: int
    weights: None = None

    def take(self, rows: np.ndarray) -> Rows:
        """Return rows that follow one another, in memory."""
        assert (np.diff(rows) == 1).all(), "the file is read in one piece"
        X, Y = (np.empty((len(rows), width), self.file.dtype) for width in self.file.widths)
        self.file.read(int(rows[0]), X, Y)
        return Rows(X, Y)

    @property
    def n_rows(self) -> int:
        return self.file.n_samples

    @property
    def n_features(self) -> int:
        return self.file.widths[0]


class EncodedRows(NamedTuple):
    """Rows as the nets take them: those to train on, held-out ones in memory or None, and the fold of each row.

    training : Rows, or FileRows without folds
    folds : (n_rows,) fold of each row to train on, or None if rows are held out otherwise
    """

    training: Any
    held_out: Rows | None = None
    folds: np.ndarray | None = None

    def close(self) -> None:
        if isinstance(self.training, FileRows):
            self.training.file.close()

    def without(self, fold: int) -> EncodedRows:
        """Return the rows with those of a fold as held-out ones, and without folds; these rows if there are none."""
        if self.folds is None:
            return self
        is_held = self.folds == fold
        return EncodedRows(self.training.take(np.flatnonzero(~is_held)), self.training.take(np.flatnonzero(is_held)))


def held_out_rows(
    classes: np.ndarray | None, n_rows: int, fraction: float, generator: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return (row numbers to train on, row numbers that are held out), ascending.

    Each class has about the same share of both parts, if each class can have a row in both. The draws are those of
    scikit-learn's train_test_split, which need not be installed.

    classes : (n_rows,) class number of each row, or None
    fraction : share of the rows that is held out; with 0, nothing is drawn
    """
    rows = np.arange(n_rows)
    if fraction == 0.0:
        return rows, rows[:0]
    n_held = min(max(1, round(fraction * n_rows)), n_rows - 1)
    counts = np.ones(1, int) if classes is None else np.unique(classes, return_counts=True)[1]
    if classes is None or counts.min() < 2 or len(counts) > min(n_held, n_rows - n_held):
        order = generator.permutation(n_rows)
        return np.sort(order[n_held:]), np.sort(order[:n_held])
    n_training = _shares(counts, n_rows - n_held, generator)
    n_held_each = _shares(counts - n_training, n_held, generator)
    training, held = [], []
    of_classes = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])
    for of_class, n, n_held in zip(of_classes, n_training, n_held_each, strict=True):
        permuted = of_class[generator.permutation(len(of_class))]
        training.append(permuted[:n])
        held.append(permuted[n : n + n_held])
    # Permuted once more although they are sorted then, so that what is drawn next is the same, too.
    parts = [generator.permutation(np.concatenate(part)) for part in (training, held)]
    return np.sort(parts[0]), np.sort(parts[1])


def _shares(counts: np.ndarray, n: int, generator: np.random.RandomState) -> np.ndarray:
    """Return how many of n rows are of each class, in proportion to the counts; of equal remainders, some are drawn."""
    exact = counts / counts.sum() * n
    shares = np.floor(exact)
    n_left, remainders = int(n - shares.sum()), exact - shares
    while n_left > 0:
        tied = np.flatnonzero(remainders == remainders.max())
        drawn = generator.choice(tied, size=min(len(tied), n_left), replace=False)
        shares[drawn] += 1
        remainders[tied] = -1.0
        n_left -= len(drawn)
    return shares.astype(int)


def fold_numbers(classes: np.ndarray | None, n_rows: int, n_folds: int, generator: np.random.RandomState) -> np.ndarray:
    """Return the fold of each row, int64 (n_rows,): at random, in equal parts, also of each class.

    classes : (n_rows,) class number of each row, or None

    Raises
    ------
    ValueError
        If there are fewer rows than folds.

    >>> counts = np.bincount(fold_numbers(None, 7, 3, np.random.RandomState(0)))
    >>> sorted(counts.tolist())
    [2, 2, 3]
    """
    if n_rows < n_folds:
        raise ValueError(f"n_folds is {n_folds}, but there are only {n_rows} rows: each fold needs one.")
    order = np.random.default_rng(int(generator.randint(MOST_SEED))).permutation(n_rows)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    folds = np.empty(n_rows, np.int64)
    folds[order] = np.arange(n_rows) % n_folds
    return folds
