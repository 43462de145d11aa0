"""The kinds of columns, by their names in files."""

from __future__ import annotations

from typing import Any

from .base_column import Column
from .category_column import CategoryColumn
from .date_column import DateColumn
from .number_columns import PiecewiseLinearColumn, QuantileColumn, StandardColumn
from .text_column import TextColumn

KINDS: dict[str, Any] = {
    kind.kind: kind
    for kind in (StandardColumn, QuantileColumn, PiecewiseLinearColumn, DateColumn, CategoryColumn, TextColumn)
}


def column_from_dict(description: dict[str, Any]) -> Column:
    """Return the encoder that `Column.to_dict` described.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the description is damaged.
    """
    settings = {
        key: tuple(value) if isinstance(value, list) else value for key, value in description.items() if key != "kind"
    }
    if not isinstance(description["name"], str):
        raise TypeError(f"a column's name should be text, but is {description['name']!r}")
    if (kind := description["kind"]) not in KINDS:
        raise ValueError(f"column {description['name']!r} has the encoding {kind!r}, which fastmlp does not have")
    encoder: Column = KINDS[kind](**settings)
    return encoder
