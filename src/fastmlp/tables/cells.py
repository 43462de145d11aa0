"""Interpretation of table cells, independent of their type: a number, the name of a category, or missing.

The same column may hold true and false in one source, 0 and 1 in another, and text in a third; integers become floats
if a cell is missing. Training and prediction both read cells through this module.

pandas is imported inside functions only, because it is an optional extra.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import counted

if TYPE_CHECKING:
    import pandas as pd

# Names that pandas gives to the contents of a column; columns in MIXTURES are read cell by cell.
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")
MIXTURES = ("string", "mixed", "mixed-integer", "unknown-array")
# Types of the cells of a column: numbers; text, or numbers and text; booleans and pandas' categories.
NUMERIC, TEXT, CATEGORY = "numbers", "text", "category"
MISSING_TEXTS = {"", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "<na>"}  # in lower case
BOOLEANS = {"false": "False", "true": "True"}
BOOLEAN_OF_NUMBER = {"0": "False", "1": "True"}
NUMBER_OF_BOOLEAN = {truth: number for number, truth in BOOLEAN_OF_NUMBER.items()}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
EXACT_DIGITS = 7  # fractions that agree to so many digits are the same category; float32 keeps no more
MAX_BAD_FRACTION = 0.05  # fraction of the cells in a column of numbers that may not be numbers; these count as missing
HALF, ANY = 0.5, 2.0  # as most_bad of numbers_in: fewer than half of the cells may be no numbers, or all
TRUTHS = {"true", "false", "1", "0", "1.0", "0.0"}
MOST_LISTED, MOST_SHOWN = 20, 3  # things that a sentence names, and cells that it shows
LARGEST_NUMBER = 1e30  # its square is far below the float64 limit, so mean and standard deviation are finite


def is_plain(cell: object) -> bool:
    """Return whether a cell is text, a boolean or a number; NumPy counts durations among whole numbers."""
    return isinstance(cell, (str, Real, Decimal, np.bool_)) and not isinstance(cell, np.timedelta64)


def text_of(cell: Any) -> str:
    """Return a cell as the name of a category: "1" for 1, 1.0 and np.int8(1); "True" for True and np.True_."""
    if isinstance(cell, (str, bool, np.bool_)) or not is_plain(cell):
        return str(cell)
    if isinstance(cell, Integral):
        return str(int(cell))
    number = float(cell)
    if number.is_integer():
        return str(int(number))
    return str(cell) if isinstance(cell, np.floating) else str(number)


def number_of(cell: Any) -> float | None:
    """Return a cell as a number: NaN for text that marks a missing cell, None if it is not a number, 1 for True."""
    if isinstance(cell, str):
        text = cell.strip()
        if NUMBER.fullmatch(text):
            return float(text)
        return float("nan") if text.lower() in MISSING_TEXTS else None
    if not is_plain(cell):
        return None
    try:
        return float(cell)
    except OverflowError:  # an integer of more than 308 digits
        return float("inf") if cell > 0 else float("-inf")


def contents(series: pd.Series) -> str:
    """Return pandas' name for the type of the cells: "boolean", "floating", "string", "mixed", "datetime64", ..."""
    import pandas as pd
    from pandas.api import types

    if types.is_bool_dtype(series):
        return "boolean"
    if types.is_numeric_dtype(series):
        return "complex" if types.is_complex_dtype(series) else "floating"
    kind = types.infer_dtype(series, skipna=True)
    if kind == "unknown-array" and isinstance(series.dtype, pd.ArrowDtype):  # such as Arrow's dictionaries
        kind = types.infer_dtype(series.astype(object), skipna=True)
    return kind


