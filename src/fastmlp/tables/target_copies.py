"""Columns of the inputs that hold the target itself: nets learn nothing from the others beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .cells import is_plain
from .column_notes import listed
from .lone_columns import lone_columns, lone_columns_note

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 30  # of fewer, a column may equal the target by chance
LOOKED_AT = 64  # rows that are compared first: all rows are only where these are equal
NUMBERS = "biuf"  # kinds of NumPy's data types


def target_copies(
    table: pd.DataFrame, y: np.ndarray, name: object = None, without: object = None
) -> tuple[list[str], list[str]]:
    """Return the names of (columns that equal y in every row, a column named like y of which y is a function).

    The second one may be the target before its logarithm was taken, or before it was cut into classes. Of the same
    name, but unrelated to y, are numbers of another day: they are no copies.

    table : inputs, with distinct names of their columns
    y : (n_rows,), without missing values
    name : of y, or None if it has none
    without : name of a column that is not looked at

    >>> import pandas as pd
    >>> price = np.arange(1.0, 31.0)
    >>> table = pd.DataFrame({"price": price, "area": price % 7, "cost": price})
    >>> target_copies(table, price), target_copies(table.drop(columns="cost"), np.log(price), "price")
    ((['price', 'cost'], []), ([], ['price']))
    """
    if len(y) < MIN_ROWS or (y == y[0]).all():
        return [], []
    comparable = lambda targets: targets if targets.dtype.kind in NUMBERS else targets.astype(object)
    rows = _some_rows(y)
    some, some_y = table.iloc[rows], comparable(y[rows])
    is_equal = lambda column: _are_equal(some[column], some_y) and _are_equal(table[column], comparable(y))
    equal = [column for column in table.columns if column != without and is_equal(column)]
    if name is None or name in (*equal, without) or name not in table.columns:
        return equal, []
    follows = _follows(some[name], some_y) and _follows(table[name], comparable(y))
    return equal, [str(name)] if follows else []


def target_copies_note(
    table: pd.DataFrame,
    y: np.ndarray,
    name: object = None,
    without: object = None,
    called: str = "the target",
    is_classification: bool = False,
) -> str:
    """Return a sentence on the columns of target_copies, or on those of lone_columns; "" if there are none.

    called : what y is called
    is_classification : whether y holds classes
    """
    equal, related = target_copies(table, y, name, without)
    if not (equal or related):
        return lone_columns_note(lone_columns(table, y, is_classification, [without]), called)
    what = [f"{listed(map(repr, equal))} equal{'s' if len(equal) == 1 else ''} it in every row"] if equal else []
    what += [f"{column!r}, which has its name, determines it in every row" for column in related]
    return f"The inputs should not hold {called}, but {' and '.join(what)}: leave such columns out."


def _some_rows(y: np.ndarray) -> np.ndarray:
    """Return evenly spaced rows, half of them of another value than the first one: rare classes are among them."""
    others = np.flatnonzero(y != y[0])
    pick = lambda rows: rows[np.linspace(0, len(rows) - 1, LOOKED_AT // 2).astype(np.intp)] if len(rows) else rows
    return np.unique(np.concatenate([pick(np.arange(len(y))), pick(others)]))


def _cells(series: pd.Series) -> np.ndarray | None:
    """Return cells as numbers, or as objects if they are text, true or false; None if some are missing or others."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in NUMBERS:
        values = series.to_numpy()
        return None if np.isnan(values).any() else values
    values = series.to_numpy(object)
    return values if all(map(is_plain, values)) else None


def _are_equal(series: pd.Series, y: np.ndarray) -> bool:
    cells = _cells(series)
    return cells is not None and bool((cells == y).all())


def _follows(series: pd.Series, y: np.ndarray) -> bool:
    """Return whether y is the same or changes in one direction where a column does, or each class has its values."""
    import pandas as pd

    cells = _cells(series)
    if cells is None:
        return False
    x, targets = (pd.factorize(values, sort=values.dtype.kind in NUMBERS)[0] for values in (cells, y))
    order = np.lexsort((targets, x))
    targets, steps_of_x = targets[order], np.diff(x[order])
    steps = np.diff(targets)
    n_distinct = targets.max() + 1
    if np.count_nonzero(steps) != n_distinct - 1 or (steps_of_x[steps != 0] == 0).any():
        return False
    return 2 * n_distinct <= len(y) or bool((steps >= 0).all() or (steps <= 0).all())
