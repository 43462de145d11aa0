"""Preprocessing of tables, fitted on a training table and applied to others.

io.py reads tables, column_encoders.py encodes single columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import counted
from .bin_edges import class_indicators
from .bin_trial import NO_TIME, Gain, gain_of_bins, n_features_of_trial, trial_rows
from .cells import examples, read_numbers
from .column_encoders import (
    WITHOUT_TARGETS,
    CategoryColumn,
    Column,
    Note,
    NumericEncoding,
    PiecewiseLinearColumn,
    column_from_dict,
    column_to_dict,
    fit_column,
    mostly_numbers_note,
)
from .column_notes import listed
from .columns_as_numbers import ANY, LARGEST_NUMBER, column_kind, is_text_or_mixed, text_as_numbers, tolerated_numbers
from .date_column import DateColumn, read_dates
from .defaults import DEFAULT_BINS
from .embedded_columns import embedding_notes
from .io import PARQUET_ENDINGS as PARQUET_ENDINGS
from .io import check_ending as check_ending
from .io import import_pandas as import_pandas
from .io import read_table as read_table
from .io import with_text_names
from .number_formats import conversion_of
from .numeric_columns import NumericColumn
from .target_encoder import CLASSIFICATION, Target, is_classification

if TYPE_CHECKING:
    import pandas as pd

FEW_ROWS = 32  # up to which a table is read as one array, if it holds nothing but numbers


def find_target(table: pd.DataFrame, target: str) -> pd.Series:
    """Return the target column, or raise a ValueError that lists the columns and suggests the nearest name."""
    if target in table.columns:
        return table[target]
    raise no_such_column(table, "target column", target)


def no_such_column(table: pd.DataFrame, kind: str, name: str) -> ValueError:
    """Return the error for a name that is not a column of the table. It suggests the nearest name.

    kind : what the message calls the column
    """
    by_lower = {column.lower(): column for column in table.columns}
    matches = get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[matches[0]]!r}?" if matches else ""
    return ValueError(f"The table has no {kind} {name!r}.{hint} Its columns are: {listed(map(repr, table.columns))}.")


def drop_rows_without_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, int]:
    """Return (the rows that `rows_with_target` keeps, the number of rows that were dropped).

    Raises
    ------
    ValueError
        If the target column does not exist, or all of its cells are missing.
    """
    rows, _ = rows_with_target(table, target, task)
    return rows, len(table) - len(rows)


def rows_with_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return (the rows with a known target, sentences on the rows that were dropped).

    In a regression target up to 5 % of the cells may not be numbers; rows with such cells are dropped too, and the
    target column of the returned table holds floats.

    Raises
    ------
    ValueError
        If the target column does not exist, or all of its cells are missing.
    """
    column = find_target(table, target)
    missing = column.isna().to_numpy()
    if missing.all():
        raise ValueError(f"All cells of the target column {target!r} are missing, so there is nothing to learn from.")
    notes, reading = [], read_numbers(column, reads_booleans=True)
    bad = ""
    if reading.is_half and reading.n_bad:
        bad = f"{counted(reading.n_bad, 'row')} of {len(table)} ({examples(column, reading.bad)})"
    if is_classification(column, task):
        if bad:
            notes.append(f"The target {target!r} is taken for classes, since it holds no numbers in {bad}.")
        elif task == "auto" and (hint := conversion_of(target, _texts_of(column))):
            notes.append(f"The target {target!r} is taken for classes; {hint}.")
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


