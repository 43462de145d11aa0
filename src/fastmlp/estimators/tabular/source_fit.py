"""Fits of tabular estimators to tables that are read piece by piece."""

from __future__ import annotations

import copy
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_consistent_length

from ...api.stream_arguments import StreamArguments, refuse_with_stream
from ...console.compile_notice import CompileNotices
from ...interface.user_warnings import warn_user
from ...streams.row_cache import KeptValue, digest_of_value
from ...streams.row_loading import check_targets_given
from ...streams.source_kinds import is_name
from ...streams.sources import as_targets_file
from ...streams.table_sources import columns_apart, surely_fits, table_in_memory, targets_in_memory
from ...table_training.recipe_fit import make_nets
from ...table_training.recipes import Recipe
from ...table_training.rows_in_file import FileRows
from ...table_training.streamed_table import (
    COPIES,
    EncodedRows,
    Split,
    StreamedTable,
    affordable_share,
    bytes_in_memory,
    notice,
)
from ...tables.features import encode_columns, feature_names, training_rows
from ...tables.notes import as_lines
from ...tables.table_summary import TableSummary
from ..interruption import keeping_nets
from ..learned_attributes import learned_by, take_learned
from ..sklearn_callbacks import ObservedTask
from ..sources import PiecesInMemory, TargetSummary, as_piece, checked_labels, generator_of, refuse_missing
from .columns import numeric_encoding_of
from .training import NetsTask, train_nets

NOT_OF_FIRST_PASS = {"random_state", "max_iter", "verbose"}  # parameters; the seed that the first one gives is
NOT_LEARNED = {"net_"}  # attributes of an estimator that the first pass does not set


def seeds_of(generator: np.random.RandomState) -> tuple[int, int]:
    """Return seeds of the sample and split of rows, and of the nets."""
    return int(generator.randint(2**31 - 1)), int(generator.randint(2**31 - 1))


class FirstPass(NamedTuple):
    """What a first pass over a table finds, beside attributes of the learner; values of JSON.

    n_needed : bytes that a fit in memory would take
    class_counts : rows of each class, or None
    content : digest of all that the encoded rows depend on
    problems : notes to warn of
    """

    n_rows: int
    n_needed: int
    class_counts: list[int] | None
    content: str
    problems: list[str]


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
        kept = self._table.kept_value(self._settings_of_first_pass())
        first = self._known_pass(kept) or self._first_pass()
        n_needed, n_rows = first.n_needed, first.n_rows
        if n_needed <= limit:
            return self._in_memory()
        refuse_with_stream(**others)
        self._kept.clear()
        width, dtype = len(feature_names(learner.columns_)), np.dtype(learner.dtype)
        row_bytes = (width + learner.n_outputs_) * dtype.itemsize
        share = affordable_share(self._fraction, n_rows, row_bytes, limit)
        counts = None if first.class_counts is None else np.array(first.class_counts)
        split = Split(self._seed, share, counts)
        settings = {"dtype": learner.dtype, "device": "cpu", **learner._net_settings()}
        network = make_nets(width, learner.n_outputs_, self._recipe, settings, 1).network
        found = self._table.encoded(self._encode, split, n_rows, network, dtype, (first.content,))
        try:
            if kept is not None and isinstance(found.training, FileRows) and found.training.file.is_kept:
                with suppress(TypeError):  # classes that JSON does not have
                    kept.write([learned_by(learner), first])
            self._train(found, n_needed)
        except BaseException:
            found.close()
            raise
        with keeping_nets():
            found.close()
        return None

    def _first_pass(self) -> FirstPass:
        """Learn columns and targets from all rows."""
        learner = self._learner
        summary = self._table.learn(self._seed, lambda table, y: self._targets.add(y))
        self._learn(summary)
        width, itemsize = len(feature_names(learner.columns_)), np.dtype(learner.dtype).itemsize
        n_needed = bytes_in_memory(summary, width, itemsize, learner.n_outputs_)
        counts = self._targets.classes
        of_classes = [counts[label] for label in learner.classes_.tolist()] if counts else None
        content = digest_of_value((learner.columns_, vars(self._targets.moments), dict(counts)))
        return FirstPass(summary.n_rows, n_needed, of_classes, content, list(self._problems))

    def _settings_of_first_pass(self) -> tuple:
        """Return what a first pass depends on beside the table."""
        estimator = self._estimator
        given = {name: value for name, value in vars(estimator).items() if name in estimator.get_params(deep=False)}
        whole = lambda value: value.tolist() if hasattr(value, "tolist") else value  # pandas shortens its own repr
        settings = sorted((name, whole(value)) for name, value in given.items() if name not in NOT_OF_FIRST_PASS)
        return type(estimator).__name__, settings, self._seed, self._fraction, self._stream.memory_limit

    def _known_pass(self, kept: KeptValue | None) -> FirstPass | None:
        """Return what the first pass of an earlier fit has found, None if nothing is kept, and take it over."""
        if kept is None:
            return None
        try:
            learned, found = kept.read()
            first = FirstPass(*found)
            take_learned(self._learner, learned)
        except (AttributeError, KeyError, TypeError, ValueError):  # there is none, or it is of another version
            return None
        self._problems = tuple(first.problems)
        self._is_first = False
        return first

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
        vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
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
