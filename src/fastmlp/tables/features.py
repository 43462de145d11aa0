"""Features of a table: encoders fitted to its columns by a summary of each, and what they make of other tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .base_column import LEFT_OUT, Column, Note, bounds_of, checked_table, encoding_notes
from .bin_trial import NO_TIME, Gain, gain_of_bins, n_features_of_trial, trial_rows
from .category_column import CategoryColumn
from .cells import (
    LARGEST_NUMBER,
    MIXTURES,
    NUMBERS,
    OF_PIECES,
    Categories,
    Misfits,
    Tolerance,
    categories_of,
    contents,
    examples,
    is_text_or_mixed,
    numbers_in,
    read_numbers,
    spelled_alike,
)
from .date_column import DATE_CONTENTS, DateColumn, read_dates
from .few_rows import FEW_ROWS, few_rows
from .number_columns import MANY_DISTINCT, WITHOUT_TARGETS, NumberColumn, NumericEncoding, StandardColumn
from .table_files import with_columns
from .training_column import TrainingColumn, mark_of_thousands

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
    if series.cat.ordered and len(column.value_names) > 2:  # of two, any order says the same
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
    gain = gain_of_bins(X, np.column_stack(scores), encoding.targets[rows])
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
    for column, (start, end) in zip(columns, bounds, strict=True):
        found = column.encode(table[column.name], X[:, start:end])
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


# Types of the cells of a piece: numbers; text, or numbers and text; booleans and pandas' categories; and all others.
NUMERIC, TEXT, CATEGORY, OTHER = "numbers", "text", "category", "other"


def column_kind(series: pd.Series) -> str:
    """Return the kind of a column: "number", "category", or the name of another type (dates, lists, bytes).

    In a column of numbers up to 5 % of the cells may not be numbers. A text column in which every cell looks like a
    number is a category.
    """
    kind, name = _type_of(series), contents(series)
    if kind == TEXT:
        return _kind_of_text(read_numbers(series), name == "string", lambda: categories_of(series)[1])
    return {CATEGORY: "category", NUMERIC: "number", OTHER: name}[kind]


def _kind_of_text(cells: Tolerance, is_string: bool, names: Callable[[], list[str]]) -> str:
    """Return "number" or "category" for a column of text, or of numbers and text.

    is_string : whether all cells are text
    names : returns the names of its categories
    """
    if not cells.is_tolerable or (is_string and not cells.n_bad) or (is_string and mark_of_thousands(names())):
        return "category"
    return "number" if spelled_alike(names()) == names() else "category"  # booleans mixed with 1 and 0: a category


def some_rows() -> str:
    return "some rows"


class Moments:
    """Number, mean, standard deviation, minimum and maximum of the rows that `add` was given: Chan et al. 1979.

    >>> moments = Moments()
    >>> moments.add(np.array([1.0, 2.0]))
    >>> moments.add(np.array([6.0]))
    >>> moments.n, float(moments.mean), round(float(moments.std), 3)
    (3, 3.0, 2.16)
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())
        self.low: np.ndarray = np.array(np.inf)
        self.high: np.ndarray = np.array(-np.inf)

    def add(self, values: np.ndarray) -> None:
        """Add rows, float64 (n_rows,) or (n_rows, n_columns), all of the same width and finite."""
        n = len(values)
        if not n:
            return
        mean, total = values.mean(axis=0), self.n + n
        distance = mean - self.mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + distance * distance * (self.n * n / total)
        self.mean = self.mean + distance * (n / total)
        self.n = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self._squares / max(self.n, 1))


