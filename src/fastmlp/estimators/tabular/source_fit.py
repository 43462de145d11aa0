"""Fits of tabular estimators to tables that are read piece by piece."""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length

from ...fit.rows import refuse_with_stream
from ...interface.user_warnings import warn_user
from ...streams.row_loading import check_targets_given, closed_after_error
from ...streams.source_kinds import is_name
from ...streams.sources import as_targets_file
from ...streams.table_sources import columns_apart, surely_fits, table_in_memory, targets_in_memory
from ...table_training.encoded_rows import EncodedRows, Targets
from ...table_training.model import TableModel
from ...table_training.streamed_fit import COPIES, StreamedFit
from ...tables.base_column import as_lines
from ..sources import PiecesInMemory, TargetSummary, as_piece, checked_labels, generator_of, refuse_missing
from .checks import warn_of_target_copies, warn_of_targets

NOT_LEARNED = {"net_"}  # attributes of an estimator that the first pass does not set


class SourceFit:
    """A fit of a tabular estimator to a table that is read piece by piece; it is streamed_fit.TargetsOfPieces.

    estimator : BaseTabular
    X, y : as for as_table_source
    validation_data : held-out rows, as for the estimator's fit
    """

    def __init__(self, estimator: Any, X: Any, y: Any, validation_data: Any, memory_limit: int):
        y = as_targets_file(X, y)
        self._estimator, self._X, self._y = estimator, X, y
        self._validation_data, self._limit = validation_data, memory_limit
        self._learner = copy.copy(estimator)  # a fit in memory may still follow, or go on with the nets of the last one
        self._summary, self._is_first = TargetSummary(estimator._is_classifier), True
        self._problems: tuple[str, ...] = ()
        self._fit = StreamedFit(X, y, self, memory_limit)
        self.name = y if isinstance(y, str) else "y"
        self._kept = PiecesInMemory(self._limit // COPIES)

    def rows(self, model: TableModel, others: dict[str, Any]) -> EncodedRows | None:
        """Return the rows as the nets of a model take them, and give the estimator what was learned of columns.

        None if the table fits into memory: `in_memory` then returns it.

        others : {name: value} of parameters that need all rows in memory
        """
        learner, estimator, path = self._learner, self._estimator, self._fit.path
        if path is not None and surely_fits(path, self._limit):
            return None
        generator = model.generator = generator_of(estimator.random_state)
        fraction = 0.0 if self._validation_data is not None else model.recipe.validation_fraction
        model.tell_of_columns = self._keep
        n_needed = self._fit.learn(model, fraction)
        if n_needed <= self._limit:
            return None
        refuse_with_stream(**others)
        self._kept.clear()
        learner.columns_, learner.notes_ = model.columns, model.notes
        found = self._fit.encode()
        with closed_after_error(found):
            if isinstance(estimator.random_state, np.random.RandomState):
                estimator.random_state.set_state(generator.get_state())  # another fit with it draws other numbers
            if self._validation_data is not None:
                found = found._replace(held_out=learner._held_out(self._validation_data))
            elif fraction and found.held_out is None:
                raise ValueError(
                    f"validation_fraction={fraction:g} leaves no row to validate on: raise it, or memory_limit."
                )
            self._tell(found, n_needed)
        return found

    def _keep(self, problems: tuple[str, ...], _: tuple[str, ...]) -> None:
        self._problems = problems

    def _tell(self, found: EncodedRows, n_needed: int) -> None:
        """Give the estimator what was learned, warn of suspect rows of the sample, and say how the table is read."""
        estimator, is_classifier = self._estimator, self._estimator._is_classifier
        vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
        vars(estimator).update({name: value for name, value in vars(self._learner).items() if name not in NOT_LEARNED})
        if self._problems:
            warn_user(as_lines(self._problems, "notes_"))
        table, y = self._fit.drawn
        warn_of_target_copies(table, y, y, is_classifier)
        warn_of_targets(y, is_classifier, y)
        print(self._fit.notice(n_needed, found), file=sys.stderr)

    def in_memory(self) -> tuple[Any, Any]:
        """Return (X, y) in memory."""
        if isinstance(self._X, np.ndarray):
            return self._X, targets_in_memory(self._y)
        if self._fit.path is None:
            return self._kept.joined()
        table = table_in_memory(self._fit.path)
        if not is_name(self._y):
            return table, targets_in_memory(self._y)
        return columns_apart(table, self._y)

    # ---- targets

    def prepare(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        check_targets_given(y, self._is_first)
        X = as_piece(X)
        table = self._learner._table(X, reset=self._is_first)
        refuse_missing(y, self.name)
        with warnings.catch_warnings():  # a small piece may have few rows of each class
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            targets = checked_labels(self._learner._checked_y, y)
        check_consistent_length(table, targets)
        self._is_first = False
        if self._fit.path is None:
            self._kept.add(X, y)
        return table, targets

    def add(self, _: Any, y: np.ndarray) -> None:
        self._summary.add(y)

    def learn(self, model: TableModel, table: Any, y: np.ndarray) -> tuple[Any, Targets]:
        learner, moments = self._learner, self._summary.moments
        learner._set_target_summary(self._summary)
        if not learner._is_classifier:
            model.set_scale(moments.mean, moments.std)
            learner._mean, learner._std = model.mean, model.std
        return table, Targets(learner._encode(y), learner._loss, learner.n_outputs_)

    def encode(self, _: TableModel, table: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        return table, self._learner._encode(y)

    @property
    def class_counts(self) -> list[int] | None:
        counts = self._summary.classes
        return [counts[label] for label in self._learner.classes_.tolist()] if counts else None
