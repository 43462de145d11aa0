"""From columns to features: encoders fitted to the columns of a table, and the features that they make of other tables.

column_encoders.py chooses the encoder of a single column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import WrongArgument
from .bin_trial import NO_TIME, Gain, gain_of_bins, n_features_of_trial, trial_rows
from .column_encoders import (
    WITHOUT_TARGETS,
    CategoryColumn,
    Column,
    Note,
    NumericEncoding,
    PiecewiseLinearColumn,
    fit_column,
    mostly_numbers_note,
)
from .column_notes import listed
from .columns_as_numbers import ANY, LARGEST_NUMBER, is_text_or_mixed, tolerated_numbers
from .date_column import DateColumn, read_dates
from .embedded_columns import embedding_notes
from .io import with_text_names
from .numeric_columns import NumericColumn
from .text_column import TextColumn

if TYPE_CHECKING:
    import pandas as pd

FEW_ROWS = 32  # up to which a table is read as one array, if it holds nothing but numbers


class FittedColumns(NamedTuple):
    """Result of `fit_columns`.

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

    encoding : NumericEncoding of columns of numbers
    chosen : names of columns that the user wants as categories, of which no note says that they hold numbers
    fit_column : returns the encoder of a column, or None, and a note
    """
    from threadpoolctl import threadpool_limits  # here, as in estimators/lbfgs.py

    if absent := [name for name in encoding.texts or () if name not in table.columns]:
        raise WrongArgument(f"{absent[0]!r} is named as a column of text, but no column of inputs has this name.")
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
            return FittedColumns(tuple(columns), tuple(notes), (*text_notes(columns), *embedding_notes(columns)))
        without = tuple(without_bins(column) for column in columns)
        gain = tried_bins(columns, without, table, encoding)
    best = tuple(columns) if gain and gain.is_worth_it else without
    choices = NO_TIME if gain is None else gain.sentence(), *text_notes(best), *embedding_notes(best)
    return FittedColumns(best, tuple(notes), choices)


def text_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return a sentence on the columns of text, if there are any."""
    texts = [f"{column.name!r} ({len(column.ngrams)})" for column in columns if isinstance(column, TextColumn)]
    if not texts:
        return ()
    what = "words, pairs of words and parts of words that many rows have"
    return (f"Columns of text have a feature for each of the {what}: {listed(texts)}.",)


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
        if isinstance(column, (CategoryColumn, TextColumn)) or not is_text_or_mixed(series):
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
