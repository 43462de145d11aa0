"""Features of a table: encoders fitted to its columns, and the features that they make of other tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import WrongArgument
from .base_column import Column, Note, bounds_of, checked_table
from .bins import NO_TIME, Gain, gain_of_bins, n_features_of_trial, trial_rows
from .cells import MIXTURES, contents, examples, numbers_in, read_numbers
from .column_summary import ColumnSummary, column_kind, fit_column
from .few_rows import FEW_ROWS, few_rows
from .notes import encoding_notes
from .number_columns import WITHOUT_TARGETS, NumericEncoding
from .table_files import with_columns
from .tallies import OF_PIECES, Misfits

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
    summaries: Mapping[str, ColumnSummary] | None = None,
) -> FittedColumns:
    """Return encoders of the columns of a training table.

    encoding : NumericEncoding of columns of numbers
    chosen : names of columns that the user wants as categories, of which no note says that they hold numbers
    summaries : of all rows of each column, of which the table is a sample; None if it has all
    """
    from threadpoolctl import threadpool_limits  # here, as in estimators/lbfgs.py

    if absent := [name for name in encoding.texts or () if name not in table.columns]:
        raise WrongArgument(f"{absent[0]!r} is named as a column of text, but no column of inputs has this name.")
    columns, chosen = list[Column](), set(chosen)
    left_out, notes, orders = list[str](), list[str](), list[str]()
    # Products are short: bins of white wine take 0.3 s, on two threads of a busy machine 1.5.
    with threadpool_limits(1, "blas") if encoding.tries_bins else nullcontext():
        for name in table.columns:
            fit = fit_column if summaries is None else summaries[name].fit
            column, note = fit(table[name], encoding)
            if column is None:
                left_out.append(note)
                continue
            columns.append(column)
            about_type, order = category_type_notes(table[name], column)
            notes.append(note or ("" if name in chosen else about_type))
            orders.append(order)
        notes = [*left_out, *filter(None, notes)]  # of many, a warning shows the first ones
        with_bins = [column for column in columns if column.without_bins() is not column]
        tried = list[str]()
        if encoding.tries_bins and with_bins:
            without = [column.without_bins() for column in columns]
            gain = tried_bins(with_bins, without, table, encoding)
            columns = columns if gain and gain.is_worth_it else without
            tried = [NO_TIME if gain is None else gain.sentence()]
    choices = *tried, *encoding_notes(columns), *filter(None, orders)
    return FittedColumns(tuple(columns), tuple(notes), choices)


def category_type_notes(series: pd.Series, column: Column) -> tuple[str, str]:
    """Return sentences on a column of pandas' category type, or "": on categories most of which are numbers, and on
    ordered ones, of which nets know which category a cell has, and no order.

    A column of the first kind is often one of numbers with a few cells such as "unknown", converted to save memory.
    """
    import pandas as pd

    if not isinstance(series.dtype, pd.CategoricalDtype):
        return "", ""
    distinct, about_numbers, about_order = pd.Series(series.dropna().unique().astype(object)), "", ""
    reading = read_numbers(distinct)
    if reading.n_bad and 2 * reading.n_bad < len(distinct):
        about_numbers = (
            f"Column {series.name!r} is used as categories, because its type is category, although "
            f"{len(distinct) - reading.n_bad} of its {len(distinct)} categories are numbers (not "
            f"{examples(distinct, reading.bad)}); if numbers are meant, convert it: "
            "pandas.to_numeric(column.astype(object), errors='coerce')."
        )
    if series.cat.ordered and not column.has_words and len(column.value_names) > 2:  # of two, any order says the same
        about_order = (
            f"Column {series.name!r} is used as categories: their order is not used; to use it, give it as numbers."
        )
    return about_numbers, about_order


def tried_bins(
    with_bins: Sequence[Any], without: Sequence[Column], table: pd.DataFrame, encoding: NumericEncoding
) -> Gain | None:
    """Return what bins gain on held-out rows of the training table, or None if there is no time to try.

    with_bins : PiecewiseLinearColumn of each column that may have bins
    without : encoders of all columns without bins
    """
    assert encoding.targets is not None
    n_features = n_features_of_trial(len(feature_names(without)), [column.n_bins for column in with_bins])
    rows = trial_rows(len(table), n_features, encoding.trial_seconds)
    if not len(rows):
        return None
    is_short = len(rows) < len(trial_rows(len(table)))
    table = table.iloc[rows]
    scores = [column.scores(numbers_in(table[column.name], reads_booleans=False).values) for column in with_bins]
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
    if len(table) <= FEW_ROWS and OF_PIECES.get() is None:
        return few_rows(columns).encode(table, dtype, notes, names)
    table = checked_table(columns, table)
    bounds, width = bounds_of(columns)
    X = np.empty((len(table), width), dtype)
    inputs = [column.inputs for column in columns]
    for column, names_of_inputs, (start, end) in zip(columns, inputs, bounds, strict=True):
        found = column.encode(*map(table.__getitem__, names_of_inputs), X[:, start:end])
        if notes is not None:
            notes += found
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
        if name == target or contents(series) not in MIXTURES or column_kind(series) != "number":
            continue
        reading = numbers_in(series, reads_booleans=False)
        converted[name] = reading.values
        if reading.n_bad:
            notes.append(f"Column {name!r} {Misfits.of(series, reading).as_missing('numbers')}.")
    return (with_columns(table, converted) if converted else table), tuple(notes)
