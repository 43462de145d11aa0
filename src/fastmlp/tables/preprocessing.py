"""The preprocessing of tables, which is learned on one table and applied to others.

How tables are read is in io.py, how a column becomes features in column_encoders.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted
from .cells import examples, read_numbers
from .column_encoders import (
    CategoryColumn,
    Column,
    Note,
    column_from_dict,
    column_kind,
    column_to_dict,
    fit_column,
    text_as_numbers,
)
from .io import PARQUET_ENDINGS as PARQUET_ENDINGS
from .io import check_ending as check_ending
from .io import import_pandas as import_pandas
from .io import read_table as read_table
from .io import with_text_names
from .target_encoder import Target, poses_classes

if TYPE_CHECKING:
    import pandas as pd


def find_target(table: pd.DataFrame, target: str) -> pd.Series:
    """The target column, or a ValueError with the nearest name and the names there are."""
    if target in table.columns:
        return table[target]
    raise no_such_column(table, "target column", target)


def no_such_column(table: pd.DataFrame, kind: str, name: str) -> ValueError:
    """The error for a name that is none of the table's columns, with the nearest one."""
    by_lower = {column.lower(): column for column in table.columns}
    near = get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    return ValueError(f"The table has no {kind} {name!r}.{hint} Its columns are: {_listed(table.columns)}.")


def drop_rows_without_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, int]:
    """The rows that `rows_with_target` keeps, and how many others there were.

    Raises
    ------
    ValueError
        If there is no such column, or all of its cells are missing.
    """
    rows, _ = rows_with_target(table, target, task)
    return rows, len(table) - len(rows)


