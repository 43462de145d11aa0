"""Interpretation of table cells, independent of their type: a number, the name of a category, or missing.

The same column may hold true and false in one source, 0 and 1 in another, and text in a third; integers become floats
if a cell is missing. Training and prediction both read cells through this module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Names that pandas gives to the contents of a column; columns in MIXTURES are read cell by cell.
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")
MIXTURES = ("string", "mixed", "mixed-integer", "unknown-array")
MISSING_TEXTS = {"", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "<na>"}  # in lower case
BOOLEANS = {"false": "False", "true": "True"}
BOOLEAN_OF_NUMBER = {"0": "False", "1": "True"}
NUMBER_OF_BOOLEAN = {truth: number for number, truth in BOOLEAN_OF_NUMBER.items()}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
EXACT_DIGITS = 7  # fractions that agree to so many digits are the same category; float32 keeps no more
MAX_BAD_FRACTION = 0.05  # fraction of the cells in a column of numbers that may not be numbers; these count as missing


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


class Reading(NamedTuple):
    """A column read as numbers.

    values : float64 (n_rows,)    NaN where a cell is missing or not a number
    bad : bool (n_rows,)          whether a cell is present, but not a number
    n_present : int               number of cells that are not missing, including bad ones
    """

    values: np.ndarray
    bad: np.ndarray
    n_present: int

    @property
    def n_bad(self) -> int:
        return int(np.count_nonzero(self.bad))

    @property
    def is_tolerable(self) -> bool:
        """Whether the column counts as numbers: at most the fraction MAX_BAD_FRACTION of its cells are not."""
        return is_tolerable(self.n_bad, self.n_present)

    @property
    def is_half(self) -> bool:
        """Whether at least half of the cells are numbers."""
        return is_half(self.n_bad, self.n_present)


def is_tolerable(n_bad: int, n_present: int) -> bool:
    """Return whether few enough of the cells that are not missing are no numbers, or no dates."""
    return n_bad < n_present and n_bad <= MAX_BAD_FRACTION * n_present


def is_half(n_bad: int, n_present: int) -> bool:
    return n_present > 0 and 2 * n_bad <= n_present


def read_numbers(series: pd.Series, reads_booleans: bool = False) -> Reading:
    """Read the cells of a column as numbers.

    reads_booleans : whether to read "true" and "false", in any letter case, as 1 and 0 instead of as bad cells
    """
    import pandas as pd

    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":  # the usual case, in a tenth of the time
        values = series.to_numpy(np.float64)
        return Reading(values, np.zeros(len(values), bool), int(np.count_nonzero(~np.isnan(values))))
    if isinstance(series.dtype, pd.CategoricalDtype):
        numbers_of_categories = read_numbers(pd.Series(series.cat.categories), reads_booleans)
        codes = series.cat.codes.to_numpy()
        values = np.append(numbers_of_categories.values, np.nan)[codes]
        bad = np.append(numbers_of_categories.bad, False)[codes]
        return Reading(values, bad, len(values) - int(np.count_nonzero(np.isnan(values) & ~bad)))
    kind = contents(series)
    if kind in NUMBERS or kind == "boolean":
        try:
            values = series.to_numpy(dtype=np.float64, na_value=np.nan)
            return Reading(values, np.zeros(len(values), bool), int(np.count_nonzero(~np.isnan(values))))
        except OverflowError:
            pass  # an integer beyond float64: read cell by cell
    return _read_each(series, kind, reads_booleans)


def _read_each(series: pd.Series, kind: str, reads_booleans: bool) -> Reading:
    import pandas as pd

    missing = series.isna().to_numpy()
    if kind not in MIXTURES and kind not in NUMBERS and kind != "boolean":  # dates, lists, bytes, complex numbers
        return Reading(np.full(len(series), np.nan), ~missing, int(np.count_nonzero(~missing)))
    codes: Any
    cells: Iterable[Any]
    if kind == "string":  # parse each distinct text once
        codes, cells = pd.factorize(series)
    else:
        codes, cells = np.arange(len(series)), series.astype(object)
    numbers_of_booleans = {"true": 1.0, "false": 0.0} if reads_booleans else {}
    numbers = [
        numbers_of_booleans[c.lower()] if isinstance(c, str) and c.lower() in numbers_of_booleans else number_of(c)
        for c in cells
    ]
    values = np.append(np.array([np.nan if number is None else number for number in numbers], np.float64), np.nan)
    bad = np.append(np.array([number is None for number in numbers], bool), False)
    values, bad = values[codes], bad[codes] & ~missing  # code -1, a missing cell, selects the appended last value
    return Reading(values, bad, int(np.count_nonzero(bad)) + int(np.count_nonzero(~np.isnan(values))))


def examples(series: pd.Series, selected: np.ndarray, n: int = 3) -> str:
    """Return the n most frequent of the cells selected by `selected`, as text: "'unknown', '?!', '-' and 2 others"."""
    return shown_examples(Counter(cell if isinstance(cell, str) else str(cell) for cell in series[selected]), n)


def shown_examples(counts: Counter[str], n: int = 3, is_complete: bool = True) -> str:
    """Return the n most frequent of texts, as of `examples`; is_complete : whether there are no others"""
    shown = ", ".join(repr(cell) for cell, _ in counts.most_common(n))
    n_others = len(counts) - n
    if not is_complete:
        return f"{shown} and others"
    return shown + (f" and {n_others} other{'s' if n_others > 1 else ''}" if n_others > 0 else "")


def count_of(n: int, total: int) -> str:
    if n == total:
        return "its only cell" if n == 1 else f"all {n} cells"
    return f"{n} of {total} cells"


def categories_of(series: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return category codes (n_rows,), with -1 for missing cells, and the name of each category."""
    import pandas as pd

    if series.dtype == object and contents(series) in ("mixed", "mixed-integer"):  # pandas equates True and 1
        present = series.notna().to_numpy()
        texts = np.full(len(series), None, object)
        texts[present] = [text_of(cell) for cell in series[present]]
        codes, names = pd.factorize(texts)
        return codes, list(names)
    codes, distinct_cells = pd.factorize(series)
    names = [text_of(cell) for cell in distinct_cells]
    if len(set(names)) == len(names):
        return codes, names
    merged, distinct = pd.factorize(np.array(names, object))
    return np.append(merged, -1)[codes], list(distinct)


def spelled_alike(names: Sequence[str]) -> list[str]:
    """Return category names with booleans spelled "True" and "False", if the column holds no other categories.

    0 and 1 become "False" and "True" only in a column that also has a category spelled as a boolean.
    """
    canonical = [_canonical_spelling(name) for name in names]
    booleans = [BOOLEAN_OF_NUMBER.get(name, name) for name in canonical]
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
        self._exact = {name: k for k, name in enumerate(names)}
        canonical = [_canonical_spelling(name) for name in names]
        counts = Counter(canonical)
        self._canonical = {name: k for k, name in enumerate(canonical) if counts[name] == 1}
        if not any(NUMBER.fullmatch(name) and name not in BOOLEAN_OF_NUMBER for name in canonical):
            for number, truth in BOOLEAN_OF_NUMBER.items():
                for name, other_name in ((number, truth), (truth, number)):
                    if counts[name] == 1 and other_name not in counts:
                        self._canonical[other_name] = self._canonical[name]

    def find(self, name: str) -> int:
        """Return the index of the category, or -1 if there is none."""
        index = self._exact.get(name)
        return self._canonical.get(_canonical_spelling(name), -1) if index is None else index
