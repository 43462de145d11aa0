"""The kinds of columns, and the choice of one for each column of a table."""

from __future__ import annotations

from typing import Any

from .base_column import Column
from .category_column import CategoryColumn
from .date_column import DateColumn
from .notes import LEFT_OUT
from .number_columns import NumberColumn, NumericEncoding, PiecewiseLinearColumn, QuantileColumn, StandardColumn
from .text_column import TextColumn
from .training_column import TrainingColumn

KINDS: dict[str, Any] = {
    kind.kind: kind
    for kind in (StandardColumn, QuantileColumn, PiecewiseLinearColumn, DateColumn, CategoryColumn, TextColumn)
}
# What may encode a column, in the order in which they are asked: `fit` returns (encoder or None, the end of a note), or
# None for a column of another kind.
CHOICES: tuple[Any, ...] = NumberColumn, DateColumn, TextColumn, CategoryColumn


def fit_encoder(column: TrainingColumn, encoding: NumericEncoding) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table.

    The encoder is None for a column that cannot be used; the note is "" if there is nothing to report.
    """
    found, reason = _chosen(column, encoding)
    if found is None:
        return None, f"Column {column.name!r} {LEFT_OUT}: {reason}."
    return found, reason and f"Column {column.name!r} {reason}."


def _chosen(column: TrainingColumn, encoding: NumericEncoding) -> tuple[Column | None, str]:
    if column.name.startswith("Unnamed:"):
        return None, "it has no name in the header (row numbers saved with the table?)"
    if column.sample.isna().all():
        return None, "all of its cells are missing"
    is_named_text = column.name in (encoding.texts or ())
    if column.kind == "category" and not is_named_text and len(column.distinct) == 1 and not column.has_missing:
        return None, "all of its cells are equal"
    for kind in [TextColumn] if is_named_text else CHOICES:
        if (found := kind.fit(column, encoding)) is not None:
            return found  # type: ignore[no-any-return]
    what = "lists, dictionaries or other objects" if column.kind == "mixed" else column.kind
    return None, f"it holds {what}, not numbers, dates, text, true or false; convert it to numbers to use it"


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
