"""How one column of a table becomes features: three small frozen encoders, and the choice between them.

pandas is imported where a table is at hand, never at the top: it is an optional extra.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import ndtri

from .errors import is_number, unknown_name

if TYPE_CHECKING:
    import pandas as pd

SCALINGS = ("auto", "standard", "quantile")
LARGEST_NUMBER = 1e30  # its square is still far from the float64 limit, so means and deviations are finite
MAX_CATEGORIES = 255
MANY_DISTINCT = 32  # "auto" maps columns with more distinct numbers through their quantiles
# One stored quantile per 30 rows, at least 10 and at most 1000: Gorishniy et al. 2021, arXiv:2106.11959, in their code.
ROWS_PER_QUANTILE, MIN_QUANTILES, MAX_QUANTILES = 30, 10, 1000

NUMERIC_DTYPES = ("integer", "floating", "mixed-integer-float", "decimal", "empty")
CATEGORY_DTYPES = ("string", "boolean", "mixed-integer")


def column_kind(series: pd.Series) -> str:
    """ "number", "category", or the name of a type that is neither (dates, lists, bytes)."""
    import pandas as pd
    from pandas.api import types

    if isinstance(series.dtype, pd.CategoricalDtype) or types.is_bool_dtype(series):
        return "category"
    if types.is_numeric_dtype(series) and not types.is_complex_dtype(series):
        return "number"
    content = types.infer_dtype(series, skipna=True)
    if content in NUMERIC_DTYPES:
        return "number"
    return "category" if content in CATEGORY_DTYPES else content


def numbers_of(series: pd.Series) -> np.ndarray:
    """The column as float64 (n_rows,), NaN where a cell is missing; ValueError for text and for infinite numbers."""
    try:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        example = next(cell for cell in series.dropna() if not is_number(cell))
        raise ValueError(
            f"Column {series.name!r} should hold numbers, but holds {example!r}; correct or empty such cells."
        ) from None
    too_large = np.abs(values) > LARGEST_NUMBER
    if too_large.any():
        example = values[too_large][0]
        raise ValueError(
            f"Column {series.name!r} should hold finite numbers below {LARGEST_NUMBER:g} in size, but holds "
            f"{example:g}; correct or empty such cells."
        )
    return values


class _NumericColumn(ABC):
    """One feature, and a second one that marks missing cells if there were any in training."""

    name: str
    marks_missing: bool

    @abstractmethod
    def scores(self, values: np.ndarray) -> np.ndarray:
        """Numbers of the column on the scale the net sees, NaN where the cell is missing."""

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} is missing"] if self.marks_missing else [self.name]

    def encode(self, series: pd.Series, out: np.ndarray) -> None:
        """Write the features (n_rows, n_features of this column) of `series` into `out`; a missing cell is 0."""
        values = numbers_of(series)
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


@dataclass(frozen=True)
class StandardColumn(_NumericColumn):
    """(x - mean) / std of the numbers seen in training; a missing cell counts as the mean."""

    name: str
    mean: float
    std: float
    marks_missing: bool
    kind: ClassVar[str] = "standard"

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
    """The normal score of x: a piecewise linear map of the training quantiles to those of the normal distribution.

    Insensitive to skew and to outliers: the result lies within ±3.3, and numbers outside of the training range are
    mapped to its ends. Equal numbers get the score of their mean rank. A missing cell counts as the median.
    """

    name: str
    quantiles: tuple[float, ...]  # at evenly spaced probabilities from 0 to 1, ascending, repeated where x repeats
    marks_missing: bool
    kind: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        knots = np.asarray(self.quantiles, dtype=np.float64)
        if knots.ndim != 1 or len(knots) < 2 or not np.isfinite(knots).all() or (np.diff(knots) < 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite quantiles")

    @classmethod
    def fit(cls, name: str, present: np.ndarray, marks_missing: bool) -> QuantileColumn:
        n_quantiles = min(max(len(present) // ROWS_PER_QUANTILE, MIN_QUANTILES), MAX_QUANTILES)
        quantiles = np.quantile(present, np.linspace(0.0, 1.0, n_quantiles))
        # np.quantile interpolates, and rounding may break the order by one unit in the last place
        return cls(name, tuple(np.maximum.accumulate(quantiles).tolist()), marks_missing)

    def scores(self, values: np.ndarray) -> np.ndarray:
        knots, first, counts = np.unique(self.quantiles, return_index=True, return_counts=True)
        n = len(self.quantiles)
        probability = (first + 0.5 * (counts - 1)) / (n - 1)
        return np.interp(values, knots, ndtri(probability.clip(0.5 / n, 1 - 0.5 / n)))  # the ends have no finite score


@dataclass(frozen=True)
class CategoryColumn:
    """One feature per category, 1 where it applies; missing is a category of its own if it occurred in training.

    A category that training did not see is all zeros.
    """

    name: str
    categories: tuple[str, ...]
    has_missing: bool
    is_text: bool  # whether cells are to be read as text even where they look like numbers
    kind: ClassVar[str] = "category"

    def __post_init__(self) -> None:
        texts = {category for category in self.categories if isinstance(category, str)}
        if len(texts) != len(self.categories):
            raise ValueError(f"column {self.name!r} needs distinct texts as categories")

    @property
    def feature_names(self) -> list[str]:
        names = [f"{self.name} = {category}" for category in self.categories]
        return [*names, f"{self.name} is missing"] if self.has_missing else names

    def encode(self, series: pd.Series, out: np.ndarray) -> None:
        """Write the features (n_rows, n_features of this column) of `series` into `out`."""
        codes, keys = categories_of(series)
        position = {category: k for k, category in enumerate(self.categories)}
        of_missing = len(self.categories) if self.has_missing else -1
        feature = np.array([*(position.get(key, -1) for key in keys), of_missing])[codes]
        known = np.flatnonzero(feature >= 0)
        out[:] = 0
        out[known, feature[known]] = 1


def categories_of(series: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Codes (n_rows,), -1 where a cell is missing, and the name of each code."""
    import pandas as pd

    codes, found = pd.factorize(series)
    return codes, [str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell) for cell in found]


