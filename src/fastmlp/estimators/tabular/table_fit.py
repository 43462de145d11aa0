"""Fits of tabular estimators to tables in memory."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from ...console.compile_notice import CompileNotices
from ...interface.user_warnings import warn_user
from ...table_training.recipes import Recipe
from ...table_training.rows_in_memory import Rows
from ...table_training.time_budget import Budget
from ...tables.features import encode_columns, with_numbers
from ..array_input import missing_targets_named
from ..interruption import keeping_nets
from ..sklearn_callbacks import ObservedTask
from .columns import numeric_encoding_of
from .parameter_checks import refuse_without_held_out
from .suspect_data import warn_of_other_order, warn_of_target_copies, warn_of_targets
from .training import NetsTask, folds_of, train_nets
from .tuning import Encodings, TrainingSample, tune_and_train


class GivenData(NamedTuple):
    """Data of a call of fit, before their checks."""

    X: Any
    y: Any
    sample_weight: Any
    validation_data: Any


class Split(NamedTuple):
    """Row numbers of training samples and of held-out samples."""

    training: np.ndarray
    held_out: np.ndarray


class TableFit:
    """A fit of a tabular estimator to a table in memory.

    estimator : BaseTabular
    data : GivenData
    recipe : Recipe of the estimator's nets
    budget : time that the fit may take
    observed : the fit, for scikit-learn's callbacks
    executor : where to train several nets, as for Population.fit, or None
    """

    def __init__(
        self, estimator: Any, data: GivenData, recipe: Recipe, budget: Budget, observed: ObservedTask, executor: Any
    ):
        self._estimator, self._data, self._recipe = estimator, data, recipe
        self._budget, self._observed, self._executor = budget, observed, executor
        self._continues = bool(estimator.warm_start) and estimator.__sklearn_is_fitted__()

    def run(self) -> None:
        """Learn columns and targets, train the nets, and set the estimator's fitted attributes."""
        estimator, data = self._estimator, self._data
        table, y = self._checked()
        generator = check_random_state(estimator.random_state)
        self._choose_folds(len(table))
        split = self._split(y, generator)
        targets, weights = self._encoded_targets(table, y, split.training)
        sample = None
        if not self._continues:
            table, sample = self._learn_columns(table, targets, split.training)
        encode = lambda: self._encoded_rows(table, targets, weights, split)
        rows, held_out = encode()
        folds = folds_of(estimator._strata(y), len(y), self._recipe.n_folds, generator) if self._has_folds else None
        seed = int(generator.randint(2**31 - 1))
        task = NetsTask(rows, held_out, folds, seed, self._continues, self._budget, self._observed, self._executor)
        with CompileNotices(True):
            if sample is None:
                train_nets(estimator, task, self._recipe)
            else:
                tune_and_train(estimator, task, self._recipe, Encodings(estimator, sample, encode))
        with keeping_nets():
            estimator.net_.preprocessing = estimator._preprocessing(str(getattr(data.y, "name", None) or "y"))
            self._observed.end(dict)

    @property
    def _has_folds(self) -> bool:
        return self._recipe.n_folds > 1 and self._data.validation_data is None

    def _checked(self) -> tuple[Any, np.ndarray]:
        """Return (X as a data frame, y), checked."""
        estimator, data = self._estimator, self._data
        table = estimator._table(data.X, reset=not self._continues)
        with missing_targets_named(data.y):
            y = estimator._checked_y(data.y)
        check_consistent_length(table, y)
        if len(table) < 2:
            raise ValueError(f"There is only {len(table)} sample: a net needs two or more to learn from.")
        warn_of_other_order(data.X, {"y": data.y, "sample_weight": data.sample_weight})
        warn_of_target_copies(table, y, data.y, is_classifier(estimator))
        warn_of_targets(y, is_classifier(estimator), data.y)
        return table, y

    def _choose_folds(self, n_rows: int) -> None:
        """Give the nets of a preset folds of their own, and check what goes with folds."""
        estimator, has_held_out = self._estimator, self._data.validation_data is not None
        if estimator.refit and (self._recipe.n_folds > 1 or self._continues or has_held_out):
            raise ValueError(
                "refit=True first trains while some rows of X are held out, and then new nets on all rows. It cannot "
                "be combined with folds, warm_start or validation_data: leave these out, or set refit=False."
            )
        if not estimator.refit:
            self._recipe = self._recipe.with_own_folds(n_rows)
        if self._continues and not has_held_out and not isinstance(estimator.random_state, numbers.Integral):
            drawn, too_good = "held-out rows", "early stopping and calibration"
            if self._has_folds:
                drawn, too_good = "folds", "early stopping, calibration and oof_prediction_"
            warn_user(
                f"warm_start=True goes on with nets whose {drawn} are drawn anew, so that they may have learned from "
                f"rows that are held out now: {too_good} are then too good. Set random_state to a whole number in both "
                f"fits, and the {drawn} of the same table are the same."
            )

    def _split(self, y: np.ndarray, generator: np.random.RandomState) -> Split:
        """Return which rows are held out: none if there are folds or validation_data."""
        is_elsewhere = self._has_folds or self._data.validation_data is not None
        split = Split(*self._estimator._split(y, generator, 0.0 if is_elsewhere else self._recipe.validation_fraction))
        if not is_elsewhere and not len(split.held_out):
            refuse_without_held_out(self._estimator)
        return split

    def _encoded_targets(self, table: Any, y: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Learn the encoding of y and the weights of its classes, check validation_data, and return (targets as the
        nets take them, weights of the rows or None).

        training : row numbers of the training samples, from which the encoding of y is learned
        """
        estimator, data = self._estimator, self._data
        if not self._continues:
            estimator._set_targets(y, training)
        estimator._weigh_classes(y)
        targets, weights = estimator._encode(y), estimator._weights(table, y, data.sample_weight)
        if data.validation_data is not None:
            estimator._check_held_out(data.validation_data)
            X, *others = data.validation_data
            names = "y of validation_data", "sample_weight of validation_data"
            warn_of_other_order(X, dict(zip(names, others, strict=False)))
        return targets, weights

    def _learn_columns(
        self, table: Any, targets: np.ndarray, training: np.ndarray
    ) -> tuple[Any, TrainingSample | None]:
        """Set the estimator's columns, and return (table whose columns of numbers as text are numbers, what columns are
        learned from). Only a search learns again; otherwise this is None, since it is a copy of the table.
        """
        estimator = self._estimator
        table, notes = with_numbers(table)
        sample = TrainingSample(table.iloc[training], notes, estimator._bin_targets(targets[training]))
        encoding = numeric_encoding_of(self._recipe, sample.targets, self._budget.trial_seconds)
        estimator._learn_columns(sample.table, notes, encoding)
        return table, None if estimator.tune is None else sample

    def _encoded_rows(
        self, table: Any, targets: np.ndarray, weights: np.ndarray | None, split: Split
    ) -> tuple[Rows, Rows | None]:
        """Return (rows to train on, held-out rows or None), encoded by the columns that were learned."""
        estimator, data = self._estimator, self._data
        rows = Rows(encode_columns(estimator.columns_, table, estimator.dtype), targets, weights)
        if data.validation_data is not None:
            return rows, estimator._held_out(data.validation_data)
        return (rows.take(split.training), rows.take(split.held_out)) if len(split.held_out) else (rows, None)
