"""Columns of the inputs that hold the target: the same cells, or cells that predict it alone.

They are the target under another name, or numbers of rows in a file sorted by it; nets learn nothing from the other
columns beside them. To predict alone, half of some rows predict the other half. Equal cells have the mean of their
targets, and numbers between them are interpolated; so an id that is different in every row predicts nothing, unless its
order is that of the targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .cells import is_plain, listed

if TYPE_CHECKING:
    import pandas as pd

LEAST_ROWS_OF_COPIES = 30  # of fewer, a column may equal the target by chance
LOOKED_AT = 64  # rows that are compared first: all rows are only where these are equal
MIN_ROWS, MOST_ROWS, MOST_COLUMNS = 100, 2_000, 2_000  # of the table; more are sampled, or not looked at
MIN_OTHERS = 20  # rows that are not of the most frequent class
MOST_CLASSES = 100
MIN_EXPLAINED = {"classes": 0.98, "numbers": 0.998}  # of the variance of the targets


def target_leaks_note(
    table: pd.DataFrame, y: np.ndarray, is_classification: bool, without: object = None, called: str = "the target"
) -> str:
    """Return a sentence on columns that equal the target in every row, or else predict it alone; "" if there are none.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    without : name of a column that is not looked at
    called : what y is called

    >>> import pandas as pd
    >>> price = np.arange(1.0, 31.0)
    >>> target_leaks_note(pd.DataFrame({"cost": price, "area": price % 7}), price, False)
    "The inputs should not hold the target, but 'cost' equals it in every row: leave such columns out."
    """
    others = [name for name in table.columns if name != without]
    if copies := target_copies(table[others], y):
        equal = f"{listed(map(repr, copies))} equal{'s' if len(copies) == 1 else ''} it in every row"
        return f"The inputs should not hold {called}, but {equal}: leave such columns out."
    names = lone_columns(table[others], y, is_classification)
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


def target_copies(table: pd.DataFrame, y: np.ndarray) -> list[str]:
    """Return the names of the columns that equal y in every row."""
    if len(y) < LEAST_ROWS_OF_COPIES or (y == y[0]).all():
        return []
    y = y if y.dtype.kind in "biuf" else y.astype(object)
    begins = [name for name in table.columns if _are_equal(table[name].iloc[:LOOKED_AT], y[:LOOKED_AT])]
    return [name for name in begins if _are_equal(table[name], y)]


def _are_equal(series: pd.Series, y: np.ndarray) -> bool:
    """Return whether all cells are numbers, text, true or false, and equal to y."""
    is_number = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
    cells = series.to_numpy() if is_number else series.to_numpy(object)
    return bool((cells == y).all()) if is_number or all(map(is_plain, cells)) else False


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


def lone_columns(table: pd.DataFrame, y: np.ndarray, is_classification: bool) -> list[str]:
    """Return the names of the columns that predict y (nearly) perfectly alone, in rows that they have not learned from.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    """
    if len(y) < MIN_ROWS or table.shape[1] < 2:  # of a single column, nothing else is expected
        return []
    rows = np.sort(np.random.default_rng(1).permutation(len(y))[:MOST_ROWS])
    Y = _targets(y[rows], is_classification)
    if Y is None:
        return []
    least = MIN_EXPLAINED["classes" if is_classification else "numbers"]
    table, found = table.iloc[rows, :MOST_COLUMNS], []
    for name in table.columns:
        x = _numbers(table[name])
        if x is not None and explained_alone(x[0], Y, x[1]) >= least:
            found.append(name)
    return found


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
