"""Tables of tabular estimators that are read piece by piece, or that have the targets among their columns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, r2_score

from ..errors import counted
from ..streams.row_loading import check_targets_given
from ..streams.source_kinds import is_source
from ..streams.table_sources import as_table_source, columns_apart
from ..tables.table_files import import_pandas
from .array_input import Scores, as_cells, as_frame, as_quantities


def names_target(X: Any, y: Any) -> bool:
    """Return whether y is the name of a column of a data frame in memory."""
    return isinstance(y, str) and hasattr(X, "columns") and not is_source(X)


def target_apart(X: Any, y: str) -> tuple[Any, Any]:
    """Return (the other columns of a data frame, the column that y names)."""
    return columns_apart(as_frame(X), y)


def pieces_with_targets(X: Any, y: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (table or array, targets) of a source, or of a data frame with the column y; other data as they are.

    Raises
    ------
    ValueError
        If there are no rows or no targets, or a target is missing.
    """
    if names_target(X, y):
        table, targets = target_apart(X, y)
        refuse_missing(targets, y)
        yield table, targets
        return
    if not is_source(X):
        yield X, y
        return
    source = as_table_source(X, y)
    is_empty = True
    for piece, targets in source.pieces():
        check_targets_given(targets, is_first=False)
        if len(piece):
            refuse_missing(targets, y if isinstance(y, str) else "y")
            yield as_piece(piece).copy(), copy.copy(targets)  # a source may use its buffers again
            is_empty = False
    if is_empty:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")


def as_piece(X: Any) -> Any:
    """Return a piece of any kind as a pandas DataFrame, or as an array if its columns have no names."""
    frame = as_frame(X)
    return np.asarray(as_cells(X)) if frame is None else frame


# ---- targets


def refuse_missing(y: Any, name: str) -> None:
    """Raise ValueError if a target is missing."""
    missing = np.asarray(import_pandas().isna(y))
    if n_missing := int(missing.reshape(len(missing), -1).any(axis=1).sum()):
        raise ValueError(f"The target {name!r} is missing in {counted(n_missing, 'row')}. Leave such rows out.")


# ---- predictions and scores


def in_pieces(predict: Callable[[Any], np.ndarray], X: Any) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece."""
    source = as_table_source(X)
    found = [predict(piece) for piece, _ in source.pieces() if len(piece)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(found)


class SourceScores(Scores):
    """Scores whose `score` also reads sources piece by piece."""

    predict: Callable[[Any], np.ndarray]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
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

        Raises
        ------
        ValueError
            If there are no targets, or one is missing, or is no number where a number is predicted.
        """
        if not (is_source(X) or names_target(X, y)):
            return super().score(X, y, sample_weight)
        pieces = [(np.asarray(targets), self.predict(piece)) for piece, targets in pieces_with_targets(X, y)]
        y, predicted = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        if isinstance(self, ClassifierMixin):
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        as_quantities(y, self._classifier)
        return float(r2_score(y, predicted, sample_weight=sample_weight))
