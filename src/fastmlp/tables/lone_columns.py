"""Columns that predict the target alone: the target under another name, or the number of a row in a file sorted by it.

Half of some rows predict the other half. Equal cells have the mean of their targets, and numbers between them are
interpolated; so an id that is different in every row predicts nothing, unless its order is that of the targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .cells import is_plain
from .column_notes import listed

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS, MOST_ROWS, MOST_COLUMNS = 100, 2_000, 2_000  # of the table; more are sampled, or not looked at
MIN_OTHERS = 20  # rows that are not of the most frequent class
MOST_CLASSES = 100
MIN_EXPLAINED = {"classes": 0.98, "numbers": 0.998}  # of the variance of the targets


def explained_alone(x: np.ndarray, Y: np.ndarray, is_ordered: bool = True) -> float:
    """Return the fraction of the variance of targets in held-out rows that a column explains alone.

    x : float64 (n_rows,), with NaN for missing cells, which are predicted by the mean of all targets
    Y : float64 (n_rows, n_outputs), numbers or one-hot classes
    is_ordered : whether numbers between those of other rows are interpolated; if not, they have the mean of all targets

    >>> x = np.arange(200.0)
    >>> explained_alone(x, x[:, None] ** 2) > 0.999, explained_alone(x % 7, x[:, None]) < 0.1
    (True, True)
    """
    fold = np.random.default_rng(0).permutation(len(x)) % 2 == 0
    errors = total = 0.0
    for test in (fold, ~fold):
        train = ~test & ~np.isnan(x)
        centre = Y[~test].mean(axis=0)
        predicted = np.broadcast_to(centre, Y[test].shape).copy()
        if train.any():
            order = np.flatnonzero(train)[np.argsort(x[train], kind="stable")]
            values, first, counts = np.unique(x[order], return_index=True, return_counts=True)
            means = np.add.reduceat(Y[order], first) / counts[:, None]
            right = np.minimum(np.searchsorted(values, x[test]), len(values) - 1)
            left = np.maximum(right - (values[right] > x[test]), 0)
            width = values[right] - values[left]
            share = np.divide(x[test] - values[left], width, out=np.zeros(len(left)), where=width > 0)
            share = np.clip(share, 0.0, 1.0)[:, None]
            known = ~np.isnan(x[test]) if is_ordered else values[right] == x[test]
            predicted[known] = ((1.0 - share) * means[left] + share * means[right])[known]
        errors += ((Y[test] - predicted) ** 2).sum()
        total += ((Y[test] - centre) ** 2).sum()
    return float(1.0 - errors / total) if total > 0 else 0.0


def lone_columns(table: pd.DataFrame, y: np.ndarray, is_classification: bool, others: Iterable[object] = ()) -> list:
    """Return the names of the columns that predict y (nearly) perfectly alone, in rows that they have not learned from.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    others : names of columns that are not looked at
    """
    others = set(others)
    if len(y) < MIN_ROWS or len(set(table.columns) - others) < 2:  # of a single column, nothing else is expected
        return []
    rows = np.sort(np.random.default_rng(1).permutation(len(y))[:MOST_ROWS])
    Y = _targets(y[rows], is_classification)
    if Y is None:
        return []
    least = MIN_EXPLAINED["classes" if is_classification else "numbers"]
    table = table.iloc[rows, :MOST_COLUMNS]
    found = []
    for name in table.columns:
        x = None if name in others else _numbers(table[name])
        if x is not None and explained_alone(x[0], Y, x[1]) >= least:
            found.append(name)
    return found


def lone_columns_note(names: list, called: str = "the target") -> str:
    """Return a sentence on the columns of lone_columns, which calls y what `called` says; "" if there are none."""
    if not names:
        return ""
    if len(names) == 1:
        what, that, is_it = f"The column {names[0]!r} alone predicts", "it", "it is"
    else:
        what, that, is_it = f"Each of the columns {listed(map(repr, names))} alone predicts", "them", "they are"
    return (
        f"{what} {called} (nearly) perfectly, also in rows that were held out: leave {that} out if {is_it} {called} "
        f"under another name, or numbers of rows in an order that depends on {called}."
    )


def _targets(y: np.ndarray, is_classification: bool) -> np.ndarray | None:
    """Return targets as float64 (n_rows, n_outputs), one-hot for classes; None if they say too little."""
    import pandas as pd

    if not is_classification:
        return None if y.dtype.kind not in "biuf" or (y == y[0]).all() else y.astype(np.float64)[:, None]
    codes = pd.factorize(y)[0]
    counts = np.bincount(codes)
    if len(counts) > MOST_CLASSES or len(y) - counts.max() < MIN_OTHERS:
        return None
    return np.eye(len(counts))[codes]


def _numbers(series: pd.Series) -> tuple[np.ndarray, bool] | None:
    """Return (numbers or codes of categories, whether they have an order); None for other kinds of columns."""
    import pandas as pd

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf":
        values = series.to_numpy(np.float64)
        return (values, True) if np.isfinite(values[~np.isnan(values)]).all() else None
    cells = series.dropna()
    if not all(map(is_plain, cells.to_numpy(object))):
        return None
    codes = pd.factorize(series.astype(object))[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes), False
