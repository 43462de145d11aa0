"""Columns as numbers: the kind of a column, conversion to float64, and tolerance of a few cells that are not numbers.

pandas is imported inside functions only, because it is an optional extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .bad_cells import BadCells
from .cells import MIXTURES, NUMBERS, Reading, categories_of, contents, examples, is_plain, read_numbers, spelled_alike
from .cells_of_pieces import no_such_cells
from .number_formats import mark_of_thousands

if TYPE_CHECKING:
    import pandas as pd

ANY = 2.0  # as max_fraction of tolerated_numbers: all cells may be no numbers
TRUTHS = {"true", "false", "1", "0", "1.0", "0.0"}
LARGEST_NUMBER = 1e30  # its square is far below the float64 limit, so mean and standard deviation are finite


def column_kind(series: pd.Series) -> str:
    """Return the kind of a column: "number", "category", or the name of another type (dates, lists, bytes).

    In a column of numbers up to 5 % of the cells may not be numbers. A text column in which every cell looks like a
    number is a category.
    """
    import pandas as pd

    kind = contents(series)
    if isinstance(series.dtype, pd.CategoricalDtype) or kind == "boolean":
        return "category"
    if kind in NUMBERS:
        return "number"
    if kind not in MIXTURES or (kind != "string" and not all(map(is_plain, series.dropna()))):
        return kind
    if not may_be_numbers(read_numbers(series), kind == "string"):
        return "category"
    return kind_of_names(categories_of(series)[1], kind == "string")


def may_be_numbers(cells: Reading | BadCells, is_string: bool) -> bool:
    """Return whether enough cells of a column, all of them plain, are numbers; is_string : whether all are text"""
    return cells.is_tolerable and not (is_string and not cells.n_bad)


def kind_of_names(names: list[str], is_string: bool) -> str:
    """Return the kind of a column that may be numbers; names : of its categories; is_string : whether all are text"""
    if is_string and mark_of_thousands(names):
        return "category"
    return "number" if spelled_alike(names) == names else "category"  # booleans mixed with 1 and 0: a category


def is_text_or_mixed(series: pd.Series) -> bool:
    """Return whether the cells are text, or numbers and text, so that some may not be numbers."""
    kind = contents(series)
    return kind == "string" or (kind in MIXTURES and all(map(is_plain, series.dropna())))


def holds_truths(series: pd.Series) -> bool:
    """Return whether the cells of a column of text or mixed types are true and false, in any spelling."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub":
        return False
    return is_text_or_mixed(series) and {str(cell).lower() for cell in series.dropna().unique()} <= TRUTHS


def numbers_of(series: pd.Series) -> np.ndarray:
    """Return a column as float64 (n_rows,), with NaN for missing cells. Raises ValueError for text and infinity."""
    return tolerated_numbers(series, 0.0)[0]


def tolerated_numbers(
    series: pd.Series, max_fraction: float, reads_booleans: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return (values, bad): a column as float64 (n_rows,), and a mask of the cells that are not numbers.

    Cells that are missing or not numbers are NaN. Raises ValueError for numbers beyond LARGEST_NUMBER.

    max_fraction : fraction of the present cells; ValueError if so many or more are not numbers
    reads_booleans : whether to read the texts "true" and "false" as 1 and 0, as in read_numbers
    """
    reading = read_numbers(series, reads_booleans)
    if reading.n_bad and reading.n_bad >= max_fraction * reading.n_present:
        raise no_such_cells(
            str(series.name), "numbers", examples(series, reading.bad), reading.n_bad, reading.n_present
        )
    values = reading.values
    too_large = np.abs(values) > LARGEST_NUMBER
    if too_large.any():
        example = values[too_large][0]
        raise ValueError(
            f"Column {series.name!r} should hold finite numbers below {LARGEST_NUMBER:g} in size, but holds "
            f"{example:g}; correct or empty such cells."
        )
    return values, reading.bad


def text_as_numbers(series: pd.Series) -> tuple[np.ndarray, str] | None:
    """Return (float64 (n_rows,), note) for a column of numbers that also holds text, and None for any other column.

    Call it before a table is split into training and held-out rows: a part without the cells that are not numbers
    would be read as categories.
    """
    if contents(series) not in MIXTURES or column_kind(series) != "number":
        return None
    values, bad = tolerated_numbers(series, 1.0, reads_booleans=False)
    found = BadCells.of(series, bad, len(series))
    return values, f"Column {series.name!r} {found.as_missing('numbers')}." if found.n_bad else ""
