"""Which cells of a column of categories stand for which category, as lists that a graph or C code can look up.

tables/cells.py decides it: every spelling and every bound here is found by asking its Spellings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from ..tables.cells import BOOLEANS, MISSING_TEXTS, NUMBER, NUMBER_OF_BOOLEAN, Spellings, text_of
from ..tables.encoder_choice import CategoryColumn

DIGITS = 7  # of the fractions that count as one category; see cells.EXACT_DIGITS
SEARCH = 64  # float64 neighbours that are tried at the end of an interval


def holds_numbers(column: CategoryColumn) -> bool:
    """Return whether a column of categories held numbers or booleans, so that its cells can be given as numbers."""
    if column.is_text:
        return False
    booleans = [name in NUMBER_OF_BOOLEAN for name in column.categories]
    return all(booleans) or all(NUMBER.fullmatch(name) for name in column.categories)


def category_texts(column: CategoryColumn) -> dict[str, int]:
    """Return {text of a cell: index of its feature}.

    Other spellings of a number than "1", "1.0" and that of training are not among them, nor texts with spaces around
    them. Missing cells have the index of the feature for missing cells, if the column has one.
    """
    find, texts = Spellings(column.categories).find, {}
    for text in _spellings(column.categories):
        if (index := find(text)) >= 0:
            texts[text] = index
    if column.has_missing:
        for missing in MISSING_TEXTS:
            for text in _letter_cases(missing):
                texts.setdefault(text, len(column.categories))
    return texts


def _spellings(categories: Iterable[str]) -> Iterable[str]:
    for name in categories:
        yield name
        yield name.strip()
        if NUMBER.fullmatch(text := name.strip()) and math.isfinite(number := float(text)):
            yield text_of(number)
            yield repr(number)  # "1.0": pandas turns whole numbers into floats if a cell is missing
    for text in BOOLEANS:
        yield from _letter_cases(text)
    yield from ("0", "1", "0.0", "1.0")


def _letter_cases(text: str) -> Iterable[str]:
    return map("".join, product(*({letter.lower(): 0, letter.upper(): 0} for letter in text)))


def category_intervals(column: CategoryColumn) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high), float64 (n_categories,): a number x is of category k if low[k] <= x <= high[k].

    true and false are 1 and 0. The intervals of whole numbers and of most fractions are single points or as wide as the
    last of seven digits.
    """
    find = Spellings(column.categories).find
    intervals = []
    for k, name in enumerate(column.categories):
        number = float(NUMBER_OF_BOOLEAN.get(name, name))
        is_of_category = lambda x, k=k: find(text_of(float(x))) == k
        intervals.append([_end(number, is_of_category, direction) for direction in (-1.0, 1.0)])
    low, high = np.array(intervals, np.float64).reshape(-1, 2).T
    return low, high


def _end(number: float, is_of_category: Callable[[float], bool], direction: float) -> float:
    """Return the last number in a direction (-1 or 1) that is of the same category as `number`, which may be itself."""
    if number == 0.0:
        return number
    rounded = float(f"{number:.{DIGITS}g}")
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - DIGITS + 1)
    for step in (0.5 * unit, 0.05 * unit):  # below a power of ten, digits are finer
        if is_of_category(rounded + 0.9 * direction * step):
            end = rounded + direction * step
            for _ in range(SEARCH):
                if is_of_category(end):
                    return end
                end = float(np.nextafter(end, number))
    return number