def _texts_of(column: pd.Series) -> list[str]:
    """Return the distinct cells of a column that are text."""
    return [cell for cell in column.dropna().unique() if isinstance(cell, str)]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def with_numbers(table: pd.DataFrame, target: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Convert columns of numbers that also hold text to floats.

    target : a column to leave unchanged, or None

    Returns (the table, sentences on columns with cells that are not numbers).
    """
    converted = {name: text_as_numbers(table[name]) for name in table.columns if name != target}
    numbers = {name: result[0] for name, result in converted.items() if result is not None}
    notes = tuple(result[1] for result in converted.values() if result is not None and result[1])
    return (table.assign(**numbers) if numbers else table), notes


class FittedColumns(NamedTuple):
    """What `fit_columns` returns.

    columns : an encoder for each usable column
    notes : sentences on columns with problems
    choices : sentences on what was chosen for the whole table
    """

    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    choices: tuple[str, ...]


def fit_columns(
    table: pd.DataFrame,
    encoding: NumericEncoding = WITHOUT_TARGETS,
    chosen: Iterable[str] = (),
    fit_column: Callable[[pd.Series, NumericEncoding], tuple[Column | None, str]] = fit_column,
) -> FittedColumns:
    """Return encoders of the columns of a training table.

    encoding : of columns of numbers
    chosen : names of columns that the user wants as categories, of which no note says that they hold numbers
    fit_column : returns the encoder of a column, or None, and a note
    """
    from threadpoolctl import threadpool_limits  # here, as in estimators/lbfgs.py

    columns, notes, chosen = [], [], set(chosen)
    # Products are short: bins of white wine take 0.3 s, on two threads of a busy machine 1.5.
    with threadpool_limits(1, "blas") if encoding.tries_bins else nullcontext():
        for name in table.columns:
            column, note = fit_column(table[name], encoding)
            if column is not None:
                columns.append(column)
                note = note or ("" if name in chosen else mostly_numbers_note(table[name]))
            if note:
                notes.append(note)
        if not encoding.tries_bins or not any(isinstance(column, PiecewiseLinearColumn) for column in columns):
            return FittedColumns(tuple(columns), tuple(notes), embedding_notes(columns))
        without = tuple(without_bins(column) for column in columns)
        gain = tried_bins(columns, without, table, encoding)
    choices = NO_TIME if gain is None else gain.sentence(), *embedding_notes(columns)
    return FittedColumns(tuple(columns) if gain and gain.is_worth_it else without, tuple(notes), choices)


def without_bins(column: Column) -> Column:
    return column.without_bins() if isinstance(column, PiecewiseLinearColumn) else column


def tried_bins(
    columns: Iterable[Column], without: Iterable[Column], table: pd.DataFrame, encoding: NumericEncoding
) -> Gain | None:
    """Return what bins gain on held-out rows of the training table, or None if there is no time to try.

    columns, without : encoders with bins and without
    """
    assert encoding.targets is not None
    with_bins = [column for column in columns if isinstance(column, PiecewiseLinearColumn)]
    n_features = n_features_of_trial(len(feature_names(without)), [column.n_bins for column in with_bins])
    rows = trial_rows(len(table), n_features, encoding.trial_seconds)
    if not len(rows):
        return None
    is_short = len(rows) < len(trial_rows(len(table)))
    table = table.iloc[rows]
    scores = [
        column.scores(tolerated_numbers(table[column.name], 1.0, reads_booleans=False)[0]) for column in with_bins
    ]
    X = encode_columns(without, table, "float64")
    gain = gain_of_bins(X, np.column_stack(scores), encoding.targets[rows], encoding.n_bins)
    return gain._replace(n_rows=len(rows)) if is_short else gain


def feature_names(columns: Iterable[Column]) -> list[str]:
    return [name for column in columns for name in column.feature_names]


def encode_columns(
    columns: Iterable[Column], table: pd.DataFrame, dtype: str = "float32", notes: list[Note] | None = None
) -> np.ndarray:
    """Return the features (n_rows, n_features) of a table.

    columns : fitted encoders
    notes : list to append to, for each column with cells of a kind unseen in training; None to discard the notes

    Raises
    ------
    ValueError
        If a column is absent or occurs twice, or if a column of numbers holds text in half of its cells, infinity or a
        number far too large.
    """
    columns, table = tuple(columns), with_text_names(table)
    places = {name: place for place, name in enumerate(table.columns)}
    absent = [column.name for column in columns if column.name not in places]
    if absent:
        raise ValueError(
            f"The table lacks columns that the model was trained on: {listed(map(repr, absent))}. "
            f"It has: {listed(map(repr, table.columns))}."
        )
    ends = np.cumsum([len(column.feature_names) for column in columns]).tolist()
    X = np.empty((len(table), ends[-1] if ends else 0), dtype=dtype)
    numbers = _finite_numbers(table) if all(isinstance(column, NumericColumn) for column in columns) else None
    start = 0
    for column, end in zip(columns, ends, strict=True):
        out = X[:, start:end]
        if numbers is not None and isinstance(column, NumericColumn):
            column.encode_numbers(numbers[:, places[column.name]], out)
        else:
            column_notes = _encoded(column, table[column.name], out)
            if notes is not None:
                notes += column_notes
        start = end
    return X


def _encoded(column: Column, series: pd.Series, out: np.ndarray) -> list[Note]:
    """Write the features of a column into `out`, and return notes. Few cells have nothing to note if all are usual."""
    is_usual = len(series) <= FEW_ROWS and not isinstance(column, DateColumn) and column.encode_cells(series, out)
    return [] if is_usual else column.encode(series, out)


def training_rows(columns: Iterable[Column], table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the training table, in which cells that are no numbers or no dates become missing.

    In a few of its rows such cells may be many, and encoders refuse them then.

    Raises
    ------
    ValueError
        If a number is infinite or far too large.
    """
    learned: dict[str, Any] = {}
    for column in columns:
        series = table[column.name]
        if isinstance(column, CategoryColumn) or not is_text_or_mixed(series):
            continue
        if isinstance(column, DateColumn):
            learned[column.name] = series.mask(read_dates(series).bad)
        else:
            learned[column.name] = tolerated_numbers(series, ANY, reads_booleans=False)[0]
    return table.assign(**learned) if learned else table


def _finite_numbers(table: pd.DataFrame) -> np.ndarray | None:
    """Return a table of few rows as float64 (n_rows, n_columns) if all of its cells are numbers and none is missing.

    Such a table has nothing to report, and one array of it takes less time than a Series for each column, of which a
    prediction of one row would mainly consist.
    """
    if len(table) > FEW_ROWS:
        return None
    cells = table.to_numpy()
    if cells.dtype.kind not in "fiu" or not (np.abs(cells) <= LARGEST_NUMBER).all():
        return None
    return cells.astype(np.float64, copy=False)


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a table: encoders of the input columns and of the target, fitted on a training table.

    Columns of numbers are transformed to normal quantiles if they have more than 32 distinct values (with at most 1000
    stored quantiles), and standardised otherwise. A missing cell becomes 0, with an indicator feature if training had
    missing cells. Up to 5 % of the cells in a column of numbers may not be numbers; these count as missing and are
    reported in `notes`.

    Text, booleans and categorical columns are one-hot encoded. Missing cells are a category of their own, and a
    category unseen in training is all zeros. Of more than 255 categories, the frequent ones are encoded if they make up
    half of the cells. Dates become the time and its place in the day, the week and the year. Columns that cannot be
    used (constant, empty, text with too many rare values or a different value in every row) are left out and reported
    in `notes`.

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
        embeds_categories: bool = False,
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
        embeds_categories : bool
            Whether nets embed columns of many categories.

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
        encoding = NumericEncoding(scaling, n_bins, codes, trial_seconds, embeds_categories)
        columns, notes, choices = fit_columns(table.drop(columns=target), encoding)
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
        names = [column.name for column in self.columns if isinstance(column, CategoryColumn) and column.is_text]
        return [*names, self.target.name] if self.target.is_text else names

    def transform(self, table: pd.DataFrame, dtype: str = "float32", notes: list[Note] | None = None) -> np.ndarray:
        """Return the features (n_rows, n_features) of a table; see `encode_columns`."""
        return encode_columns(self.columns, table, dtype, notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the preprocessing as a dict of text and numbers, for JSON."""
        columns = [column_to_dict(column) for column in self.columns]
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
