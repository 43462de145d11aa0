"""Targets, predictions and kept pieces of data that estimators read piece by piece."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state

from ..errors import counted
from ..streams.kinds import is_source
from ..streams.table_sources import as_table_source, columns_apart
from ..tables.io import import_pandas
from ..tables.moments import Moments
from ..tables.row_sample import joined
from ..tables.target_encoder import distinct_labels
from .table_input import as_cells, as_frame


def names_target(X: Any, y: Any) -> bool:
    """Return whether y is the name of a column of a data frame in memory."""
    return isinstance(y, str) and hasattr(X, "columns") and not is_source(X)


def target_apart(X: Any, y: str) -> tuple[Any, Any]:
    """Return (the other columns of a data frame, the column that y names)."""
    return columns_apart(as_frame(X), y)


class TargetSummary:
    """Targets of all rows.

    classes : rows by class, of targets in one column of a classifier
    moments : of a regressor
    shape : of the targets of a row, () or (n_outputs,)
    """

    def __init__(self, is_classifier: bool):
        self._is_classifier = is_classifier
        self.classes: Counter[Any] = Counter()
        self.moments = Moments()
        self.shape: tuple[int, ...] = ()
        self._distinct: list[np.ndarray] = []

    def add(self, y: np.ndarray) -> None:
        self.shape = y.shape[1:]
        if self._is_classifier and y.ndim == 1:
            values, codes = distinct_labels(y)
            unseen = [value not in self.classes for value in values.tolist()]
            if any(unseen):
                self._distinct.append(values[unseen])
            self.classes.update(dict(zip(values.tolist(), np.bincount(codes).tolist(), strict=True)))
        elif not self._is_classifier:
            self.moments.add(y.astype(np.float64))

    @property
    def distinct(self) -> np.ndarray:
        """The classes, in an array of the targets' type."""
        return np.concatenate(self._distinct)


class PiecesInMemory:
    """The pieces of a source that can perhaps be read only once, as long as they fit."""

    def __init__(self, n_bytes: int):
        self._n_left, self._pieces = n_bytes, list[tuple[Any, Any]]()

    def add(self, X: Any, y: Any) -> None:
        """Keep a piece; X : pandas DataFrame or array"""
        if self._n_left < 0:
            return
        self._n_left -= X.nbytes if isinstance(X, np.ndarray) else int(X.memory_usage(deep=True).sum())
        self._pieces.append((X.copy(), copy.copy(y)))  # a source may use its arrays again
        if self._n_left < 0:
            self.clear()

    def clear(self) -> None:
        self._pieces.clear()

    def joined(self) -> tuple[Any, Any]:
        X, y = zip(*self._pieces, strict=True)
        return joined(list(X)), joined(list(y))


def checked_labels(check: Callable[[Any], np.ndarray], y: Any) -> np.ndarray:
    """Return what `check` makes of labels; of text in one column, it is called with the distinct ones."""
    array = np.asarray(y)
    if array.ndim > 1 or array.dtype != object:
        return check(y)
    values, codes = distinct_labels(array)
    return check(values)[codes]


def as_piece(X: Any) -> Any:
    """Return a piece of any kind as a pandas DataFrame, or as an array if its columns have no names."""
    frame = as_frame(X)
    return np.asarray(as_cells(X)) if frame is None else frame


def refuse_missing(y: Any, name: str) -> None:
    """Raise ValueError if a target is missing."""
    missing = np.asarray(import_pandas().isna(y))
    if n_missing := int(missing.reshape(len(missing), -1).any(axis=1).sum()):
        raise ValueError(
            f"The target {name!r} is missing in {counted(n_missing, 'row')}. Leave such rows out, or use "
            "`fastmlp train`, which does."
        )


def reads_pieces(X: Any) -> bool:
    """Return whether X is a source to predict for; NumPy's arrays are asked first, since each prediction asks."""
    return type(X) is not np.ndarray and is_source(X)


def in_pieces(predict: Callable[[Any], np.ndarray], X: Any) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece."""
    source = as_table_source(X)
    found = [predict(piece) for piece, _ in source.pieces() if len(piece)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(found)


def generator_of(random_state: Any) -> np.random.RandomState:
    """Return NumPy's own generator for None, or a copy of another one: a fit in memory that may follow then draws the
    same numbers as one to arrays.
    """
    return check_random_state(None) if random_state is None else copy.deepcopy(check_random_state(random_state))


def targets_and_predictions(
    predict: Callable[[Any], np.ndarray], X: Any, y: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (targets, predictions) of the pieces of a source, or of a data frame with the column y."""
    if names_target(X, y):
        X, y = target_apart(X, y)
        yield np.asarray(y), predict(X)
        return
    source = as_table_source(X, y)
    is_empty = True
    for piece, targets in source.pieces():
        if targets is None:
            raise ValueError("y is None, but the source has no targets: name their column, or pass an array.")
        if len(piece):
            yield np.array(targets), predict(piece)  # a copy: a source may use its buffers again
            is_empty = False
    if is_empty:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")


def accuracy_of(pieces: Iterator[tuple[np.ndarray, np.ndarray]], sample_weight: Any) -> float:
    """Return accuracy_score of all (targets, predictions), of which one piece at a time is in memory."""
    weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    right, total, first = 0.0, 0.0, 0
    for y, predicted in pieces:
        of_piece = None if weights is None else weights[first : first + len(y)]
        if weights is not None and len(weights) < first + len(y):
            raise ValueError(f"sample_weight must have a weight for each row, but it has {len(weights):,}.")
        right += float(accuracy_score(y, predicted, sample_weight=of_piece, normalize=False))
        total += len(y) if of_piece is None else of_piece.sum()
        first += len(y)
    if weights is not None and weights.shape != (first,):
        raise ValueError(f"sample_weight must have shape ({first},), but it has shape {weights.shape}.")
    return right / total


class ScoresSources:
    """Mixin whose `score` reads sources piece by piece; other data go to the class after it."""

    predict: Callable[[Any], np.ndarray]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of predicted classes, or the coefficient of determination R2 of predicted numbers.

        For multilabel classification, the accuracy counts samples all of whose labels are right.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            Inputs, as for predict.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs), or str
            Classes or numbers, or the name of a column of X that holds them; None if X is an iterable of pairs (X, y).
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample.

        Returns
        -------
        float
        """
        if reads_pieces(X) or names_target(X, y):
            pieces = targets_and_predictions(self.predict, X, y)
            if is_classifier(self):
                return accuracy_of(pieces, sample_weight)
            y, predicted = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
            return float(r2_score(y, predicted, sample_weight=sample_weight))
        return super().score(X, y, sample_weight)  # type: ignore[misc]
