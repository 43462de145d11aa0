"""Warnings of data that can be learned from, but probably by mistake: the target among the inputs, rows in disorder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...interface.user_warnings import warn_user
from ...tables.target_copies import target_copies_note


def warn_of_target_copies(table: Any, y: np.ndarray, given: Any) -> None:
    """Warn if columns of a data frame hold the target.

    y : (n_rows,) or (n_rows, n_outputs), checked
    given : y as the user has passed it, whose names are looked at
    """
    outputs = y.reshape(len(y), -1).T
    names = getattr(given, "columns", [getattr(given, "name", None)] * len(outputs))
    for name, output in zip(names, outputs, strict=True):
        if note := target_copies_note(table, output, None if name is None else str(name)):
            warn_user(note)


def warn_of_other_order(X: Any, others: Mapping[str, Any]) -> None:
    """Warn if targets or weights have the row labels of X in another order, since labels do not matter.

    Labels that X does not have are often those of rows that go together by their position, such as prices of the next
    day.

    others : targets and weights by their names, for messages; all but those of pandas have no labels
    """
    for name, values in others.items():
        if _is_reordered(X, values):
            warn_user(
                f"The rows of {name} should be in the order of those of X, but have their labels in another order, and "
                "labels are not looked at: align them by .loc[X.index], or drop the labels by .to_numpy()."
            )


def _is_reordered(X: Any, values: Any) -> bool:
    """Return whether two objects of pandas have the same distinct row labels, in another order."""
    import pandas as pd

    labels, others = (getattr(of, "index", None) for of in (X, values))
    if not (isinstance(labels, pd.Index) and isinstance(others, pd.Index)) or len(labels) != len(others):
        return False
    if labels is others or labels.equals(others) or not (labels.is_unique and others.is_unique):
        return False
    return bool(others.isin(labels).all())
