"""Targets, predictions and kept pieces of data that estimators read piece by piece."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score

from ..errors import counted
from ..streams.kinds import is_source
from ..streams.table_sources import as_table_source, columns_apart
from ..tables.io import import_pandas
from ..tables.moments import Moments
from ..tables.row_sample import joined
from .table_input import as_frame


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
            values, counts = np.unique(y, return_counts=True)
            unseen = [value not in self.classes for value in values.tolist()]
            if any(unseen):
                self._distinct.append(values[unseen])
            self.classes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
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


def targets_and_predictions(predict: Callable[[Any], np.ndarray], X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (targets, predictions) of all rows of a source, or of a data frame with the column y."""
    if names_target(X, y):
        X, y = target_apart(X, y)
        return np.asarray(y), predict(X)
    source = as_table_source(X, y)
    found = [(np.asarray(targets), predict(piece)) for piece, targets in source.pieces() if len(piece)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    targets, predictions = zip(*found, strict=True)
    if targets[0].ndim == 0:
        raise ValueError("y is None, but the source has no targets: name their column, or pass an array.")
    return np.concatenate(targets), np.concatenate(predictions)


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
            y, predicted = targets_and_predictions(self.predict, X, y)
            metric = accuracy_score if is_classifier(self) else r2_score
            return float(metric(y, predicted, sample_weight=sample_weight))
        return super().score(X, y, sample_weight)  # type: ignore[misc]
