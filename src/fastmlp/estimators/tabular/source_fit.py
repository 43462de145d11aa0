"""Fits of tabular estimators to tables that are read piece by piece."""

from __future__ import annotations

import copy
import sys
import warnings
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length

from ...fit.sources import StreamArguments, refuse_with_stream
from ...interface.user_warnings import warn_user
from ...streams.row_cache import KeptValue
from ...streams.row_loading import check_targets_given
from ...streams.source_kinds import is_name
from ...streams.sources import as_targets_file
from ...streams.table_sources import columns_apart, surely_fits, table_in_memory, targets_in_memory
from ...table_training.model import TableModel
from ...table_training.rows import EncodedRows, FileRows, Targets
from ...table_training.streamed_fit import FirstPass, StreamedFit
from ...table_training.streamed_table import COPIES, StreamedTable, notice
from ...tables.notes import as_lines
from ..serialization import learned_by, take_learned
from ..sources import PiecesInMemory, TargetSummary, as_piece, checked_labels, generator_of, refuse_missing

NOT_OF_FIRST_PASS = {"random_state", "max_iter", "verbose"}  # parameters; the seed that the first one gives is
NOT_LEARNED = {"net_"}  # attributes of an estimator that the first pass does not set


class SourceTargets:
    """Targets of an estimator, as of streamed_fit.TargetsOfPieces; learner : an estimator, whose attributes are set"""

    def __init__(self, learner: Any):
        self._learner = learner
        self._summary = TargetSummary(learner._is_classifier)

    def add(self, _: Any, y: np.ndarray) -> None:
        self._summary.add(y)

    def learn(self, model: TableModel, table: Any, y: np.ndarray) -> tuple[Any, Targets]:
        learner, moments = self._learner, self._summary.moments
        learner._set_target_summary(self._summary)
        if not learner._is_classifier:
            model.set_scale(moments.mean, moments.std)
            learner._take_scale(model)
        model.texts, model.categories = learner._chosen_texts(table), learner._chosen_categories(table)
        return table, Targets(learner._encode(y), *learner._kind())

    def encode(self, _: TableModel, table: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        return table, self._learner._encode(y)

    @property
    def class_counts(self) -> list[int] | None:
        counts = self._summary.classes
        return [counts[label] for label in self._learner.classes_.tolist()] if counts else None


class SourceFit:
    """A fit of a tabular estimator to a table that is read piece by piece.

    estimator : BaseTabular
    X, y : as for as_table_source
    validation_data : held-out rows, as for the estimator's fit
    """

    def __init__(self, estimator: Any, X: Any, y: Any, validation_data: Any, stream: StreamArguments):
        y = as_targets_file(X, y)
        self._estimator, self._X, self._y = estimator, X, y
        self._validation_data, self._stream = validation_data, stream
        self._learner = copy.copy(estimator)  # a fit in memory may still follow, or go on with the nets of the last one
        self._is_first = True
        self._problems: tuple[str, ...] = ()
        self._table = StreamedTable(X, y, self._prepare, stream)
        self.name = y if isinstance(y, str) else "y"
        self._kept = PiecesInMemory(stream.memory_limit // COPIES)

    def prepare(self, model: TableModel, others: dict[str, Any]) -> EncodedRows | None:
        """Return the rows as the nets of a model take them, and give the estimator what was learned of columns.

        None if the table fits into memory: `in_memory` then returns it.

        others : {name: value} of parameters that need all rows in memory
        """
        learner, limit = self._learner, self._stream.memory_limit
        if self._table.path is not None and surely_fits(self._table.path, limit):
            return None
        generator = model.generator = generator_of(self._estimator.random_state)
        fraction = 0.0 if self._validation_data is not None else model.recipe.validation_fraction
        fit = StreamedFit(model, self._table, SourceTargets(learner), fraction)
        kept = self._table.kept_value((*self._settings(), fit.seed, fraction, limit))
        first = self._known_pass(kept, model) or self._first_pass(fit, model)
        if first.n_needed <= limit:
            return None
        refuse_with_stream(**others)
        self._kept.clear()
        found = fit.encode(first)
        with ExitStack() as after_error:
            after_error.callback(found.close)
            if kept is not None and isinstance(found.training, FileRows) and found.training.file.is_kept:
                with suppress(TypeError, ValueError):  # classes that JSON does not have
                    kept.write([learned_by(learner), list(self._problems), first])
            if isinstance(self._estimator.random_state, np.random.RandomState):
                self._estimator.random_state.set_state(generator.get_state())  # another fit with it draws other numbers
            found = self._with_held_out(found, fraction)
            self._tell(found, first.n_needed)
            after_error.pop_all()
        return found

    def _first_pass(self, fit: StreamedFit, model: TableModel) -> FirstPass:
        """Learn columns and targets from all rows."""
        learner = self._learner

        def keep(problems: tuple[str, ...], _: tuple[str, ...]) -> None:
            self._problems, learner.columns_, learner.notes_ = problems, model.columns, model.notes

        model.tell_of_columns = keep
        return fit.learn()

    def _settings(self) -> tuple:
        """Return the parameters that a first pass depends on beside the table."""
        estimator = self._estimator
        given = {name: value for name, value in vars(estimator).items() if name in estimator.get_params(deep=False)}
        whole = lambda value: value.tolist() if hasattr(value, "tolist") else value  # pandas shortens its own repr
        settings = sorted((name, whole(value)) for name, value in given.items() if name not in NOT_OF_FIRST_PASS)
        return type(estimator).__name__, settings

    def _known_pass(self, kept: KeptValue | None, model: TableModel) -> FirstPass | None:
        """Return what the first pass of an earlier fit has found, None if nothing is kept, and take it over."""
        if kept is None:
            return None
        learner = self._learner
        try:
            learned, problems, found = kept.read()
            first = FirstPass(*found)
            take_learned(learner, learned)
        except (AttributeError, KeyError, TypeError, ValueError):  # there is none, or it is of another version
            return None
        self._problems, self._is_first = tuple(problems), False
        model.columns, model.notes = learner.columns_, learner.notes_
        model.mean, model.std = getattr(learner, "_mean", 0.0), getattr(learner, "_std", 1.0)
        model.loss, model.n_outputs = learner._kind()
        return first

    def _prepare(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return a piece as (data frame, targets), checked."""
        check_targets_given(y, self._is_first)
        X = as_piece(X)
        table = self._learner._table(X, reset=self._is_first)
        refuse_missing(y, self.name)
        with warnings.catch_warnings():  # a small piece may have few rows of each class
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            targets = checked_labels(self._learner._checked_y, y)
        check_consistent_length(table, targets)
        self._is_first = False
        if self._table.path is None:
            self._kept.add(X, y)
        return table, targets

    def _with_held_out(self, found: EncodedRows, fraction: float) -> EncodedRows:
        if self._validation_data is not None:
            return found._replace(held_out=self._learner._held_out(self._validation_data))
        if fraction and found.held_out is None:
            raise ValueError(
                f"validation_fraction={fraction:g} leaves no row to validate on: raise it, or memory_limit."
            )
        return found

    def _tell(self, found: EncodedRows, n_needed: int) -> None:
        """Give the estimator what was learned, and say how the table is read."""
        estimator = self._estimator
        vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
        vars(estimator).update({name: value for name, value in vars(self._learner).items() if name not in NOT_LEARNED})
        if self._problems:
            warn_user(as_lines(self._problems, "notes_"))
        print(notice(self._table.source.kind, n_needed, found, self._stream.memory_limit), file=sys.stderr)

    def in_memory(self) -> tuple[Any, Any]:
        """Return (X, y) in memory."""
        if isinstance(self._X, np.ndarray):
            return self._X, targets_in_memory(self._y)
        if self._table.path is None:
            return self._kept.joined()
        table = table_in_memory(self._table.path)
        if not is_name(self._y):
            return table, targets_in_memory(self._y)
        return columns_apart(table, self._y)