def rows_with_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """(the rows whose target is known, sentences on the others).

    In a target of quantities, up to 5 % of the cells may be no numbers; their rows are left out as well, and the column
    that is returned holds floats.

    Raises
    ------
    ValueError
        If there is no such column, or all of its cells are missing.
    """
    column = find_target(table, target)
    missing = column.isna().to_numpy()
    if missing.all():
        raise ValueError(f"All cells of the target column {target!r} are missing, so there is nothing to learn from.")
    notes, reading = [], read_numbers(column, truths=True)
    bad = ""
    if reading.is_half and reading.n_bad:
        bad = f"{counted(reading.n_bad, 'row')} of {len(table)} ({examples(column, reading.bad)})"
    if poses_classes(column, task):
        if bad:
            notes.append(f"The target {target!r} is taken for classes, since it holds no numbers in {bad}.")
    elif reading.is_tolerable:
        missing = np.isnan(reading.values) & ~reading.bad
        table = table.assign(**{target: reading.values})
        if column_kind(column) == "category" and not reading.n_bad:
            notes.append(f"The target {target!r} holds text that is numbers, and is taken for numbers.")
        if bad:
            notes.append(f"The target {target!r} holds no numbers in {bad}, which {_are(reading.n_bad)} left out.")
    n_missing = int(np.count_nonzero(missing))
    if n_missing:
        notes.append(f"{counted(n_missing, 'row')} whose target {target!r} is missing {_are(n_missing)} left out.")
    return table[table[target].notna()], tuple(notes)


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def with_numbers(table: pd.DataFrame, target: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """(the table with numbers in columns of numbers that hold text, a sentence on each where cells are no numbers).

    target : a column to leave as it is
    """
    found = {name: text_as_numbers(table[name]) for name in table.columns if name != target}
    numbers = {name: values for name, of_text in found.items() if of_text is not None for values in of_text[:1]}
    notes = tuple(of_text[1] for of_text in found.values() if of_text is not None and of_text[1])
    return (table.assign(**numbers) if numbers else table), notes


def fit_columns(table: pd.DataFrame, scaling: str = "auto") -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """(encoders, notes): one for each column that can be used; a sentence for each that cannot, or not as it stands."""
    found = [fit_column(table[name], scaling) for name in table.columns]
    return tuple(column for column, _ in found if column is not None), tuple(note for _, note in found if note)


def feature_names(columns: Iterable[Column]) -> list[str]:
    return [name for column in columns for name in column.feature_names]


def encode_columns(
    columns: Iterable[Column], table: pd.DataFrame, dtype: str = "float32", notes: list[Note] | None = None
) -> np.ndarray:
    """The features (n_rows, n_features) of a table.

    notes : gets a sentence on each column with cells of a kind that training has not seen

    Raises
    ------
    ValueError
        If a column is absent or there twice, or one of numbers holds text in half of its cells, infinity or a number
        far too large.
    """
    columns, table = tuple(columns), with_text_names(table)
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        raise ValueError(
            f"The table lacks columns that the model was trained on: {_listed(absent)}. "
            f"It has: {_listed(table.columns)}."
        )
    X = np.empty((len(table), len(feature_names(columns))), dtype=dtype)
    start = 0
    for column in columns:
        end = start + len(column.feature_names)
        found = column.encode(table[column.name], X[:, start:end])
        if notes is not None:
            notes += found
        start = end
    return X


@dataclass(frozen=True)
class Preprocessing:
    """What was learned of a training table: how each column becomes features, and what the target means.

    Numbers: columns with more than 32 distinct values are mapped to normal scores through at most 1000 stored
    quantiles, others are standardised; a missing cell becomes 0, with an indicator feature if training had missing
    cells. Up to 5 % of the cells of a column of numbers may be no numbers and count as missing, with a sentence in
    `notes`. Text, true/false and categories: one feature per category; missing is a category of its own, and a category
    unknown to training is all zeros. Columns that cannot help (constant, empty, text that is different in every row or
    has more than 255 values, dates) are left out, each with a sentence in `notes`.

    Cells mean the same in any type: true is 1, 1.0 and "True" where training has seen only true and false, or only 0
    and 1; numbers may come as text.

    >>> import pandas as pd
    >>> size, colour = [1.0, 2.0, None, 3.0], ["red", "blue", "red", None]
    >>> table = pd.DataFrame({"size": size, "colour": colour, "price": [1.5, 2.0, 3.0, 4.0]})
    >>> preprocessing = Preprocessing.fit(table, "price")
    >>> preprocessing.feature_names
    ['size', 'size is missing', 'colour = blue', 'colour = red', 'colour is missing']
    >>> preprocessing.transform(table)[2].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    columns: tuple[Column, ...]
    target: Target
    notes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()  # columns that say which row is which: no features, and passed through to predictions

    @classmethod
    def fit(cls, table: pd.DataFrame, target: str, task: str = "auto", scaling: str = "auto") -> Preprocessing:
        """Learn from a training table. Rows whose target is missing, or no number among quantities, are left out.

        Parameters
        ----------
        table : pandas.DataFrame
            With one name for each column.
        target : str
            The column to predict.
        task : "auto", "classification" or "regression"
            "auto" takes text, true/false and at most 20 different whole numbers for classes.
        scaling : "auto", "standard" or "quantile"
            For columns of numbers.

        Raises
        ------
        ValueError
            If the target is absent or unusable, a number is infinite, a name is unknown or there twice, or no column
            can be used.
        """
        table, _ = rows_with_target(with_text_names(table), target, task)
        learned_target = Target.fit(table[target], task)
        columns, notes = fit_columns(table.drop(columns=target), scaling)
        if not columns:
            reasons = " ".join(notes) or "it has no other column."
            raise ValueError(f"No column can be used to predict {target!r}: {reasons}")
        return cls(columns, learned_target, notes)

    @property
    def feature_names(self) -> list[str]:
        return feature_names(self.columns)

    @property
    def text_columns(self) -> list[str]:
        """Columns to be read as text, for `read_table`."""
        names = [column.name for column in self.columns if isinstance(column, CategoryColumn) and column.is_text]
        return [*names, self.target.name] if self.target.is_text else names

    def transform(self, table: pd.DataFrame, dtype: str = "float32", notes: list[Note] | None = None) -> np.ndarray:
        """encode_columns of the columns that training has used."""
        return encode_columns(self.columns, table, dtype, notes)

    def to_dict(self) -> dict[str, Any]:
        """Text and numbers only, for JSON."""
        columns = [column_to_dict(column) for column in self.columns]
        return {
            "columns": columns, "target": self.target.to_dict(), "notes": list(self.notes), "ids": list(self.ids),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`; ValueError if the description is damaged."""
        try:
            columns = tuple(column_from_dict(column) for column in description["columns"])
            target, notes = Target.from_dict(description["target"]), tuple(map(str, description["notes"]))
            return cls(columns, target, notes, tuple(map(str, description.get("ids", ()))))  # older files have no ids
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The description of a table's preprocessing is damaged ({error})") from None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