Column = StandardColumn | QuantileColumn | CategoryColumn
KINDS: dict[str, type[Column]] = {row.kind: row for row in (StandardColumn, QuantileColumn, CategoryColumn)}


def fit_column(series: pd.Series, scaling: str = "auto") -> Column | str:
    """The encoder for a column of the training table, or the reason why the column cannot be used."""
    if scaling not in SCALINGS:
        raise unknown_name("scaling", scaling, SCALINGS)
    kind = column_kind(series)
    if str(series.name).startswith("Unnamed:"):
        return "it has no name in the header (row numbers saved with the table?)"
    if series.isna().all():
        return "all of its cells are missing"
    if kind == "number":
        return _fit_numeric(series, scaling)
    if kind == "category":
        return _fit_category(series)
    return f"it holds {kind}, not numbers, text, true or false; turn it into numbers to use it"


def _fit_numeric(series: pd.Series, scaling: str) -> Column | str:
    values = numbers_of(series)
    present = values[~np.isnan(values)]
    marks_missing = len(present) < len(values)
    n_distinct = len(np.unique(present))
    if n_distinct == 1 and not marks_missing:
        return "all of its cells are equal"
    if scaling == "auto":
        scaling = "quantile" if n_distinct > MANY_DISTINCT else "standard"
    fit = QuantileColumn.fit if scaling == "quantile" else StandardColumn.fit
    return fit(str(series.name), present, marks_missing)


def _fit_category(series: pd.Series) -> Column | str:
    codes, keys = categories_of(series)
    has_missing = bool((codes < 0).any())
    if len(keys) == 1 and not has_missing:
        return "all of its cells are equal"
    if len(keys) > MAX_CATEGORIES:
        return f"it has {len(keys)} different texts, and at most {MAX_CATEGORIES} can be told apart"
    if len(keys) == (codes >= 0).sum():
        return "its text is different in every row"
    is_text = all(isinstance(cell, str) for cell in series.dropna().unique())
    return CategoryColumn(str(series.name), tuple(sorted(keys)), has_missing, is_text)


def column_to_dict(column: Column) -> dict[str, Any]:
    """The column as text and numbers, for JSON."""
    return {"kind": column.kind, **asdict(column)}


def column_from_dict(description: dict[str, Any]) -> Column:
    """The inverse of `column_to_dict`; a damaged description is a KeyError, TypeError or ValueError."""
    settings = {
        key: tuple(value) if isinstance(value, list) else value for key, value in description.items() if key != "kind"
    }
    if not isinstance(description["name"], str):
        raise TypeError(f"a column's name should be text, but is {description['name']!r}")
    make: Any = KINDS[description["kind"]]
    return make(**settings)