class ColumnSummary:
    """Summary of all rows of a column.

    is_whole : whether they are added at once, and the sample has all of them

    numbers : mean, standard deviation and range of the cells that are numbers, also of those that are text
    categories : of the pieces whose cells are not numbers by their type
    not_numbers, not_dates : cells that are no numbers, and no dates
    n_missing, n_present : number of missing cells, and of others
    """

    def __init__(self, is_whole: bool = False) -> None:
        self._is_whole = is_whole
        self.numbers, self.categories = Moments(), Categories()
        self.not_numbers, self.not_dates = Misfits(), Misfits()
        self.n_missing = self.n_present = 0
        self._first: dict[str, str] = {}  # by the type of the cells, the first rows that have it
        self._is_string = True  # whether all cells of TEXT are text

    def add(self, series: pd.Series, place: Callable[[], str] = some_rows) -> None:
        """Add further rows.

        place : returns which rows these are, for messages

        Raises
        ------
        ValueError
            If a number is infinite or far too large, or the cells are numbers where those before were dates or
            booleans, or the reverse.
        """
        n_missing = int(series.isna().sum())
        if n_missing == len(series):  # such as a piece without a cell, whose type says nothing
            self.n_missing += n_missing
            return
        kind = _type_of(series)
        if kind == NUMERIC:
            n_missing = self._add_numbers(series)
        elif kind == TEXT:
            self._add_text(series)
        if kind in (TEXT, CATEGORY) or (kind == OTHER and contents(series) not in DATE_CONTENTS):
            self.categories.add(Categories.of(series))
        self.n_missing += n_missing
        self.n_present += len(series) - n_missing
        if kind not in self._first:
            self._first[kind] = place()
        unlike = self._first.get(CATEGORY, self._first.get(OTHER))
        if NUMERIC in self._first and unlike is not None:
            raise ValueError(
                f"Column {series.name!r} holds numbers in {self._first[NUMERIC]}, and cells of another type in "
                f"{unlike}; convert all to one type."
            )

    def _add_numbers(self, series: pd.Series) -> int:
        """Add cells that are numbers by their type, and return how many are missing."""
        reading = numbers_in(series)
        if not self._is_whole:
            self.numbers.add(reading.values[~np.isnan(reading.values)])
            self.not_numbers.add(Misfits.of(series, reading))
        return len(series) - reading.n_present

    def _add_text(self, series: pd.Series) -> None:
        """Add cells that are text, or numbers and text."""
        reading = read_numbers(series)
        self.not_numbers.add(Misfits.of(series, reading))
        self._is_string &= contents(series) == "string"
        if not self._is_whole:
            self.numbers.add(reading.values[np.abs(reading.values) <= LARGEST_NUMBER])  # the second pass refuses others
            with suppress(ValueError):  # of several time zones, which a column of dates refuses
                self.not_dates.add(Misfits.of(series, read_dates(series)))

    def fit(self, sample: pd.Series, encoding: NumericEncoding) -> tuple[Column | None, str]:
        """Return (encoder, note) of the column, as fit_encoder does.

        sample : rows of the column, drawn at random
        encoding : NumericEncoding of columns of numbers; its targets are the targets of the sample's rows
        """
        if self.n_present and not sample.notna().any():
            return None, f"Column {sample.name!r} {LEFT_OUT}: nearly all of its cells are missing."
        column = self.training_column(sample)
        found, note = fit_encoder(column, encoding)
        if self._is_whole:
            return found, note
        varies = bool(self.numbers.n and self.numbers.low < self.numbers.high)
        if found is None and column.kind == "number" and varies:  # the sample has one number
            found, note = StandardColumn(column.name, float(self.numbers.mean), float(self.numbers.std), False), ""
            if self.not_numbers.n_bad:
                note = f"Column {column.name!r} {self.not_numbers.as_missing('numbers')}."
        misfits = {"numbers": self.not_numbers, "dates": self.not_dates}.get(found.noun if found else "")
        if found is not None and misfits is not None:
            n_known = misfits.n_present - misfits.n_bad if misfits.n_present else self.n_present
            if n_known < self.n_missing + self.n_present:
                found = replace(found, marks_missing=True)  # type: ignore[type-var]
        return found, note

    def training_column(self, sample: pd.Series) -> TrainingColumn:
        """Return the column with all that is known of it."""
        categories, kind = replace(self.categories, n_missing=self.n_missing), self._kind(sample)
        if NUMERIC in self._first and kind != "number":  # the numbers of some pieces were not counted as texts
            categories = replace(Categories.of(sample), n_missing=self.n_missing)
        if TEXT not in self._first:
            return TrainingColumn(str(sample.name), sample, kind, categories)
        n_rows = self.n_missing + self.n_present
        not_numbers, not_dates = (replace(cells, n_rows=n_rows) for cells in (self.not_numbers, self.not_dates))
        dates = not_dates if not_dates.n_present else None
        return TrainingColumn(str(sample.name), sample, kind, categories, not_numbers, dates)

    def _kind(self, sample: pd.Series) -> str:
        if OTHER in self._first or not {TEXT, CATEGORY} & set(self._first):
            return column_kind(sample)
        if CATEGORY in self._first:  # the sample of pieces with other categories has not their type
            return "category"
        is_string = self._is_string and NUMERIC not in self._first
        return _kind_of_text(self.not_numbers, is_string, lambda: list(self.categories.counts))


# What may encode a column, in the order in which they are asked: `fit` returns (encoder or None, the end of a note), or
# None for a column of another kind.
CHOICES: tuple[Any, ...] = NumberColumn, DateColumn, CategoryColumn


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
    if column.kind == "category" and len(column.distinct) == 1 and not column.has_missing:
        return None, "all of its cells are equal"
    is_plain = column.kind == "category" and not column.against_categories and len(column.distinct) <= MANY_DISTINCT
    for kind in [CategoryColumn] if is_plain else CHOICES:
        if (found := kind.fit(column, encoding)) is not None:
            return found  # type: ignore[no-any-return]
    what = "lists, dictionaries or other objects" if column.kind == "mixed" else column.kind
    return None, f"it holds {what}, not numbers, dates, text, true or false; convert it to numbers to use it"


def fit_column(series: pd.Series, encoding: NumericEncoding = WITHOUT_TARGETS) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table, as fit_encoder does."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":  # the usual case
        return fit_encoder(TrainingColumn(str(series.name), series, "number", Categories()), encoding)
    summary = ColumnSummary(is_whole=True)
    summary.add(series)
    return summary.fit(series, encoding)


def _type_of(series: pd.Series) -> str:
    kind = contents(series)
    if hasattr(series, "cat") or kind == "boolean":
        return CATEGORY
    if kind in NUMBERS:
        return NUMERIC
    return TEXT if is_text_or_mixed(series) else OTHER