class Reading:
    """A column read as numbers, or as dates.

    values : float64 (n_rows,)    NaN where a cell is missing or bad
    bad : bool (n_rows,)          whether a cell is present, but not a number
    n_bad, n_present : int        number of bad cells, and of those that are not missing, bad ones included
    """

    def __init__(self, values: np.ndarray, bad: np.ndarray | None = None):
        self.values, self.bad = values, np.zeros(len(values), bool) if bad is None else bad
        self.n_bad = int(np.count_nonzero(self.bad))
        self.n_present = self.n_bad + int(np.count_nonzero(~np.isnan(values)))

    @property
    def is_tolerable(self) -> bool:
        """Whether the column counts as numbers: at most the fraction MAX_BAD_FRACTION of its cells are not."""
        return self.n_bad < self.n_present and self.n_bad <= MAX_BAD_FRACTION * self.n_present

    @property
    def is_half(self) -> bool:
        """Whether at least half of the cells are numbers."""
        return self.n_present > 0 and 2 * self.n_bad <= self.n_present

    def as_missing(self, series: pd.Series, noun: str) -> str:
        """Return the part of a sentence that says that bad cells count as missing; noun : what they are not

        >>> import pandas as pd
        >>> series = pd.Series([1.5, "many", None, "many", "?!"])
        >>> read_numbers(series).as_missing(series, "numbers")
        "holds no numbers in 3 of 5 cells ('many', '?!'), which count as missing"
        """
        cells = f"{count_of(self.n_bad, len(series))} ({examples(series, self.bad)})"
        return f"holds no {noun} in {cells}, which count as missing"


def read_numbers(series: pd.Series, reads_booleans: bool = False) -> Reading:
    """Read the cells of a column as numbers.

    reads_booleans : whether to read "true" and "false", in any letter case, as 1 and 0 instead of as bad cells
    """
    import pandas as pd

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":  # the usual case, in a tenth of the time
        return Reading(series.to_numpy(np.float64))
    if isinstance(series.dtype, pd.CategoricalDtype):
        of_categories, codes = read_numbers(pd.Series(series.cat.categories), reads_booleans), series.cat.codes
        return Reading(np.append(of_categories.values, np.nan)[codes], np.append(of_categories.bad, False)[codes])
    kind = contents(series)
    if kind in NUMBERS or kind == "boolean":
        try:
            return Reading(series.to_numpy(dtype=np.float64, na_value=np.nan))
        except OverflowError:
            pass  # an integer beyond float64: read cell by cell
    missing = series.isna().to_numpy()
    if kind not in MIXTURES and kind not in NUMBERS and kind != "boolean":  # dates, lists, bytes, complex numbers
        return Reading(np.full(len(series), np.nan), ~missing)
    codes, cells = pd.factorize(series) if kind == "string" else (np.arange(len(series)), series.astype(object))
    truths = {"true": 1.0, "false": 0.0} if reads_booleans else {}
    numbers = [truths[c.lower()] if isinstance(c, str) and c.lower() in truths else number_of(c) for c in cells]
    values = np.array([*numbers, None], np.float64)  # None becomes NaN
    bad = np.array([number is None for number in [*numbers, np.nan]])
    return Reading(values[codes], bad[codes] & ~missing)  # code -1, a missing cell, selects the last value


def numbers_in(series: pd.Series, most_bad: float = 1.0, reads_booleans: bool = True) -> Reading:
    """Return a column as numbers; cells that are no numbers count as missing.

    most_bad : fraction of the present cells; ValueError if so many or more are not numbers
    reads_booleans : whether to read the texts "true" and "false" as 1 and 0, as in read_numbers

    Raises
    ------
    ValueError
        If too many cells are no numbers, or a number is beyond LARGEST_NUMBER.
    """
    reading = read_numbers(series, reads_booleans)
    refuse_misfits(series, reading, "numbers", most_bad)
    too_large = np.abs(reading.values) > LARGEST_NUMBER
    if too_large.any():
        raise ValueError(
            f"Column {series.name!r} should hold finite numbers below {LARGEST_NUMBER:g} in size, but holds "
            f"{reading.values[too_large][0]:g}; correct or empty such cells."
        )
    return reading


def refuse_misfits(series: pd.Series, reading: Reading, noun: str, most_bad: float) -> None:
    """Raise ValueError if a fraction most_bad or more of the present cells are not what they should be; noun : what"""
    if not reading.n_bad or reading.n_bad < most_bad * reading.n_present:
        return
    cells = f"{examples(series, reading.bad)} in {count_of(reading.n_bad, reading.n_present)}"
    raise ValueError(f"Column {series.name!r} should hold {noun}, but holds {cells}; correct or empty such cells.")


