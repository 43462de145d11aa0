"""Preprocessing of tables, fitted on a training table and applied to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base_column import Column, Note
from .category_column import CategoryColumn
from .date_column import DateColumn
from .features import encode_columns, feature_names
from .number_columns import PiecewiseLinearColumn, QuantileColumn, StandardColumn
from .target import Target

if TYPE_CHECKING:
    import pandas as pd


KINDS: dict[str, Any] = {
    kind.kind: kind for kind in (StandardColumn, QuantileColumn, PiecewiseLinearColumn, DateColumn, CategoryColumn)
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


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a table: encoders of the input columns and of the target, fitted on a training table.

    Columns of numbers are transformed to normal quantiles if they have more than 32 distinct values (with at most 1000
    stored quantiles), and standardised otherwise. A missing cell becomes 0, with an indicator feature if training had
    missing cells. Up to 5 % of the cells in a column of numbers may not be numbers; these count as missing and are
    reported in `notes`.

    Text, booleans and categorical columns are one-hot encoded. Missing cells are a category of their own, and a
    category unseen in training is all zeros. Of more than 255 categories, the frequent ones are encoded. Dates become
    the time and its place in the day, the week and the year. Columns that cannot be used (constant, empty, text with
    too many rare values or a different value in every row) are left out and reported in `notes`.

    The type of a cell does not matter: true, 1, 1.0 and "True" are the same if training has seen only booleans, or only
    0 and 1; numbers may be given as text.

    >>> import pandas as pd
    >>> from fastmlp.tables.features import fit_columns
    >>> size, colour = [1.0, 2.0, None, 3.0], ["red", "blue", "red", None]
    >>> table = pd.DataFrame({"size": size, "colour": colour})
    >>> target = Target.fit(pd.Series([1.5, 2.0, 3.0, 4.0], name="price"))
    >>> preprocessing = Preprocessing(fit_columns(table).columns, target)
    >>> preprocessing.feature_names
    ['size', 'size is missing', 'colour = blue', 'colour = red', 'colour is missing']
    >>> preprocessing.transform(table)[2].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    columns: tuple[Column, ...]
    target: Target
    notes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()  # columns that identify rows: not used as features, but copied to the predictions

    @property
    def feature_names(self) -> list[str]:
        return feature_names(self.columns)

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns that `read_table` must read as text."""
        names = [column.name for column in self.columns if column.is_read_as_text]
        return [*names, self.target.name] if self.target.is_text else names

    def transform(self, table: pd.DataFrame, dtype: str = "float32", notes: list[Note] | None = None) -> np.ndarray:
        """Return the features (n_rows, n_features) of a table; see `encode_columns`."""
        return encode_columns(self.columns, table, dtype, notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing as a dict of text and numbers, for JSON."""
        columns = [column.to_dict() for column in self.columns]
        return {"columns": columns, "target": self.target.to_dict(), "notes": list(self.notes), "ids": list(self.ids)}

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Preprocessing:
        """Return the preprocessing that `to_dict` described. Raises ValueError if the description is damaged."""
        try:
            columns = tuple(column_from_dict(column) for column in description["columns"])
            target, notes = Target.from_dict(description["target"]), tuple(map(str, description["notes"]))
            return cls(columns, target, notes, tuple(map(str, description.get("ids", ()))))  # older files have no ids
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The description of a table's preprocessing is damaged ({error})") from None
