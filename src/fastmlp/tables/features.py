"""Features of tables: encoders fitted to the columns of a training table, what they make of others, and their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .base_column import LEFT_OUT, Column, Note, bounds_of, checked_table, encoding_notes
from .bins import MOST_TRIAL_ROWS, NO_TIME, SEED, Gain, gain_of_bins
from .category_column import CategoryColumn
from .cells import HALF, MIXTURES, contents, numbers_in
from .date_column import DateColumn
from .few_rows import FEW_ROWS, few_rows
from .number_columns import (
    MANY_DISTINCT,
    WITHOUT_TARGETS,
    NumberColumn,
    NumericEncoding,
    PiecewiseLinearColumn,
    QuantileColumn,
    StandardColumn,
)
from .table_files import with_columns
from .target import Target
from .training_column import TrainingColumn

if TYPE_CHECKING:
    import pandas as pd


class FittedColumns(NamedTuple):
    """Result of `fit_columns`.

    columns : an encoder for each usable column
    notes : sentences on columns with problems
    choices : sentences on how columns are encoded
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    choices: tuple[str, ...]


def fit_columns(table: pd.DataFrame, encoding: NumericEncoding = WITHOUT_TARGETS) -> FittedColumns:
    """Return encoders of the columns of a training table; encoding : of columns of numbers"""
    from threadpoolctl import threadpool_limits  # here, since few processes need it

    columns, left_out, notes = list[Column](), list[str](), list[str]()
    # Products are short: bins of white wine take 0.3 s, on two threads of a busy machine 1.5.
    with threadpool_limits(1, "blas") if encoding.tries_bins else nullcontext():
        for name in table.columns:
            column, note = fit_column(table[name], encoding)
            if column is None:
                left_out.append(note)
            else:
                columns.append(column)
                notes.append(note)
        with_bins = [column for column in columns if isinstance(column, PiecewiseLinearColumn)]
        tried = list[str]()
        if encoding.tries_bins and with_bins:
            without = [column.without_bins() for column in columns]
            gain = tried_bins(with_bins, without, table, encoding) if encoding.has_time else None
            columns = columns if gain and gain.is_worth_it else without
            tried = [NO_TIME if gain is None else gain.sentence()]
    # of many notes, a warning shows the first ones
    return FittedColumns(tuple(columns), (*left_out, *filter(None, notes)), (*tried, *encoding_notes(columns)))


def fit_column(series: pd.Series, encoding: NumericEncoding = WITHOUT_TARGETS) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table.

    The encoder is None for a column that cannot be used; the note is "" if there is nothing to report.
    """
    column = TrainingColumn(series)
    encoder, reason = _chosen(column, encoding)
    note = f"{LEFT_OUT}: {reason}" if encoder is None else reason
    return encoder, note and f"Column {column.name!r} {note}."


def _chosen(column: TrainingColumn, encoding: NumericEncoding) -> tuple[Column | None, str]:
    if column.name.startswith("Unnamed:"):
        return None, "it has no name in the header (row numbers saved with the table?)"
    if column.cells.isna().all():
        return None, "all of its cells are missing"
    if column.kind == "category" and len(column.distinct) == 1 and not column.n_missing:
        return None, "all of its cells are equal"
    is_plain = column.kind == "category" and not column.against_categories and len(column.distinct) <= MANY_DISTINCT
    # `fit` returns (encoder or None, the end of a note), or None for a column of another kind.
    kinds: list[Any] = [CategoryColumn] if is_plain else [NumberColumn, DateColumn, CategoryColumn]
    for kind in kinds:
        if (encoder_and_note := kind.fit(column, encoding)) is not None:
            return encoder_and_note  # type: ignore[no-any-return]
    what = "lists, dictionaries or other objects" if column.kind == "mixed" else column.kind
    return None, f"it holds {what}, not numbers, dates, text, true or false; convert it to numbers to use it"


def tried_bins(
    with_bins: Sequence[Any], without: Sequence[Column], table: pd.DataFrame, encoding: NumericEncoding
) -> Gain:
    """Return what bins gain on held-out rows of the training table.

    with_bins : PiecewiseLinearColumn of each column that may have bins
    without : encoders of all columns without bins
    """
    assert encoding.targets is not None
    rows = np.random.default_rng(SEED).permutation(len(table))[:MOST_TRIAL_ROWS]
    table = table.iloc[rows]
    scores = [column.scores(numbers_in(table[column.name], reads_booleans=False).values) for column in with_bins]
    X = encode_columns(without, table, "float64")
    return gain_of_bins(X, np.column_stack(scores), encoding.targets[rows])


def feature_names(columns: Iterable[Column]) -> list[str]:
    return [name for column in columns for name in column.feature_names]


def encode_columns(
    columns: Iterable[Column],
    table: pd.DataFrame,
    dtype: str | np.dtype = "float32",
    notes: list[Note] | None = None,
    most_bad: float = HALF,
) -> np.ndarray:
    """Return the features (n_rows, n_features) of a table.

    columns : fitted encoders
    notes : list to append to, for each column with cells of a kind unseen in training; None to discard the notes
    most_bad : fraction of the cells of a column of numbers or dates; so many or more that are none are refused

    Raises
    ------
    ValueError
        If a column is absent or occurs twice, or if a column of numbers holds text in too many of its cells, infinity
        or a number far too large.
    """
    columns = tuple(columns)
    if len(table) <= FEW_ROWS and most_bad == HALF:
        return few_rows(columns).encode(table, dtype, notes)
    table = checked_table(columns, table)
    bounds, width = bounds_of(columns)
    X = np.empty((len(table), width), dtype)
    for column, (start, end) in zip(columns, bounds, strict=True):
        notes_of_column = column.encode(table[column.name], X[:, start:end], most_bad)
        if notes is not None:
            notes += notes_of_column
    return X


def with_numbers(table: pd.DataFrame, target: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Convert columns of numbers that also hold text to floats.

    Call it before a table is split into training and held-out rows: a part without the cells that are not numbers
    would be read as categories.

    target : a column to leave unchanged, or None

    Returns (the table, sentences on columns with cells that are not numbers).
    """
    converted, notes = dict[str, np.ndarray](), list[str]()
    for name in table.columns:
        series = table[name]
        if name == target or contents(series) not in MIXTURES or TrainingColumn(series).kind != "number":
            continue
        reading = numbers_in(series, reads_booleans=False)
        converted[name] = reading.values
        if reading.n_bad:
            notes.append(f"Column {name!r} {reading.as_missing(series, 'numbers')}.")
    return (with_columns(table, converted) if converted else table), tuple(notes)


# ---- files

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
        names = [column.name for column in self.columns if column.is_text]
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
