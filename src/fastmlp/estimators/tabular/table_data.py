"""Tables of a tabular estimator: columns, which are learned in fit, targets, weights, and rows that are held out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_consistent_length, validate_data

from ...data.checked_samples import checked_pair
from ...errors import WrongArgument, counted
from ...interface.user_warnings import warn_user
from ...streams.row_loading import check_targets_given
from ...streams.rows_of_tables import columns_apart
from ...streams.source_kinds import is_source
from ...streams.table_sources import as_table_source
from ...table_training.encoded_rows import Rows
from ...table_training.model import DTYPE
from ...tables.base_column import Column, Note, NotesOfPieces, as_lines
from ...tables.features import encode_columns, feature_names
from ...tables.row_sample import joined
from ...tables.table_files import import_pandas, with_columns, with_text_names
from ..array_input import (
    Fitted,
    Scores,
    as_cells,
    as_frame,
    as_quantities,
    checked_sample_weights,
    frame_of_array,
    missing_targets_named,
    refuse_dates_among_columns,
    refuse_missing_dates,
)


class TableData(Fitted, BaseEstimator):
    """Base class of estimators that take tables: everything that concerns X, y, weights and held-out rows."""

    categorical_features: Any
    columns_: tuple[Column, ...]
    n_outputs_: int
    _loss: str  # of the nets
    _class_weights: np.ndarray | None = None
    _names: list[str]  # of the columns of X at fit
    _codes: Callable[[np.ndarray], np.ndarray]  # numbers of classes, or targets as they are
    _encode: Callable[[np.ndarray], np.ndarray]  # targets as the nets take them
    _is_classifier = False
    _input_tags: ClassVar[tuple[str, ...]] = "allow_nan", "string", "categorical"
    _takes_more_columns = False  # whether a table may have columns that training did not use

    def _table(self, X: Any, reset: bool) -> Any:
        """Return X as a DataFrame whose column names are text.

        reset : whether this is the fit that defines the column names. Otherwise X gets the names of that fit if its own
            are missing or different.
        """
        frame = as_frame(X)
        has_names = not reset and frame is not None and len(frame) > 0 and "feature_names_in_" in self.__dict__
        if has_names and frame.columns.tolist() == self._names:  # scikit-learn's check takes longer
            return frame if self.categorical_features is None else self._with_categories(frame)
        if frame is None:
            array = validate_data(self, as_cells(X), dtype=None, ensure_all_finite="allow-nan", reset=reset)
            table = frame_of_array(array)
        else:
            table = with_text_names(frame, "X")
            if not reset and self._takes_more_columns:
                frame = table = table[[name for name in self._names if name in table.columns]]
            validate_data(self, frame, reset=reset, skip_check_array=True)
            if len(frame) == 0:
                raise ValueError("X has no rows.")
        if reset:
            self._names = list(table.columns)
            self._takes_more_columns = False
        else:
            names = self._names
            if frame is None or set(names) != set(table.columns):  # validate_data has already checked the names
                table = table.set_axis(names, axis=1)
        return table if self.categorical_features is None else self._with_categories(table)

    def _with_categories(self, table: Any) -> Any:
        """Return a table whose columns in categorical_features hold categories."""
        chosen: Any = self.categorical_features
        chosen = [chosen] if isinstance(chosen, str) else chosen
        names = [table.columns[key] if isinstance(key, (int, np.integer)) else str(key) for key in chosen]
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            raise WrongArgument(f"categorical_features names {unknown[0]!r}, which is no column of X.")
        return with_columns(table, {name: table[name].astype("category") for name in names})

    def _features(self, X: Any) -> np.ndarray:
        """Return X encoded as features (n_samples, n_inputs) for the nets."""
        return self._encoded(X, self._net().dtype)

    def _encoded(self, X: Any, dtype: str | np.dtype) -> np.ndarray:
        """Return X encoded as features, and warn of columns in which most cells are of a kind unseen in training."""
        notes: list[Note] = []
        features = encode_columns(self.columns_, self._table(X, reset=False), dtype, notes)
        if serious := [note.text for note in notes if note.is_serious]:
            warn_user(as_lines(serious, "notes_on(X)"))
        return features

    def encoded_feature_names(self) -> list[str]:
        """Return the names of the encoded features that are the inputs of the nets, such as "colour = red".

        Returns
        -------
        list of str
        """
        self._net()
        return feature_names(self.columns_)

    def notes_on(self, X: Any) -> tuple[str, ...]:
        """Return sentences on cells of X of a kind unseen in training: new categories, missing cells, text for numbers.

        predict warns only if most cells of a column are of such a kind; notes_on reports even a single cell.

        Parameters
        ----------
        X : data frame, array_like of shape (n_samples, n_features), path, or source of rows
            The table. Of one that is read in several pieces, there is a sentence on the first piece with such cells.

        Returns
        -------
        tuple of str
        """
        self._net()
        if not is_source(X):
            return tuple(note.text for note in self._notes_on(X))
        said, pieces = NotesOfPieces(), as_table_source(X).pieces()
        notes_of_pieces = [(len(piece), self._notes_on(piece)) for piece, _ in pieces if len(piece)]
        if len(notes_of_pieces) > 1:
            notes_of_pieces = [(n, said.of_next(n, notes)) for n, notes in notes_of_pieces]
        return tuple(note.text for _, notes in notes_of_pieces for note in notes)

    def _notes_on(self, X: Any) -> list[Note]:
        notes: list[Note] = []
        encode_columns(self.columns_, self._table(X, reset=False), self.net_.dtype.name, notes)
        return notes

    # ---- targets, weights and held-out rows

    def _weights(self, table: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Return the weights of samples, multiplied with those of their classes, or None."""
        weights, class_weight = checked_sample_weights(sample_weight, table), getattr(self, "class_weight", None)
        if class_weight is None:
            return weights
        by_class = self._class_weights
        factors = compute_sample_weight(class_weight, y) if by_class is None else by_class[self._encode(y)]
        return factors if weights is None else weights * factors

    def _checked_y(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        refuse_dates_among_columns(y)
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        refuse_missing_dates(array)
        return column_or_1d(array, warn=True) if array.ndim == 2 and array.shape[1] == 1 else array

    def _check_held_out(self, validation_data: Any) -> None:
        """Raise ValueError if validation_data in memory has targets or weights that are no use."""
        X, y, *weights = checked_pair(validation_data)
        if is_source(X) or names_target(X, y):
            return
        with warnings.catch_warnings(), missing_targets_named(y):
            warnings.simplefilter("ignore")  # _held_out will warn
            y = self._checked_y(y)
        check_consistent_length(X, y)
        self._codes(y)
        checked_sample_weights(weights[0] if weights else None, y)

    def _held_out(self, validation_data: Any) -> Rows:
        """Return validation_data encoded for the nets: (features, targets, weights)."""
        X, y, *weights = checked_pair(validation_data)
        parts: list[np.ndarray] = []
        targets: list[Any] = []
        for table, of_table in pieces_with_targets(X, y):
            parts.append(self._encoded(table, DTYPE))
            targets.append(of_table)
        features, y = np.concatenate(parts), self._checked_y(targets[0] if len(targets) == 1 else joined(targets))
        check_consistent_length(features, y)
        return Rows(features, self._encode(y), self._weights(features, y, weights[0] if weights else None))


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
    predictions = [predict(piece) for piece, _ in source.pieces() if len(piece)]
    if not predictions:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(predictions)


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
