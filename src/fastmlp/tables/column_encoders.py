"""Encoding of one table column as features: three immutable encoders, and the choice between them.

cells.py interprets single cells, column_numbers.py reads columns as numbers.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtri

from ..errors import unknown_name
from .cells import (
    MAX_BAD_FRACTION,
    MISSING_TEXTS,
    MIXTURES,
    Spellings,
    categories_of,
    contents,
    examples,
    read_numbers,
    spelled_alike,
)
from .column_numbers import bad_cells_text, column_kind, count_of, tolerated_numbers

if TYPE_CHECKING:
    import pandas as pd

SCALINGS = ("auto", "standard", "quantile")
MAX_CATEGORIES = 255
MIN_NOTE_ROWS = 10  # rows from which an entirely missing column is reported even if training had missing cells
MANY_DISTINCT = 32  # scaling="auto" uses quantiles for columns with more distinct numbers
# One stored quantile per 30 rows, at least 10 and at most 1000: code of Gorishniy et al. 2021, arXiv:2106.11959.
ROWS_PER_QUANTILE, MIN_QUANTILES, MAX_QUANTILES = 30, 10, 1000

DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d{4}|\d\d)([ ].*)?", re.ASCII)


class Note(NamedTuple):
    """Sentence on a column of a table for prediction.

    is_serious : whether most cells of the column are of a kind unseen in training
    """

    text: str
    is_serious: bool


class _NumericColumn(ABC):
    """Encoder of a numeric column: one feature, plus an indicator of missing cells if training had any."""

    name: str
    marks_missing: bool

    missing_meaning: ClassVar[str]  # value that a missing cell is encoded as, for messages

    @abstractmethod
    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers of a column on the scale of the features, with NaN for missing cells."""

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} is missing"] if self.marks_missing else [self.name]

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`; a missing cell becomes 0.

        Cells that are not numbers count as missing if they are fewer than half.

        series : the column
        out : (n_rows, n features of this column), written

        Returns
        -------
        list of Note
            Differences from the training table.

        Raises
        ------
        ValueError
            If half of the cells or more are not numbers, or a number is infinite or far too large.
        """
        values, bad = tolerated_numbers(series, 0.5)
        missing = np.isnan(values)
        with np.errstate(over="ignore"):
            out[:, 0] = np.where(missing, 0.0, self.scores(values))
        if not np.isfinite(out[:, 0]).all():
            raise ValueError(
                f"Column {self.name!r} holds {values[~np.isfinite(out[:, 0])][0]:g}, which is too far from the numbers "
                "of the training table to be scaled; correct or empty such cells."
            )
        if self.marks_missing:
            out[:, 1] = missing
        return self._notes(series, bad, int(np.count_nonzero(missing)))

    def _notes(self, series: pd.Series, bad: np.ndarray, n_missing: int) -> list[Note]:
        n, n_bad = len(series), int(np.count_nonzero(bad))
        notes = []
        if n_bad:
            notes.append(Note(f"Column {self.name!r} {bad_cells_text(series, bad)}.", True))
        if n_missing > n_bad:
            notes += missing_note(self.name, n_missing - n_bad, n, self.marks_missing, self.missing_meaning)
        return notes


def missing_note(name: str, n_missing: int, n: int, had_missing: bool, missing_meaning: str) -> list[Note]:
    """Return a note if a column has missing cells but had none in training, or if all of its cells are missing.

    n_missing, n : number of missing cells and of all cells
    had_missing : whether the column had missing cells in training
    missing_meaning : value that a missing cell is encoded as
    """
    if not had_missing:
        cells = count_of(n_missing, n)
        text = f"Column {name!r} is missing in {cells}, but in none of training; such cells count as {missing_meaning}."
        return [Note(text, 2 * n_missing > n)]
    return [Note(f"Column {name!r} is missing in {count_of(n, n)}.", True)] if n_missing == n >= MIN_NOTE_ROWS else []


@dataclass(frozen=True)
class StandardColumn(_NumericColumn):
    """Standardisation: (x - mean) / std of the training data; a missing cell counts as the mean."""

    name: str
    mean: float
    std: float
    marks_missing: bool
    kind: ClassVar[str] = "standard"
    missing_meaning: ClassVar[str] = "the mean"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"column {self.name!r} needs a finite mean and a positive std")

    @classmethod
    def fit(cls, name: str, present: np.ndarray, marks_missing: bool) -> StandardColumn:
        constant = present.min() == present.max()
        return cls(name, float(present.mean()), 1.0 if constant else float(present.std()), marks_missing)

    def scores(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std


@dataclass(frozen=True)
class QuantileColumn(_NumericColumn):
    """Quantile transform to a normal distribution: a piecewise linear map of training quantiles to normal quantiles.

    The transform is insensitive to skew and outliers: results lie within ±3.3, and numbers outside the training range
    are clipped to it. Equal numbers get the score of their mean rank. A missing cell counts as the median.
    """

    name: str
    quantiles: tuple[float, ...]  # at evenly spaced probabilities from 0 to 1; ascending, with repetitions
    marks_missing: bool
    kind: ClassVar[str] = "quantile"
    missing_meaning: ClassVar[str] = "the median"

    def __post_init__(self) -> None:
        knots = np.asarray(self.quantiles, dtype=np.float64)
        if knots.ndim != 1 or len(knots) < 2 or not np.isfinite(knots).all() or (np.diff(knots) < 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite quantiles")

    @classmethod
    def fit(cls, name: str, present: np.ndarray, marks_missing: bool) -> QuantileColumn:
        n_quantiles = min(max(len(present) // ROWS_PER_QUANTILE, MIN_QUANTILES), MAX_QUANTILES)
        quantiles = np.quantile(present, np.linspace(0.0, 1.0, n_quantiles))
        # np.quantile interpolates, and rounding may break the ascending order by one unit in the last place
        return cls(name, tuple(np.maximum.accumulate(quantiles).tolist()), marks_missing)

    def knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (numbers, scores), float64 (n_knots,): the points of the piecewise linear map, numbers ascending."""
        knots, first, counts = np.unique(self.quantiles, return_index=True, return_counts=True)
        n = len(self.quantiles)
        probability = (first + 0.5 * (counts - 1)) / (n - 1)
        return knots, ndtri(probability.clip(0.5 / n, 1 - 0.5 / n))  # ndtri(0) is not finite

    def scores(self, values: np.ndarray) -> np.ndarray:
        return np.interp(values, *self.knots())


@dataclass(frozen=True)
class CategoryColumn:
    """One-hot encoding: one feature per category, plus one for missing cells if training had any.

    A category unseen in training is encoded as all zeros.
    """

    name: str
    categories: tuple[str, ...]
    has_missing: bool
    is_text: bool  # whether cells must be read as text even if they look like numbers
    kind: ClassVar[str] = "category"

    def __post_init__(self) -> None:
        texts = {category for category in self.categories if isinstance(category, str)}
        if len(texts) != len(self.categories):
            raise ValueError(f"column {self.name!r} needs distinct texts as categories")

    @property
    def feature_names(self) -> list[str]:
        names = [f"{self.name} = {category}" for category in self.categories]
        return [*names, f"{self.name} is missing"] if self.has_missing else names

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`.

        Categories match in any spelling, such as true and 1; see cells.Spellings.

        series : the column
        out : (n_rows, n features of this column), written

        Returns
        -------
        list of Note
            Differences from the training table.
        """
        codes, names = categories_of(series)
        find = Spellings(self.categories).find
        missing_index = len(self.categories) if self.has_missing else -1
        indices = np.array([*map(find, names), -1])
        is_missing = np.array([*(name.strip().lower() in MISSING_TEXTS for name in names), True]) & (indices < 0)
        missing = is_missing[codes]  # in an array of text, None and NaN are the texts "None" and "nan"
        feature = np.where(is_missing, missing_index, indices)[codes]
        known = np.flatnonzero(feature >= 0)
        out[:] = 0
        out[known, feature[known]] = 1
        n = len(series)
        n_missing = int(np.count_nonzero(missing))
        notes = []
        if n_unseen := n - len(known) - (0 if self.has_missing else n_missing):
            cells = f"{count_of(n_unseen, n)} ({examples(series, (feature < 0) & ~missing)})"
            text = f"Column {self.name!r} has categories unseen in training in {cells}, which are encoded as zeros."
            notes.append(Note(text, 2 * n_unseen > n - n_missing))
        if n_missing:
            notes += missing_note(self.name, n_missing, n, self.has_missing, "none of its categories")
        return notes


Column = StandardColumn | QuantileColumn | CategoryColumn
KINDS: dict[str, type[Column]] = {row.kind: row for row in (StandardColumn, QuantileColumn, CategoryColumn)}


def fit_column(series: pd.Series, scaling: str = "auto") -> tuple[Column | None, str]:
    """Return (encoder, note) for a column of the training table.

    The encoder is None for a column that cannot be used; the note is "" if there is nothing to report.

    scaling : scaling of numbers, one of SCALINGS
    """
    if scaling not in SCALINGS:
        raise unknown_name("scaling", scaling, SCALINGS)
    column, reason = _choose_encoder(series, column_kind(series), scaling)
    if column is None:
        return None, f"Column {series.name!r} is left out: {reason}."
    return column, reason and f"Column {series.name!r} {reason}."


def _choose_encoder(series: pd.Series, kind: str, scaling: str) -> tuple[Column | None, str]:
    if str(series.name).startswith("Unnamed:"):
        return None, "it has no name in the header (row numbers saved with the table?)"
    if series.isna().all():
        return None, "all of its cells are missing"
    if kind == "number":
        return _fit_numeric(series, scaling)
    if kind == "category":
        return _fit_category(series, scaling)
    return None, f"it holds {kind}, not numbers, text, true or false; convert it to numbers to use it"


def _fit_numeric(series: pd.Series, scaling: str) -> tuple[Column | None, str]:
    values, bad = tolerated_numbers(series, 1.0, reads_booleans=False)
    present = values[~np.isnan(values)]
    marks_missing = len(present) < len(values)
    n_distinct = len(np.unique(present))
    if n_distinct == 1 and not marks_missing:
        return None, "all of its cells are equal"
    if scaling == "auto":
        scaling = "quantile" if n_distinct > MANY_DISTINCT else "standard"
    fit = QuantileColumn.fit if scaling == "quantile" else StandardColumn.fit
    column = fit(str(series.name), present, marks_missing)
    return column, bad_cells_text(series, bad) if bad.any() else ""


def _fit_category(series: pd.Series, scaling: str) -> tuple[Column | None, str]:
    codes, names = categories_of(series)
    names = spelled_alike(names)
    distinct, has_missing = sorted(set(names)), bool((codes < 0).any())
    if len(distinct) == 1 and not has_missing:
        return None, "all of its cells are equal"
    is_text = contents(series) == "string" or all(isinstance(cell, str) for cell in series.dropna().unique())
    reading = read_numbers(series) if contents(series) in MIXTURES else None
    reason = ""
    if len(distinct) > MAX_CATEGORIES:
        reason = f"it has {len(distinct)} different texts, but at most {MAX_CATEGORIES} are encoded"
    elif len(distinct) == (codes >= 0).sum():
        reason = "its text is different in every row"
    if reason and reading is not None and reading.n_present and not reading.n_bad:
        column, numeric_reason = _fit_numeric(series, scaling)
        return (
            column,
            numeric_reason if column is None else "holds numbers as text, and is used as a column of numbers",
        )
    if reason and np.mean([DATE.fullmatch(name.strip()) is not None for name in names]) > 0.5:
        reason = f"it holds dates as text, such as {names[0]!r}; convert them to numbers, such as days, to use it"
    hint = ""
    if reading is not None and reading.n_bad and reading.is_half:
        hint = (
            f"it holds no numbers in {count_of(reading.n_bad, reading.n_present)} "
            f"({examples(series, reading.bad)}), and a column of numbers may in {100 * MAX_BAD_FRACTION:g} %"
        )
    if reason:
        return None, f"{reason}; {hint}" if hint else reason
    column = CategoryColumn(str(series.name), tuple(distinct), has_missing, is_text)
    return (
        column,
        f"is used as categories: {hint}; if numbers are meant, correct or empty those cells" if hint else "",
    )


def mostly_numbers_note(series: pd.Series) -> str:
    """Return a sentence on a column of pandas' category type with texts among categories that are numbers, or "".

    Such a column is often one of numbers with a few cells such as "unknown", converted to save memory.
    """
    import pandas as pd

    if not isinstance(series.dtype, pd.CategoricalDtype):
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
    encoder: Any = KINDS[description["kind"]]
    return encoder(**settings)