def type_of(series: pd.Series) -> str:
    """Return the type of the cells: NUMERIC, TEXT, CATEGORY, or pandas' name of any other."""
    kind = contents(series)
    if hasattr(series, "cat") or kind == "boolean":
        return CATEGORY
    if kind in NUMBERS:
        return NUMERIC
    return TEXT if kind == "string" or (kind in MIXTURES and all(map(is_plain, series.dropna()))) else kind


def holds_truths(series: pd.Series) -> bool:
    """Return whether the cells of a column of text or mixed types are true and false, in any spelling."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub":
        return False
    return type_of(series) == TEXT and {str(cell).lower() for cell in series.dropna().unique()} <= TRUTHS


def examples(series: pd.Series, selected: np.ndarray) -> str:
    """Return the most frequent of the cells selected by `selected`, as text: "'unknown', '?!', '-' and 2 others"."""
    counts = Counter(map(str, series[selected]))
    shown, n_others = ", ".join(repr(cell) for cell, _ in counts.most_common(MOST_SHOWN)), len(counts) - MOST_SHOWN
    return f"{shown} and {counted(n_others, 'other')}" if n_others > 0 else shown


def count_of(n: int, total: int) -> str:
    if n == total:
        return "its only cell" if n == 1 else f"all {n} cells"
    return f"{n} of {total} cells"


def listed(texts: Iterable[str], most: int = MOST_LISTED) -> str:
    """Return texts with commas between them, of many the first ones."""
    texts = list(texts)
    shown = ", ".join(texts[:most])
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown


def categories_of(series: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return category codes (n_rows,), with -1 for missing cells, and the name of each category."""
    import pandas as pd

    if series.dtype == object and contents(series) in ("mixed", "mixed-integer"):  # pandas equates True and 1
        present = series.notna().to_numpy()
        texts = np.full(len(series), None, object)
        texts[present] = list(map(text_of, series[present]))
        codes, names = pd.factorize(texts)
        return codes, list(names)
    codes, distinct_cells = pd.factorize(series)
    names = list(map(text_of, distinct_cells))
    if len(set(names)) == len(names):
        return codes, names
    merged, distinct = pd.factorize(np.array(names, object))
    return np.append(merged, -1)[codes], list(distinct)


def spelled_alike(names: Sequence[str]) -> list[str]:
    """Return category names with booleans spelled "True" and "False", if the column holds no other categories.

    0 and 1 become "False" and "True" only in a column that also has a category spelled as a boolean.
    """
    canonical = list(map(_canonical_spelling, names))
    booleans = list(map(BOOLEAN_OF_NUMBER.get, canonical, canonical))
    if set(booleans) <= set(NUMBER_OF_BOOLEAN) and not set(canonical) <= set(BOOLEAN_OF_NUMBER):
        return booleans
    return list(names)


def _canonical_spelling(name: str) -> str:
    """Return the canonical spelling of a boolean or a number; other text is only stripped."""
    text = name.strip()
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if not NUMBER.fullmatch(text) or abs(number := float(text)) == np.inf:
        return text
    if re.fullmatch(r"[-+]?\d+", text):
        return str(int(text)) if len(text) < 300 else text  # exact even beyond float64
    return str(int(number)) if number.is_integer() else f"{number:.{EXACT_DIGITS}g}"


class Spellings:
    """Lookup of categories by name, in any spelling: "1", "1.0" and "1e0" are the same.

    True matches 1 and False matches 0 if no other number is a category. An identical name is preferred; another
    spelling matches only if it is unambiguous.
    """

    def __init__(self, names: Sequence[str]):
        self._exact = dict(zip(names, range(len(names)), strict=True))
        canonical = list(map(_canonical_spelling, names))
        counts = Counter(canonical)
        self._canonical = {name: k for k, name in enumerate(canonical) if counts[name] == 1}
        if set(filter(NUMBER.fullmatch, canonical)) <= BOOLEAN_OF_NUMBER.keys():
            for number, truth in BOOLEAN_OF_NUMBER.items():
                for name, other_name in ((number, truth), (truth, number)):
                    if counts[name] == 1 and other_name not in counts:
                        self._canonical[other_name] = self._canonical[name]

    def find(self, name: str) -> int:
        """Return the index of the category, or -1 if there is none."""
        index = self._exact.get(name)
        return self._canonical.get(_canonical_spelling(name), -1) if index is None else index
