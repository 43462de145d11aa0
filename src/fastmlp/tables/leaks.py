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
    if len(y) < LEAST_ROWS_OF_COPIES or (y == y[0]).all():
        return ""
    names = [name for name in table.columns if name != without]
    targets, copies = y if y.dtype.kind in "biuf" else y.astype(object), names
    for n_rows in (LOOKED_AT, len(y)):
        copies = [name for name in copies if _are_equal(table[name].iloc[:n_rows], targets[:n_rows])]
    if copies:
        equal = f"{listed(map(repr, copies))} equal{'s' if len(copies) == 1 else ''} it in every row"
        return f"The inputs should not hold {called}, but {equal}: leave such columns out."
    alone = lone_columns(table[names], y, is_classification)
    if not alone:
        return ""
    what, that, is_it = f"Each of the columns {listed(map(repr, alone))} alone predicts", "them", "they are"
    if len(alone) == 1:
        what, that, is_it = f"The column {alone[0]!r} alone predicts", "it", "it is"
    return (
        f"{what} {called} (nearly) perfectly, also in rows that were held out: leave {that} out if {is_it} {called} "
        f"under another name, or numbers of rows in an order that depends on {called}."
    )


def _are_equal(series: pd.Series, y: np.ndarray) -> bool:
    """Return whether all cells are numbers, text, true or false, and equal to y."""
    is_number = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
    cells = series.to_numpy() if is_number else series.to_numpy(object)
    return bool((cells == y).all()) if is_number or all(map(is_plain, cells)) else False


def lone_columns(table: pd.DataFrame, y: np.ndarray, is_classification: bool) -> list[str]:
    """Return the names of the columns that predict y (nearly) perfectly alone, in rows that they have not learned from.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    """
    import pandas as pd

    if len(y) < MIN_ROWS or table.shape[1] < 2:  # of a single column, nothing else is expected
        return []
    rows = np.sort(np.random.default_rng(1).permutation(len(y))[:MOST_ROWS])
    table, y, least = table.iloc[rows, :MOST_COLUMNS], y[rows], MIN_EXPLAINED["numbers"]
    if is_classification:
        codes, least = pd.factorize(y)[0], MIN_EXPLAINED["classes"]
        counts = np.bincount(codes)
        if len(counts) > MOST_CLASSES or len(y) - counts.max() < MIN_OTHERS:
            return []
        targets = np.eye(len(counts))[codes]
    elif y.dtype.kind in "biuf":
        targets = y.astype(np.float64)[:, None]
    else:
        return []
    return [name for name in table.columns if explained_alone(table[name], targets) >= least]


def explained_alone(column: pd.Series, targets: np.ndarray) -> float:
    """Return the fraction of the variance of targets in held-out rows that a column explains alone.

    Numbers between those of other rows are interpolated; other categories, missing cells, and all cells of columns of
    another kind have the mean of all targets.

    targets : float64 (n_rows, n_outputs), numbers or one-hot classes

    >>> import pandas as pd
    >>> x = np.arange(200.0)
    >>> explained_alone(pd.Series(x), x[:, None] ** 2) > 0.999, explained_alone(pd.Series(x % 7), x[:, None]) < 0.1
    (True, True)
    """
    import pandas as pd

    is_ordered = isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"
    if is_ordered:
        x = column.to_numpy(np.float64)
    elif all(map(is_plain, column.dropna().to_numpy(object))):
        codes = pd.factorize(column.astype(object))[0]
        x = np.where(codes < 0, np.nan, codes)
    else:
        return 0.0
    fold = np.random.default_rng(0).permutation(len(x)) % 2 == 0
    errors = total = 0.0
    for test in (fold, ~fold):
        train = ~test & np.isfinite(x)
        centre = targets[~test].mean(axis=0)
        predicted = np.tile(centre, (int(test.sum()), 1))
        values, of_value = np.unique(x[train], return_inverse=True)
        known = np.isfinite(x[test]) if is_ordered and len(values) else np.isin(x[test], values)
        counts = np.bincount(of_value)
        for k, learned in enumerate(targets[train].T if known.any() else ()):
            predicted[known, k] = np.interp(x[test][known], values, np.bincount(of_value, learned) / counts)
        errors += ((targets[test] - predicted) ** 2).sum()
        total += ((targets[test] - centre) ** 2).sum()
    return float(1.0 - errors / total) if total > 0 else 0.0
