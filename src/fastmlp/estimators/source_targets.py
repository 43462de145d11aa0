"""Targets of data that estimators read piece by piece."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ..errors import counted
from ..streams.source_kinds import is_source
from ..streams.table_sources import columns_apart
from ..tables.moments import Moments
from ..tables.table_files import import_pandas
from ..tables.target_encoder import distinct_labels
from .table_input import as_frame


def names_target(X: Any, y: Any) -> bool:
    """Return whether y is the name of a column of a data frame in memory."""
    return isinstance(y, str) and hasattr(X, "columns") and not is_source(X)


def target_apart(X: Any, y: str) -> tuple[Any, Any]:
    """Return (the other columns of a data frame, the column that y names)."""
    return columns_apart(as_frame(X), y)


class TargetSummary:
    """Targets of all rows.

    classes : rows by class, of targets in one column of a classifier
    moments : Moments of a regressor's targets
    shape : shape of the targets of a row, () or (n_outputs,)
    """

    def __init__(self, is_classifier: bool):
        self._is_classifier = is_classifier
        self.classes: Counter[Any] = Counter()
        self.moments = Moments()
        self.shape: tuple[int, ...] = ()
        self._distinct: list[np.ndarray] = []

    def add(self, y: np.ndarray) -> None:
        self.shape = y.shape[1:]
        if self._is_classifier and y.ndim == 1:
            values, codes = distinct_labels(y)
            unseen = [value not in self.classes for value in values.tolist()]
            if any(unseen):
                self._distinct.append(values[unseen])
            self.classes.update(dict(zip(values.tolist(), np.bincount(codes).tolist(), strict=True)))
        elif not self._is_classifier:
            self.moments.add(y.astype(np.float64))

    @property
    def distinct(self) -> np.ndarray:
        """The classes, in an array of the targets' type."""
        return np.concatenate(self._distinct)


def checked_labels(check: Callable[[Any], np.ndarray], y: Any) -> np.ndarray:
    """Return what `check` makes of labels; of text in one column, it is called with the distinct ones."""
    array = np.asarray(y)
    if array.ndim > 1 or array.dtype != object:
        return check(y)
    values, codes = distinct_labels(array)
    return check(values)[codes]


def refuse_missing(y: Any, name: str, or_else: str = ", or use `fastmlp train`, which does") -> None:
    """Raise ValueError if a target is missing; or_else : what else than leaving its row out there is to do"""
    missing = _is_missing(y)
    if n_missing := int(missing.reshape(len(missing), -1).any(axis=1).sum()):
        raise ValueError(
            f"The target {name!r} is missing in {counted(n_missing, 'row')}. Leave such rows out{or_else}."
        )


def _is_missing(y: Any) -> np.ndarray:
    """Return where targets are missing, as an array of bool; pandas need not be installed for arrays of one type."""
    kind = y.dtype.kind if isinstance(y, np.ndarray) else "O"
    if kind in "biuf":
        return np.isnan(y)
    return np.zeros(y.shape, bool) if kind in "US" else np.asarray(import_pandas().isna(y))


def generator_of(random_state: Any) -> np.random.RandomState:
    """Return NumPy's own generator for None, or a copy of another one: a fit in memory that may follow then draws the
    same numbers as one to arrays.
    """
    return check_random_state(None) if random_state is None else copy.deepcopy(check_random_state(random_state))
