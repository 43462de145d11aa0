"""From columns to features: encoders fitted to the columns of a table, and the features that they make of other tables.

encoder_choice.py chooses the encoder of a single column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import WrongArgument
from .bin_trial import NO_TIME, Gain, gain_of_bins, n_features_of_trial, trial_rows
from .cells_of_pieces import is_in_pieces
from .column_notes import listed
from .columns_as_numbers import ANY, is_text_or_mixed, tolerated_numbers
from .date_column import DateColumn, read_dates
from .encoder_choice import (
    WITHOUT_TARGETS,
    CategoryColumn,
    Column,
    Note,
    NumericEncoding,
    PiecewiseLinearColumn,
    fit_column,
    mostly_numbers_note,
    order_note,
)
from .encoding_notes import encoding_notes
from .few_rows import FEW_ROWS, FewRows, few_rows, names_of
from .table_files import with_columns, with_text_names
from .text_column import TextColumn

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


def fit_columns(
    table: pd.DataFrame,
    encoding: NumericEncoding = WITHOUT_TARGETS,
    chosen: Iterable[str] = (),
    fit_column: Callable[[pd.Series, NumericEncoding], tuple[Column | None, str]] = fit_column,
) -> FittedColumns:
    """Return encoders of the columns of a training table.

    encoding : NumericEncoding of columns of numbers
    chosen : names of columns that the user wants as categories, of which no note says that they hold numbers
    fit_column : returns the encoder of a column, or None, and a note
    """
    from threadpoolctl import threadpool_limits  # here, as in estimators/lbfgs.py

    if absent := [name for name in encoding.texts or () if name not in table.columns]:
        raise WrongArgument(f"{absent[0]!r} is named as a column of text, but no column of inputs has this name.")
    columns, chosen = [], set(chosen)
    left_out, notes = list[str](), list[str]()
    # Products are short: bins of white wine take 0.3 s, on two threads of a busy machine 1.5.
    with threadpool_limits(1, "blas") if encoding.tries_bins else nullcontext():
        for name in table.columns:
            column, note = fit_column(table[name], encoding)
            if column is not None:
                columns.append(column)
                note = note or ("" if name in chosen else mostly_numbers_note(table[name]))
            if note:
                (left_out if column is None else notes).append(note)
        notes = left_out + notes  # of many, a warning shows the first ones
        orders = [note for column in columns if (note := order_note(table[column.name], column))]
        if not encoding.tries_bins or not any(isinstance(column, PiecewiseLinearColumn) for column in columns):
            return FittedColumns(tuple(columns), tuple(notes), (*encoding_notes(columns), *orders))
        without = tuple(without_bins(column) for column in columns)
        gain = tried_bins(columns, without, table, encoding)
    best = tuple(columns) if gain and gain.is_worth_it else without
    choices = NO_TIME if gain is None else gain.sentence(), *encoding_notes(best), *orders
    return FittedColumns(best, tuple(notes), choices)


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
    columns: Iterable[Column],
    table: pd.DataFrame,
    dtype: str | np.dtype = "float32",
    notes: list[Note] | None = None,
    names: list[str] | None = None,
) -> np.ndarray:
    """Return the features (n_rows, n_features) of a table.

    columns : fitted encoders
    notes : list to append to, for each column with cells of a kind unseen in training; None to discard the notes
    names : the table's columns, if the caller has read them: distinct texts; None if not

    Raises
    ------
    ValueError
        If a column is absent or occurs twice, or if a column of numbers holds text in half of its cells and is not a
        piece of one, infinity or a number far too large.
    """
    columns = tuple(columns)
    if len(table) <= FEW_ROWS and not is_in_pieces():
        return _few_encoded(few_rows(columns), table, dtype, notes, names)
    table = with_text_names(table)
    _check_columns(columns, table.columns.tolist())
    ends = np.cumsum([len(column.feature_names) for column in columns]).tolist()
    X = np.empty((len(table), ends[-1] if ends else 0), dtype=dtype)
    start = 0
    for column, end in zip(columns, ends, strict=True):
        column_notes = column.encode(table[column.name], X[:, start:end])
        if notes is not None:
            notes += column_notes
        start = end
    return X


def _few_encoded(
    encoder: FewRows, table: pd.DataFrame, dtype: str | np.dtype, notes: list[Note] | None, names: list[str] | None
) -> np.ndarray:
    """Return the features of a table of few rows; arguments and errors as of encode_columns."""
    places = encoder.places(names_of(table) if names is None else names)
    if places is None:
        table = with_text_names(table)
        names = table.columns.tolist()
        _check_columns(encoder.columns, names)
        places = [names.index(column.name) for column in encoder.columns]
        encoder.keep_places(names, places)
    X = np.zeros((len(table), encoder.ends[-1] if encoder.ends else 0), dtype=dtype)
    for k in encoder.encode(table, places, X):
        column = encoder.columns[k]
        column_notes = column.encode(table[column.name], X[:, encoder.starts[k] : encoder.ends[k]])
        if notes is not None:
            notes += column_notes
    return X


def _check_columns(columns: Iterable[Column], names: list[str]) -> None:
    """Raise ValueError if a table with columns of these names lacks some that the model was trained on."""
    known = set(names)
    absent = [column.name for column in columns if column.name not in known]
    if absent:
        raise ValueError(
            f"The table lacks columns that the model was trained on: {listed(map(repr, absent))}. "
            f"It has: {listed(map(repr, names))}."
        )


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
        if isinstance(column, (CategoryColumn, TextColumn)) or not is_text_or_mixed(series):
            continue
        if isinstance(column, DateColumn):
            learned[column.name] = series.mask(read_dates(series).bad)
        else:
            learned[column.name] = tolerated_numbers(series, ANY, reads_booleans=False)[0]
    return with_columns(table, learned) if learned else table
