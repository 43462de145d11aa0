"""Tables of tabular estimators: of other libraries, of arrays, and those that are read piece by piece, with targets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, r2_score

from ..errors import counted, install_command
from ..streams.row_loading import check_targets_given
from ..streams.source_kinds import is_source
from ..streams.table_sources import as_table_source, columns_apart
from ..tables.table_files import import_pandas
from .array_input import Scores, as_quantities

# ---- tables in memory


def as_frame(X: Any) -> Any:
    """Return a table as a pandas DataFrame, or None if X has no named columns, as arrays.

    X : a table of pandas, polars, Arrow or another library that converts to pandas, or a list of dictionaries

    Raises
    ------
    ImportError
        If X is no array of NumPy and pandas is not installed, or pyarrow where the table needs it.
    ValueError
        If the rows are not computed yet, as in polars' LazyFrame.
    """
    if isinstance(X, np.ndarray):
        return None
    pandas = import_pandas()
    if isinstance(X, pandas.DataFrame):
        return X
    if isinstance(X, (list, tuple)):
        return pandas.DataFrame(list(X)) if X and all(isinstance(row, Mapping) for row in X) else None
    if getattr(X, "ndim", 2) == 1:
        return None
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise ValueError(f"X is a {type(X).__name__}, whose rows are not computed yet: pass X.collect().")
    if hasattr(X, "to_pandas"):
        frame = X.to_pandas()
        return frame if isinstance(frame, pandas.DataFrame) else None
    if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__"):
        try:
            import pyarrow
        except ImportError:
            raise ImportError(f"A {type(X).__name__} needs pyarrow: {install_command('table')}.") from None
        return pyarrow.table(X).to_pandas()
    return None


def as_cells(X: Any) -> Any:
    """Return a list of rows as an array whose cells keep their types.

    NumPy alone would convert numbers to text if any other cell is text. X of another type is returned unchanged.
    """
    if not isinstance(X, (list, tuple)):
        return X
    try:
        array = np.asarray(X)
    except ValueError:  # rows of different lengths: scikit-learn raises a clear error later
        return X
    return np.array(X, dtype=object) if array.dtype.kind in "US" else array


def frame_of_array(array: np.ndarray) -> Any:
    """Return an array as a DataFrame whose columns have the types of their cells, and column numbers as text names."""
    frame = import_pandas().DataFrame(array)
    if array.dtype == object:
        frame = frame.infer_objects()
    return frame.rename(columns=str)


# ---- tables that are read piece by piece, or that have the targets among their columns


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
