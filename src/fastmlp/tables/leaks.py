"""Columns of the inputs that hold the target, under another name: nets learn nothing from the others beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .cells import is_plain, listed

if TYPE_CHECKING:
    import pandas as pd

LEAST_ROWS_OF_COPIES = 30  # of fewer, a column may equal the target by chance
LOOKED_AT = 64  # rows that are compared first: all rows are only where these are equal


def target_leaks_note(table: pd.DataFrame, y: np.ndarray, without: object = None, called: str = "the target") -> str:
    """Return a sentence on columns that equal the target in every row; "" if there are none.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    without : name of a column that is not looked at
    called : what y is called

    >>> import pandas as pd
    >>> price = np.arange(1.0, 31.0)
    >>> target_leaks_note(pd.DataFrame({"cost": price, "area": price % 7}), price)
    "The inputs should not hold the target, but 'cost' equals it in every row: leave such columns out."
    """
    if len(y) < LEAST_ROWS_OF_COPIES or (y == y[0]).all():
        return ""
    y, copies = y if y.dtype.kind in "biuf" else y.astype(object), list(table.columns)
    for n_rows in (LOOKED_AT, len(y)):
        copies = [name for name in copies if name != without and _are_equal(table[name].iloc[:n_rows], y[:n_rows])]
    if not copies:
        return ""
    equal = f"{listed(map(repr, copies))} equal{'s' if len(copies) == 1 else ''} it in every row"
    return f"The inputs should not hold {called}, but {equal}: leave such columns out."


def _are_equal(series: pd.Series, y: np.ndarray) -> bool:
    """Return whether all cells are numbers, text, true or false, and equal to y."""
    is_number = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
    cells = series.to_numpy() if is_number else series.to_numpy(object)
    return bool((cells == y).all()) if is_number or all(map(is_plain, cells)) else False
