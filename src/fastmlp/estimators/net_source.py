"""Samples of MLPClassifier and MLPRegressor that are read piece by piece."""

from __future__ import annotations

import copy
import sys
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import validate_data

from ..errors import about_arguments
from ..fit.sources import StreamArguments, refuse_with_stream
from ..mlp import MLP
from ..runtime.memory_check import format_bytes
from ..streams.row_cache import KeptValue
from ..streams.row_loading import bytes_to_hold, check_targets_given
from ..streams.source_kinds import is_source
from ..streams.sources import as_targets_file
from ..streams.table_sources import targets_in_memory
from ..table_training.rows import FileRows
from ..table_training.streamed_table import Split, StreamedTable, affordable_share
from .learned_attributes import learned_by, take_learned
from .parameters import dtype_of, follows_input, hidden_sizes, is_iterative
from .single_net import FitData, SplitSamples, make_net
from .sklearn_conventions import poisson_constant
from .sources import PiecesInMemory, TargetSummary, as_piece, generator_of, refuse_missing, target_apart


class NetSource:
    """Samples that an estimator reads piece by piece.

    estimator : MLPClassifier or MLPRegressor
    X, y : as for as_table_source, or a data frame with the name of a column
    limits : memory_limit and row_cache of fit
    is_new : whether the fit does not go on with the net of the last one
    classes : class labels given to partial_fit, or None
    """

    def __init__(self, estimator: Any, X: Any, y: Any, limits: tuple[Any, Any], is_new: bool, classes: Any):
        self._estimator, self._is_new, self._classes = estimator, is_new, classes
        self._X, self._y = X, as_targets_file(X, y)
        self._learner = copy.copy(estimator)  # which keeps the estimator as it was until the data are known to be good
        self._resets, self._is_first = is_new, True
        self._stream = StreamArguments.checked(*limits)
        self._kept = PiecesInMemory(bytes_to_hold(self._stream.memory_limit))
        self._targets = TargetSummary(is_classifier(estimator))
        self._n_rows = 0
        self._has_classes = False  # in one column, that stand for themselves
        self._constant = 0.0  # mean over the samples so far, of the Poisson loss
        self._dtype = None if follows_input(estimator) else dtype_of(estimator)  # in which pieces are kept

    def read(self, incremental: bool, validation_data: Any, **others: Any) -> FitData | tuple[Any, Any]:
        """Return samples to train on: in a file, or (X, y) in memory if they fit.

        incremental : whether one epoch is trained
        others : {name: value} of arguments that need all samples in memory
        """
        if not is_source(self._X):
            return target_apart(self._X, self._y)
        limit = self._stream.memory_limit
        if isinstance(self._X, np.ndarray) and self._X.nbytes <= bytes_to_hold(limit):
            return self._X, targets_in_memory(self._y)
        table = StreamedTable(self._X, self._y, self._prepare, self._stream)
        kept = table.kept_value(self._settings_of_first_pass()) if self._is_new else None
        if kept is None or not self._take(kept.read()):
            self._pass_over(table)
        estimator, learner = self._estimator, self._learner
        net = make_net(learner, (learner.n_features_in_, *hidden_sizes(learner), learner.n_outputs_))
        row_bytes = (net.network.n_features + net.network.n_outputs) * net.dtype.itemsize
        n_needed = row_bytes * self._n_rows
        if n_needed <= bytes_to_hold(limit):
            return self._kept.joined()
        refuse_with_stream(**others, **self._settings_in_memory())
        self._kept.clear()
        holds_out = estimator.early_stopping and not incremental and validation_data is None
        fraction = estimator.validation_fraction if holds_out else 0.0
        share = affordable_share(fraction, self._n_rows, row_bytes, limit)
        found = self._split(table, net, share)
        try:
            if kept is not None and found.samples.X.file.is_kept:
                self._keep(kept, row_bytes)
            if validation_data is not None:
                found = found._replace(held_out=learner._held_out(validation_data))
            elif holds_out and (found.held_out is None or len(found.held_out.X) < 2):
                raise ValueError(
                    f"validation_fraction={fraction:g} leaves no two samples to validate on: raise it, or memory_limit."
                )
        except BaseException:
            found.close()
            raise
        vars(estimator).pop("feature_names_in_", None)  # of an earlier fit
        vars(estimator).update({name: value for name, value in vars(learner).items() if name != "net_"})
        n_held = 0 if found.held_out is None else len(found.held_out.X)
        print(
            f"Reading {len(found.samples.X):,} rows of {table.source.kind} from disk in each epoch, with {n_held:,} "
            f"held out: all would take {format_bytes(n_needed)}, and memory_limit is {format_bytes(limit)}.",
            file=sys.stderr,
        )
        return found

    def _pass_over(self, table: StreamedTable) -> None:
        """Learn from all samples, and keep them as long as they fit into memory."""
        for _ in table.pieces(self._see):
            pass
        if not self._n_rows:
            raise ValueError(f"X must have at least one sample, but {table.source.kind} has none.")
        self._has_classes = bool(self._targets.classes)
        self._learn()

    def _settings_of_first_pass(self) -> tuple:
        """Return what a first pass depends on beside the source."""
        estimator = self._estimator
        dtype = "input" if follows_input(estimator) else dtype_of(estimator).str
        classes = None if self._classes is None else np.asarray(self._classes).tolist()
        return type(estimator).__name__, dtype, estimator.loss, classes

    def _keep(self, kept: KeptValue, row_bytes: int) -> None:
        """Keep what the first pass has found, for _take of a later fit."""
        with suppress(TypeError):  # classes that JSON does not have
            kept.write([learned_by(self._learner), self._n_rows, row_bytes, self._has_classes, self._constant])

    def _take(self, found: Any) -> bool:
        """Take what the first pass of an earlier fit has found; return whether that was done.

        Samples that fit into memory are read in any case.

        found : as _keep has written it, or None
        """
        try:
            learned, n_rows, row_bytes, has_classes, constant = found
            if row_bytes * n_rows <= bytes_to_hold(self._stream.memory_limit):
                return False
            take_learned(self._learner, learned)
        except (AttributeError, KeyError, TypeError, ValueError):  # there is none, or it is of another version
            return False
        self._n_rows, self._has_classes, self._constant = n_rows, has_classes, constant
        self._resets = self._is_first = False
        return True

    def _settings_in_memory(self) -> dict[str, Any]:
        estimator = self._estimator
        return {
            "class_weight": getattr(estimator, "class_weight", None),
            "n_nets above 1": estimator.n_nets > 1,
            f"solver={estimator.solver!r}": not is_iterative(estimator),
        }

    def _prepare(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return a piece as arrays, checked."""
        check_targets_given(y, self._is_first)
        refuse_missing(y, self._y if isinstance(self._y, str) else "y")
        X = as_piece(X)
        if self._is_first and not self._resets:  # what differs from the last fit does in all rows
            with about_arguments():
                validate_data(self._learner, X, reset=False, skip_check_array=True)
        features, targets = self._learner._validated(X, y, reset=self._resets)
        self._resets = self._is_first = False
        # Counted as the features of the net, of which it then holds all if they fit.
        self._kept.add(X.astype(self._dtype) if self._dtype is not None else X, y, features.nbytes)
        return features, targets.ravel() if targets.ndim == 2 and targets.shape[1] == 1 else targets

    def _see(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._n_rows += len(X)
        self._targets.add(y)
        if not is_classifier(self._estimator) and self._estimator.loss == "poisson":
            constant = poisson_constant(y.reshape(len(y), -1).astype(np.float64), None)
            self._constant += (constant - self._constant) * (len(y) / self._n_rows)
        return X, y

    def _learn(self) -> None:
        """Set what the encoding of targets depends on, or check that it is as it was."""
        y = self._targets.distinct if self._targets.classes else np.zeros((2, *self._targets.shape), np.int64)
        if self._is_new:
            self._learner._set_targets(y, self._classes)
        else:
            self._learner._check_targets_unchanged(y)

    def _split(self, table: StreamedTable, net: MLP, share: float) -> FitData:
        """Return the samples to train on in a file and the held-out ones, after a second pass."""
        learner = self._learner
        encode = lambda X, y: (X, learner._encode(y))
        seed = int(generator_of(learner.random_state).randint(2**31 - 1)) if share else 0
        content = tuple(getattr(learner, "classes_", np.zeros(0)).tolist())
        found = table.encoded(encode, Split(seed, share), self._n_rows, net.network, net.dtype, content)
        assert isinstance(found.training, FileRows), "they do not fit into memory"
        held_out = None
        if found.held_out is not None:
            X, targets = found.held_out.X, found.held_out.y
            held_out = SplitSamples(X, self._labels(targets), targets, None)
        return FitData(SplitSamples(found.training, None, None, None), held_out, constant=self._constant)

    def _labels(self, targets: np.ndarray) -> np.ndarray:
        """Return encoded targets as the user's."""
        return self._learner.classes_[targets] if self._has_classes else targets
