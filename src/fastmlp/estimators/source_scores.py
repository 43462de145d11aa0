"""Predictions and scores of estimators for data that are read piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..streams.source_kinds import is_source
from ..streams.table_sources import as_table_source
from ..tables.cells_of_pieces import CellsOfPieces
from .array_input import missing_targets_named
from .regression_targets import as_quantities
from .source_pieces import pieces_with_targets
from .source_targets import names_target

from sklearn.base import is_classifier  # isort: skip  # after regression_targets: its import names the extra
from sklearn.metrics import accuracy_score, r2_score


def reads_pieces(X: Any) -> bool:
    """Return whether X is a source to predict for; NumPy's arrays are asked first, since each prediction asks."""
    return type(X) is not np.ndarray and is_source(X)


def in_pieces(predict: Callable[[Any], np.ndarray], X: Any) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece."""
    source = as_table_source(X)
    cells = CellsOfPieces()
    found = [cells.counting(predict, piece) for piece, _ in source.pieces() if len(piece)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    cells.check()
    return np.concatenate(found)


def targets_and_predictions(
    predict: Callable[[Any], np.ndarray], X: Any, y: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (targets, predictions) of the pieces of a source, or of a data frame with the column y."""
    cells = CellsOfPieces()
    for piece, targets in pieces_with_targets(X, y):
        yield np.asarray(targets), cells.counting(predict, piece)
    cells.check()


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
    _classifier: str  # of regressors, name of the estimator for classes

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
        if reads_pieces(X) or names_target(X, y):
            pieces = targets_and_predictions(self.predict, X, y)
            if is_classifier(self):
                return accuracy_of(pieces, sample_weight)
            y, predicted = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
            as_quantities(y, self._classifier)
            return float(r2_score(y, predicted, sample_weight=sample_weight))
        if y is None:
            raise ValueError("y is None, but X has no targets: pass them, or name their column.")
        with missing_targets_named(y):
            return super().score(X, y, sample_weight)  # type: ignore[misc]
