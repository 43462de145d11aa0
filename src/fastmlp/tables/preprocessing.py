"""Preprocessing of tables, fitted on a training table and applied to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from . import DEFAULT_BINS
from .base_column import Column, Note
from .bins import class_indicators
from .column_kinds import column_from_dict
from .features import encode_columns, feature_names, fit_columns
from .number_columns import NumericEncoding
from .table_files import with_text_names
from .target import CLASSIFICATION, Target, rows_with_target

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a table: encoders of the input columns and of the target, fitted on a training table.

    Columns of numbers are transformed to normal quantiles if they have more than 32 distinct values (with at most 1000
    stored quantiles), and standardised otherwise. A missing cell becomes 0, with an indicator feature if training had
    missing cells. Up to 5 % of the cells in a column of numbers may not be numbers; these count as missing and are
    reported in `notes`.

    Text, booleans and categorical columns are one-hot encoded. Missing cells are a category of their own, and a
    category unseen in training is all zeros. Of more than 255 categories, the frequent ones are encoded if they make up
    half of the cells; of running text, otherwise, the words that many rows have. Dates become the time and its place in
    the day, the week and the year. Columns that cannot be used (constant, empty, other text with too many rare values
    or a different value in every row) are left out and reported in `notes`.

    The type of a cell does not matter: true, 1, 1.0 and "True" are the same if training has seen only booleans, or only
    0 and 1; numbers may be given as text.

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
    ids: tuple[str, ...] = ()  # columns that identify rows: not used as features, but copied to the predictions

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        target: str,
        task: str = "auto",
        scaling: str = "auto",
        n_bins: int = DEFAULT_BINS,
        trial_seconds: float = inf,
        texts: tuple[str, ...] | None = None,
        categories: Iterable[str] = (),
    ) -> Preprocessing:
        """Return the preprocessing fitted on a training table.

        Rows with a missing target are ignored, as are rows of a regression whose target is not a number.

        Parameters
        ----------
        table : pandas.DataFrame
            Training table with a distinct name for each column.
        target : str
            Name of the column to predict.
        task : "auto", "classification" or "regression"
            With "auto", text, booleans and at most 20 distinct whole numbers mean classification.
        scaling : str
            Encoding of columns of numbers, one of NUMERIC_ENCODINGS.
        n_bins : int
            Largest number of bins of a column.
        trial_seconds : float
            Seconds that the trial may take which decides on bins.
        texts : tuple of str, optional
            Names of the columns whose words become features, as of NumericEncoding.
        categories : iterable of str
            Names of the columns of pandas' category type that hold numbers because the user wants them so.

        Raises
        ------
        ValueError
            If the target is absent or unusable, a number is infinite, a column name occurs twice, a value of task or
            scaling is unknown, or no column can be used.
        """
        table, _ = rows_with_target(with_text_names(table), target, task)
        learned_target = Target.fit(table[target], task)
        codes = learned_target.encode(table[target])
        if learned_target.task == CLASSIFICATION:
            codes = class_indicators(codes, learned_target.n_outputs)
        encoding = NumericEncoding(scaling, n_bins, codes, trial_seconds, texts)
        columns, notes, choices = fit_columns(table.drop(columns=target), encoding, categories)
        if not columns:
            reasons = " ".join(notes) or "it has no other column."
            raise ValueError(f"No column can be used to predict {target!r}: {reasons}")
        return cls(columns, learned_target, notes + choices)

    @property
    def feature_names(self) -> list[str]:
        return feature_names(self.columns)

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns that `read_table` must read as text."""
        names = [name for column in self.columns if column.is_read_as_text for name in column.inputs]
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
