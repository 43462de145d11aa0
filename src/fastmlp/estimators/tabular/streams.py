"""Fits of tabular estimators to tables that are read piece by piece."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length

from ...api.stream_arguments import StreamArguments, refuse_with_stream
from ...console.compile_notice import CompileNotices
from ...streams.kinds import is_name
from ...streams.loading import check_targets_given
from ...streams.sources import as_targets_file
from ...streams.table_sources import columns_apart, surely_fits, table_in_memory, targets_in_memory
from ...table_training.fit import make_nets
from ...table_training.recipe import Recipe
from ...table_training.streamed_table import (
    COPIES,
    EncodedRows,
    Split,
    StreamedTable,
    affordable_share,
    bytes_in_memory,
    notice,
)
from ...tables.column_notes import as_lines
from ...tables.columns_to_features import encode_columns, feature_names, training_rows
from ...tables.table_summary import TableSummary
from ...user_warnings import warn_user
from ..interruption import keeping_nets
from ..sklearn_callbacks import ObservedTask
from ..source_targets import PiecesInMemory, TargetSummary, as_piece, checked_labels, generator_of, refuse_missing
from .columns import numeric_encoding_of
from .training import NetsTask, train_nets

NOT_LEARNED = {"net_"}  # attributes of an estimator that the first pass does not set


def seeds_of(generator: np.random.RandomState) -> tuple[int, int]:
    """Return seeds of the sample and split of rows, and of the nets."""
    return int(generator.randint(2**31 - 1)), int(generator.randint(2**31 - 1))


class SourceFit:
    """A fit of a tabular estimator to a table that is read piece by piece.

    estimator : BaseTabular
    X, y : as for as_table_source
    recipe : Recipe of the estimator's nets
    validation_data : held-out rows, as for the estimator's fit
    observed : the fit, for scikit-learn's callbacks
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        recipe: Recipe,
        validation_data: Any,
        stream: StreamArguments,
        observed: ObservedTask,
    ):
        self._observed = observed
        y = as_targets_file(X, y)
        self._estimator, self._X, self._y, self._recipe = estimator, X, y, recipe
        self._validation_data, self._stream = validation_data, stream
        self._learner = copy.copy(estimator)  # a fit in memory may still follow, or go on with the nets of the last one
        self._is_first = True
        self._problems: tuple[str, ...] = ()
        self._table = StreamedTable(X, y, self._prepare, stream)
        self._name = y if isinstance(y, str) else "y"
        self._targets = TargetSummary(is_classifier(estimator))
        self._kept = PiecesInMemory(stream.memory_limit // COPIES)
        generator = generator_of(estimator.random_state)
        self._seed, self._net_seed = seeds_of(generator)

    def run(self, others: dict[str, Any]) -> tuple[Any, Any] | None:
        """Train, and return None; or return (X, y) in memory, if they fit, to train on.

        others : {name: value} of parameters that need all rows in memory
        """
        learner, limit = self._learner, self._stream.memory_limit
        if self._table.path is not None and surely_fits(self._table.path, limit):
            return self._in_memory()
        summary = self._table.learn(self._seed, lambda table, y: self._targets.add(y))
        self._learn(summary)
        width, dtype = len(feature_names(learner.columns_)), np.dtype(learner.dtype)
        n_needed = bytes_in_memory(summary, width, dtype.itemsize, learner.n_outputs_)
        if n_needed <= limit:
            return self._in_memory()
        refuse_with_stream(**others)
        n_rows = summary.n_rows
        del summary  # its sample takes memory
        self._kept.clear()
        row_bytes = (width + learner.n_outputs_) * dtype.itemsize
        share = affordable_share(self._fraction, n_rows, row_bytes, limit)
        split = Split(self._seed, share, self._class_counts())
        settings = {"dtype": learner.dtype, "device": "cpu", **learner._net_settings()}
        network = make_nets(width, learner.n_outputs_, self._recipe, settings, 1).network
        content = learner.columns_, vars(self._targets.moments), dict(self._targets.classes)
        found = self._table.encoded(self._encode, split, n_rows, network, dtype, content)
        try:
            self._train(found, n_needed)
        except BaseException:
            found.close()
            raise
        with keeping_nets():
            found.close()
        return None

    @property
    def _fraction(self) -> float:
        return 0.0 if self._validation_data is not None else self._recipe.validation_fraction

    def _prepare(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Return a piece as (data frame, targets), checked."""
        check_targets_given(y, self._is_first)
        X = as_piece(X)
        table = self._learner._table(X, reset=self._is_first)
        refuse_missing(y, self._name)
        with warnings.catch_warnings():  # a small piece may have few rows of each class
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            targets = checked_labels(self._learner._checked_y, y)
        check_consistent_length(table, targets)
        self._is_first = False
        if self._table.path is None:
            self._kept.add(X, y)
        return table, targets

    def _learn(self, summary: TableSummary) -> None:
        """Set the columns and targets of the learner."""
        learner = self._learner
        learner._set_target_summary(self._targets)
        sample, y = summary.sample(1.0 - self._fraction)
        targets = learner._bin_targets(learner._encode(y))
        encoding = numeric_encoding_of(self._recipe, targets, learner._budget().trial_seconds)
        encoding = replace(encoding, texts=learner._chosen_texts(sample))
        found = summary.fit_columns(sample, encoding, learner._chosen_categories(sample))
        learner._set_columns(*found)
        self._problems = found.notes

    def _encode(self, table: Any, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = self._learner.columns_
        features = encode_columns(columns, training_rows(columns, table), self._learner.dtype)
        return features, self._learner._encode(y)

    def _class_counts(self) -> np.ndarray | None:
        counts = self._targets.classes
        return np.array([counts[label] for label in self._learner.classes_.tolist()]) if counts else None

    def _train(self, found: EncodedRows, n_needed: int) -> None:
        estimator = self._estimator
        if isinstance(estimator.random_state, np.random.RandomState):
            seeds_of(estimator.random_state)  # another fit with the same generator draws others
        if self._validation_data is not None:
            found = found._replace(held_out=self._learner._held_out(self._validation_data))
        elif self._fraction and found.held_out is None:
            raise ValueError(
                f"validation_fraction={self._fraction:g} leaves no row to validate on: raise it, or memory_limit."
            )
        vars(estimator).update({name: value for name, value in vars(self._learner).items() if name not in NOT_LEARNED})
        if self._problems:
            warn_user(as_lines(self._problems, "notes_"))
        print(notice(self._table.source.kind, n_needed, found, self._stream.memory_limit), file=sys.stderr)
        with CompileNotices(True):
            task = NetsTask(
                found.training, found.held_out, None, self._net_seed, False, estimator._budget(), self._observed
            )
            train_nets(estimator, task, self._recipe)
        estimator.net_.preprocessing = estimator._preprocessing(self._name)

    def _in_memory(self) -> tuple[Any, Any]:
        """Return (X, y) in memory."""
        if isinstance(self._X, np.ndarray):
            return self._X, targets_in_memory(self._y)
        if self._table.path is None:
            return self._kept.joined()
        table = table_in_memory(self._table.path)
        if not is_name(self._y):
            return table, targets_in_memory(self._y)
        return columns_apart(table, self._y)
