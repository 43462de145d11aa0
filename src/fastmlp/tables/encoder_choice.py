"""Choice of an encoder for each column of a table, and encoders as dicts for files.

numeric_columns.py, date_column.py, category_column.py and text_column.py have the encoders. cells.py interprets single
cells, columns_as_numbers.py whole columns.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..errors import WrongArgument, checked_count, counted, unknown_name
from .bad_cells import BadCells
from .bin_edges import leap_edges, quantile_edges, tree_edges
from .category_column import MAX_CATEGORIES, MIN_ROWS, CategoryColumn, frequent_categories
from .cell_counts import CellCounts
from .cells import MAX_BAD_FRACTION, MIXTURES, contents, count_of, examples, read_numbers, spelled_alike
from .column_notes import Note as Note
from .columns_as_numbers import column_kind, tolerated_numbers
from .date_column import DATE_CONTENTS, ISO_DATE, DateColumn, fit_dates
from .default_bins import DEFAULT_BINS
from .number_formats import conversion_of, dates_of, thousands_of
from .numeric_columns import PiecewiseLinearColumn, QuantileColumn, StandardColumn
from .text_column import MIN_NGRAM_ROWS, TextColumn, fit_text, is_running_text

if TYPE_CHECKING:
    import pandas as pd

NUMERIC_ENCODINGS = ("auto", "piecewise_linear", "quantile", "standard")
MANY_DISTINCT = 32  # columns with more distinct numbers have quantiles and bins
MAX_BINS = 1000  # of a column
MIN_SHARE_OF_TEXT = 0.5  # of the cells that have an n-gram, in a column that is text though nobody has named it
MIN_SHARE_OF_FREQUENT = 0.5  # of the cells that have frequent categories, in a column that may be something else

LEFT_OUT = "is left out"  # in the note on a column that has no encoder
DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d{4}|\d\d)([ ].*)?", re.ASCII)

Number = StandardColumn | QuantileColumn | PiecewiseLinearColumn
Column = Number | DateColumn | CategoryColumn | TextColumn
KINDS: dict[str, type[Column]] = {row.kind: row for row in get_args(Column)}
# Encoders of all columns of numbers, by the kinds of NumericEncoding that do not look at the numbers.
OF_ALL_NUMBERS = {row.kind: row for row in (StandardColumn, QuantileColumn)}


@dataclass(frozen=True)
class NumericEncoding:
    """Encoding of columns of numbers, and choice of columns of text.

    kind : one of NUMERIC_ENCODINGS. "auto" and "piecewise_linear" standardise columns of up to 32 distinct numbers.
        Columns of more have a normal score and, with "auto", bins where the targets leap, if a trial finds that these
        are worth it (bin_trial.py); with "piecewise_linear", as many bins as a tree on the targets makes
    n_bins : largest number of bins of a column
    targets : (n_rows, n_outputs) numbers or one-hot classes of the training rows. Without them, "auto" makes no bins,
        and "piecewise_linear" bins with the same number of rows
    trial_seconds : that the trial may take; with fewer it looks at fewer rows, or is left out
    texts : names of the columns whose words become features; None for those of running text with too many values to be
        categories
    """

    kind: str = "auto"
    n_bins: int = DEFAULT_BINS
    targets: np.ndarray | None = None
    trial_seconds: float = inf
    texts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in NUMERIC_ENCODINGS:
            raise unknown_name("numeric_encoding", self.kind, NUMERIC_ENCODINGS)
        checked_count("n_bins", self.n_bins, 2, MAX_BINS)

    @property
    def tries_bins(self) -> bool:
        """Whether a trial decides on the bins of a table."""
        return self.kind == "auto" and self.targets is not None

    def fit(self, name: str, values: np.ndarray) -> Number:
        """Return the encoder of a column of numbers, float64 (n_rows,) with NaN for missing cells."""
        known = ~np.isnan(values)
        present, marks_missing = values[known], not known.all()
        if self.kind in OF_ALL_NUMBERS:
            return OF_ALL_NUMBERS[self.kind].fit(name, present, marks_missing)
        if len(np.unique(present)) <= MANY_DISTINCT:
            return StandardColumn.fit(name, present, marks_missing)
        column = QuantileColumn.fit(name, present, marks_missing)
        edges = self._edges(column.scores(present), known)
        if len(edges) <= 2:  # one bin would be the score again
            return column
        return PiecewiseLinearColumn(name, column.quantiles, marks_missing, tuple(edges.tolist()))

    def _edges(self, scores: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the edges of the bins of a column, in normal scores; empty if it has no bins.

        scores : (n_known,), of the cells that are not missing
        known : bool (n_rows,), which cells these are
        """
        if self.targets is None:
            return scores[:0] if self.kind == "auto" else quantile_edges(scores, self.n_bins)
        edges = leap_edges if self.kind == "auto" else tree_edges
        return edges(scores, self.targets[known], self.n_bins)


WITHOUT_TARGETS = NumericEncoding()


