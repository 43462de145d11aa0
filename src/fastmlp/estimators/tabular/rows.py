"""Rows of the tables of a tabular estimator: their targets and weights, and which are held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from ...streams.source_kinds import is_source
from ...table_training.model import DTYPE
from ...table_training.rows import Rows
from ...tables.cells import MisfitsOfPieces
from ...tables.table_summary import joined
from ..array_input import (
    checked_sample_weights,
    missing_targets_named,
    refuse_dates_among_columns,
    refuse_missing_dates,
)
from ..sources import checked_held_out, names_target, pieces_with_targets


class TableRows:
    """Mixin of tabular estimators: everything that concerns y, weights and held-out rows, whatever the kind of y."""

    _is_classifier = False
    _codes: Callable[[np.ndarray], np.ndarray]
    _encode: Callable[[np.ndarray], np.ndarray]
    _encoded: Callable[[Any, Any], np.ndarray]

    def _weights(self, table: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        return checked_sample_weights(sample_weight, table)

    def _weigh_classes(self, y: np.ndarray) -> None:
        """Set the weights of the classes from class_weight and y. A regressor has none."""

    def _checked_y(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        refuse_dates_among_columns(y)
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        refuse_missing_dates(array)
        return column_or_1d(array, warn=True) if array.ndim == 2 and array.shape[1] == 1 else array

    def _check_held_out(self, validation_data: Any) -> None:
        """Raise ValueError if validation_data in memory has targets or weights that are no use."""
        X, y, *weights = checked_held_out(validation_data)
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
        X, y, *weights = checked_held_out(validation_data)
        parts: list[np.ndarray] = []
        targets: list[Any] = []
        cells = MisfitsOfPieces()
        for table, of_table in pieces_with_targets(X, y):
            parts.append(cells.counting(self._encoded, table, DTYPE))
            targets.append(of_table)
        cells.check()
        features, y = np.concatenate(parts), self._checked_y(targets[0] if len(targets) == 1 else joined(targets))
        check_consistent_length(features, y)
        return Rows(features, self._encode(y), self._weights(features, y, weights[0] if weights else None))
