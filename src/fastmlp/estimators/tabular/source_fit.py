"""Fits of tabular estimators to tables that are read piece by piece."""

from __future__ import annotations

import copy
import sys
import warnings
from collections import Counter
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from ...fit.rows import refuse_with_stream
from ...interface.user_warnings import warn_user
from ...streams.row_loading import check_targets_given, closed_after_error
from ...streams.rows_of_tables import columns_apart
from ...streams.source_kinds import is_name
from ...streams.sources import as_targets_file
from ...streams.table_sources import surely_fits, table_in_memory, targets_in_memory
from ...table_training.encoded_rows import EncodedRows, Targets
from ...table_training.model import TableModel
from ...table_training.streamed_fit import COPIES, StreamedFit
from ...tables.base_column import as_lines
from ...tables.row_sample import joined
from ...tables.target import distinct_labels
from .checks_and_warnings import warn_of_target_copies, warn_of_targets
from .table_data import as_piece, refuse_missing


class SourceFit(StreamedFit):
    """A fit of a tabular estimator to a table that is read piece by piece.

    estimator : BaseTabular
    X, y : as for as_table_source
    validation_data : held-out rows, as for the estimator's fit
    """

    def __init__(self, estimator: Any, model: TableModel, X: Any, y: Any, validation_data: Any, memory_limit: int):
        y = as_targets_file(X, y)
        super().__init__(model, X, y, memory_limit)
        self._estimator, self._X, self._y, self._validation_data = estimator, X, y, validation_data
        self._learner = copy.copy(estimator)  # a fit in memory may still follow
        self._counts, self._labels = Counter[Any](), list[np.ndarray]()  # of classes: rows, and distinct labels
        self.name = y if isinstance(y, str) else "y"
        # Pieces of a source that can perhaps be read only once, as long as they fit.
        self._kept, self._n_bytes_kept = list[tuple[Any, Any]](), 0

    def rows(self, others: dict[str, Any]) -> EncodedRows | None:
        """Return the rows as the nets of the model take them, and give the estimator what was learned of columns.

        None if the table fits into memory: `in_memory` then returns it.

        others : {name: value} of parameters that need all rows in memory
        """
        learner, estimator, model = self._learner, self._estimator, self.model
        if self.path is not None and surely_fits(self.path, self.memory_limit):
            return None
        given = estimator.random_state  # a copy of a generator: a fit in memory that may follow draws the same numbers
        model.generator = check_random_state(None) if given is None else copy.deepcopy(check_random_state(given))
        fraction = 0.0 if self._validation_data is not None else model.recipe.validation_fraction
        n_needed = self.learn(fraction)
        if n_needed <= self.memory_limit:
            return None
        refuse_with_stream(**others)
        self._kept.clear()
        learner.columns_ = model.columns
        rows = self.encode()
        model.problems, model.notes = (*model.problems, *self.unseen), (*model.notes, *self.unseen)
        learner.notes_ = model.notes
        with closed_after_error(rows):
            if isinstance(given, np.random.RandomState):
                given.set_state(model.generator.get_state())  # another fit with it draws other numbers
            if self._validation_data is not None:
                rows = rows._replace(held_out=learner._held_out(self._validation_data))
            vars(estimator).update(vars(learner))
            if model.problems:
                warn_user(as_lines(model.problems, "notes_"))
            table, y = self.drawn
            warn_of_target_copies(table, y, y, estimator._is_classifier)
            warn_of_targets(y, estimator._is_classifier, y)
            print(self.notice(n_needed, rows), file=sys.stderr)
        return rows

    def in_memory(self) -> tuple[Any, Any]:
        """Return (X, y) in memory."""
        if isinstance(self._X, np.ndarray):
            return self._X, targets_in_memory(self._y)
        if self.path is None:
            X, y = zip(*self._kept, strict=True)
            return joined(list(X)), joined(list(y))
        table = table_in_memory(self.path)
        if not is_name(self._y):
            return table, targets_in_memory(self._y)
        return columns_apart(table, self._y)

    # ---- targets

    def prepare(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        is_first = not self._n_prepared and self.is_first_pass
        check_targets_given(y, is_first)
        X = as_piece(X)
        table = self._learner._table(X, reset=is_first)
        refuse_missing(y, self.name)
        with warnings.catch_warnings():  # a small piece may have few rows of each class
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            targets = self._checked(y)
        check_consistent_length(table, targets)
        if self.is_first_pass:
            self._look_at(X, y, targets)
        return table, targets

    def _checked(self, y: Any) -> np.ndarray:
        """Return checked targets; of text in one column, the check is called with the distinct ones."""
        array, check = np.asarray(y), self._learner._checked_y
        if array.ndim > 1 or array.dtype != object:
            return check(y)
        values, codes = distinct_labels(array)
        return check(values)[codes]

    def _look_at(self, X: Any, y: Any, targets: np.ndarray) -> None:
        """Count the classes of a piece, and keep it while all of them fit into memory."""
        if self._learner._is_classifier and targets.ndim == 1:
            values, codes = distinct_labels(targets)
            self._labels.append(values[[value not in self._counts for value in values.tolist()]])
            self._counts.update(dict(zip(values.tolist(), np.bincount(codes).tolist(), strict=True)))
        if self.path is None and self._n_bytes_kept <= self.memory_limit // COPIES:
            self._n_bytes_kept += X.nbytes if isinstance(X, np.ndarray) else int(X.memory_usage(deep=True).sum())
            self._kept.append((X.copy(), copy.copy(y)))  # a source may use its arrays again
            if self._n_bytes_kept > self.memory_limit // COPIES:
                self._kept.clear()

    def learn_targets(self, table: Any, y: np.ndarray) -> tuple[Any, Targets]:
        learner, model = self._learner, self.model
        learner._set_targets(np.concatenate(self._labels) if self._labels else y)
        if not learner._is_classifier:
            model.learn_scale(y)
            learner._mean, learner._std = model.mean, model.std
        return table, Targets(learner._encode(y), learner._loss, learner.n_outputs_)

    def encode_targets(self, table: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        return table, self._learner._encode(y)

    @property
    def class_counts(self) -> list[int] | None:
        counts = self._counts
        return [counts[label] for label in self._learner.classes_.tolist()] if counts else None