@dataclass
class ColumnCells:
    """Summary of all cells of a column.

    kind : kind of the column, as column_kind returns it
    categories : counts of a column of categories
    not_numbers : cells of a column of text or numbers that are no numbers, or None for one of another type
    not_dates : cells that are no dates, or None if they are not counted
    """

    kind: str
    categories: CellCounts = field(default_factory=CellCounts)
    not_numbers: BadCells | None = None
    not_dates: BadCells | None = None

    @classmethod
    def of(cls, series: pd.Series) -> ColumnCells:
        kind, not_numbers = column_kind(series), None
        if contents(series) in MIXTURES:
            reading = read_numbers(series)
            not_numbers = BadCells.of(series, reading.bad, reading.n_present)
        return cls(kind, CellCounts.of(series) if kind == "category" else CellCounts(), not_numbers)


def fit_column(
    series: pd.Series, encoding: NumericEncoding = WITHOUT_TARGETS, cells: ColumnCells | None = None
) -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table.

    The encoder is None for a column that cannot be used; the note is "" if there is nothing to report.

    encoding : NumericEncoding of columns of numbers
    cells : ColumnCells of all rows, of which the column is a part; None if it has all
    """
    column, reason = _choose_encoder(series, encoding, ColumnCells.of(series) if cells is None else cells)
    if column is None:
        return None, f"Column {series.name!r} {LEFT_OUT}: {reason}."
    return column, reason and f"Column {series.name!r} {reason}."


def _choose_encoder(series: pd.Series, encoding: NumericEncoding, cells: ColumnCells) -> tuple[Column | None, str]:
    if str(series.name).startswith("Unnamed:"):
        return None, "it has no name in the header (row numbers saved with the table?)"
    if series.isna().all():
        return None, "all of its cells are missing"
    if series.name in (encoding.texts or ()):
        return _fit_chosen_text(series, cells)
    if cells.kind == "number":
        return _fit_numeric(series, encoding, cells.not_numbers)
    if cells.kind == "category":
        return _fit_category(series, encoding, cells)
    if cells.kind in DATE_CONTENTS:
        return fit_dates(series, cells.not_dates)
    kind = "lists, dictionaries or other objects" if cells.kind == "mixed" else cells.kind
    return None, f"it holds {kind}, not numbers, dates, text, true or false; convert it to numbers to use it"


def _fit_numeric(
    series: pd.Series, encoding: NumericEncoding, not_numbers: BadCells | None
) -> tuple[Column | None, str]:
    values, _ = tolerated_numbers(series, 1.0, reads_booleans=False)
    if values.min() == values.max():  # NaN is not equal to itself
        return None, "all of its cells are equal"
    column = encoding.fit(str(series.name), values)
    return column, not_numbers.as_missing("numbers") if not_numbers is not None and not_numbers.n_bad else ""


def _fit_chosen_text(series: pd.Series, cells: ColumnCells) -> tuple[Column | None, str]:
    """Return the encoder of a column that the user has named as one of text."""
    name = str(series.name)
    if cells.kind != "category":
        raise WrongArgument(f"Column {name!r} is named as one of text, but its cells are of the kind {cells.kind!r}.")
    column = fit_text(name, _texts(series, cells.categories), cells.categories.n_missing > 0)
    return column, "" if column is not None else f"no word of its text is in {MIN_NGRAM_ROWS} rows, and not in as many"


def _fit_category(series: pd.Series, encoding: NumericEncoding, cells: ColumnCells) -> tuple[Column | None, str]:
    found, not_numbers = cells.categories, cells.not_numbers
    names = spelled_alike(list(found.counts))
    distinct, has_missing = sorted(set(names)), found.n_missing > 0
    if len(distinct) == 1 and not has_missing:
        return None, "all of its cells are equal"
    is_text = contents(series) == "string" or all(isinstance(cell, str) for cell in series.dropna().unique())
    reason = ""
    if len(distinct) > MAX_CATEGORIES:
        reason = f"it has {found.n_shown(len(distinct))} different texts, but at most {MAX_CATEGORIES} are encoded"
    elif len(distinct) == found.n_present:
        reason = "its text is different in every row"
    thousands = thousands_of(names) if is_text and not _has_category_type(series) else ""
    if reason and not_numbers is not None and not_numbers.n_present and not not_numbers.n_bad and not thousands:
        column, numeric_reason = _fit_numeric(series, encoding, not_numbers)
        return (
            column,
            numeric_reason if column is None else "holds numbers as text, and is used as a column of numbers",
        )
    if (reason or len(distinct) > MANY_DISTINCT) and _share_of_matches(names, ISO_DATE) > 0.5:
        dates, note = fit_dates(series, cells.not_dates)
        if dates is not None:
            return dates, f"holds dates as text, and is used as a column of dates{note and '; it ' + note}"
    if holds_dates := bool(reason) and _share_of_matches(names, DATE) > 0.5:
        reason = f"it holds dates as text, such as {names[0]!r}; to use it, {dates_of(str(series.name))}"
    hint, remedy = thousands or ("" if _has_category_type(series) else conversion_of(str(series.name), names)), ""
    if not reason and _share_of_matches(names, DATE) > 0.5 and _share_of_matches(names, ISO_DATE) <= 0.5:
        hint = f"its texts look like dates, such as {names[0]!r}: to use them as dates, {dates_of(str(series.name))}"
    if not hint and not_numbers is not None and not_numbers.n_bad and not_numbers.is_half:
        remedy = "; if numbers are meant, correct or empty those cells"
        hint = (
            f"it holds no numbers in {count_of(not_numbers.n_bad, not_numbers.n_present)} "
            f"({not_numbers.examples}), and a column of numbers may in {100 * MAX_BAD_FRACTION:g} %"
        )
    frequent, share = frequent_categories(found, names) if len(distinct) > MAX_CATEGORIES else ([], 0.0)
    if reason and share < MIN_SHARE_OF_FREQUENT:
        may_be_text = encoding.texts is None and is_text and not (hint or _has_category_type(series))
        if may_be_text and (text := _running_text(series, found)) is not None:
            return text, ""
        if not frequent or holds_dates or hint:
            all_rare = len(distinct) > MAX_CATEGORIES and not (frequent or holds_dates)
            return None, f"{reason}; {hint}" if hint else f"{reason}{f', and none is in {MIN_ROWS} rows' * all_rare}"
    if frequent:
        least = "" if len(frequent) == MAX_CATEGORIES else f" (in {MIN_ROWS} rows or more)"
        where = "" if share >= MIN_SHARE_OF_FREQUENT else f", which are in {100.0 * share:.2g} % of the cells"
        column = CategoryColumn(str(series.name), tuple(frequent), has_missing, is_text, has_rest=True)
        n = found.n_shown(len(distinct))
        note = f"has {n} categories, and the {len(frequent)} most frequent{least} are encoded{where}; others are zeros"
        return column, f"{note}; {hint}" if hint else note
    column = CategoryColumn(str(series.name), tuple(distinct), has_missing, is_text)
    return column, f"is used as {counted(len(distinct), 'category', 'categories')}: {hint}{remedy}" if hint else ""


def _texts(series: pd.Series, cells: CellCounts) -> Counter[str]:
    """Return numbers of cells by text: of all rows or, if some of their texts are forgotten, of those in `series`.

    Of texts that each occur once, those that are not forgotten are the first rows of the table.
    """
    return CellCounts.of(series).counts if cells.has_forgotten else cells.counts


def _running_text(series: pd.Series, cells: CellCounts) -> TextColumn | None:
    """Return the encoder of a column of text with several words in its cells, or None for another one."""
    texts = _texts(series, cells)
    column = fit_text(str(series.name), texts, cells.n_missing > 0) if is_running_text(texts) else None
    return column if column is not None and column.share >= MIN_SHARE_OF_TEXT else None


def _share_of_matches(names: list[str], pattern: re.Pattern[str]) -> float:
    return float(np.mean([pattern.fullmatch(name.strip()) is not None for name in names]))


def _has_category_type(series: pd.Series) -> bool:
    """Return whether a column has pandas' category type, which is the user's word that it holds categories."""
    import pandas as pd

    return isinstance(series.dtype, pd.CategoricalDtype)


def mostly_numbers_note(series: pd.Series) -> str:
    """Return a sentence on a column of pandas' category type with texts among categories that are numbers, or "".

    Such a column is often one of numbers with a few cells such as "unknown", converted to save memory.
    """
    import pandas as pd

    if not _has_category_type(series):
        return ""
    distinct = pd.Series(series.dropna().unique().astype(object))
    reading = read_numbers(distinct)
    n, n_numbers = len(distinct), len(distinct) - reading.n_bad
    if not reading.n_bad or 2 * n_numbers <= n:
        return ""
    return (
        f"Column {series.name!r} is used as categories, because its type is category, although {n_numbers} of its {n} "
        f"categories are numbers (not {examples(distinct, reading.bad)}); if numbers are meant, convert it: "
        "pandas.to_numeric(column.astype(object), errors='coerce')."
    )


def order_note(series: pd.Series, column: Column) -> str:
    """Return a sentence on a column of ordered categories, or "": nets know which category a cell has, and no order."""
    if not (_has_category_type(series) and series.cat.ordered) or not isinstance(column, CategoryColumn):
        return ""
    if len(column.categories) <= 2:  # which have the same meaning in either order
        return ""
    return f"Column {series.name!r} is used as categories: their order is not used; to use it, give it as numbers."


def column_to_dict(column: Column) -> dict[str, Any]:
    """Return an encoder as a dict of text and numbers, for JSON."""
    return {"kind": column.kind, **asdict(column)}


def column_from_dict(description: dict[str, Any]) -> Column:
    """Return the encoder that `column_to_dict` described.

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
    encoder: Any = KINDS[kind]
    return encoder(**settings)
