"""One-hot encoding of columns of categories, and which cells stand for which category."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import counted
from .base_column import Column, Found, Note
from .cells import (
    BOOLEANS,
    EXACT_DIGITS,
    HALF,
    MISSING_TEXTS,
    NUMBER,
    NUMBER_OF_BOOLEAN,
    Spellings,
    categories_of,
    count_of,
    examples,
    text_of,
)
from .numbers_as_text import DATE
from .training_column import MAX_CATEGORIES, MIN_ROWS, MIN_SHARE_OF_FREQUENT

if TYPE_CHECKING:
    import pandas as pd

    from .number_columns import NumericEncoding
    from .training_column import TrainingColumn

PLAIN = (str, int, bool)  # types of cells whose names do not depend on the column's type
SEARCH = 64  # float64 neighbours that are tried at the end of an interval


@dataclass(frozen=True)
class CategoryColumn(Column):
    """One-hot encoding: one feature per category, plus one for missing cells if training had any.

    A category unseen in training, or too rare for a feature of its own, is encoded as all zeros.
    """

    name: str
    categories: tuple[str, ...]
    has_missing: bool  # the name of marks_missing in files
    is_text: bool  # whether cells must be read as text even if they look like numbers
    has_rest: bool = False  # whether training had further categories, which are zeros like those it had not
    kind: ClassVar[str] = "category"
    encoding: ClassVar[str] = "one-hot categories"
    missing_meaning: ClassVar[str] = "none of its categories"

    def __post_init__(self) -> None:
        if set(map(type, self.categories)) - {str} or len(set(self.categories)) != len(self.categories):
            raise ValueError(f"column {self.name!r} needs distinct texts as categories")

    @classmethod
    def fit(cls, column: TrainingColumn, encoding: NumericEncoding) -> Found | None:
        if column.kind != "category":
            return None
        name, reason, hint, (frequent, share) = column.name, column.against_categories, column.hint, column.frequent
        is_frequent = share >= MIN_SHARE_OF_FREQUENT
        if reason and not is_frequent and (not frequent or column.are_mostly(DATE) or hint):
            if hint:
                return None, f"{reason}; {hint}"
            all_rare = len(column.distinct) > MAX_CATEGORIES and not frequent and not column.are_mostly(DATE)
            return None, reason + f", and none is in {MIN_ROWS} rows" * all_rare
        if not frequent:
            n = counted(len(column.distinct), "category", "categories")
            encoder = cls(name, tuple(column.distinct), column.n_missing > 0, column.is_text)
            return encoder, f"is used as {n}: {hint}" if hint else ""
        least = "" if len(frequent) == MAX_CATEGORIES else f" (in {MIN_ROWS} rows or more)"
        where = "" if is_frequent else f", which are in {100.0 * share:.2g} % of the cells"
        encoded = f"the {len(frequent)} most frequent{least} are encoded{where}"
        note = f"has {len(column.distinct)} categories, and {encoded}; others are zeros"
        encoder = cls(name, tuple(frequent), column.n_missing > 0, column.is_text, has_rest=True)
        return encoder, f"{note}; {hint}" if hint else note

    @property
    def marks_missing(self) -> bool:  # type: ignore[override]
        return self.has_missing

    @property
    def value_names(self) -> list[str]:
        return [f"{self.name} = {category}" for category in self.categories]

    @cached_property
    def _find(self) -> Callable[[str], int]:
        return Spellings(self.categories).find

    def encode_few(self, cells: list[Any], dtype: Any, out: np.ndarray) -> bool:
        if not all(type(cell) in PLAIN for cell in cells) and not (
            dtype == np.float64 and all(cell == cell for cell in cells)
        ):
            return False
        places = [self._find(text_of(cell)) for cell in cells]
        if min(places, default=-1) < 0:
            return False
        for row, place in enumerate(places):
            out[row, place] = 1.0
        return True

    def encode(self, series: pd.Series, out: np.ndarray, most_bad: float = HALF) -> list[Note]:
        """Write the features of a column into `out`. Categories match in any spelling, such as true and 1."""
        codes, names = categories_of(series)
        missing_index = len(self.categories) if self.has_missing else -1
        indices = np.array([*map(self._find, names), -1])
        is_missing = np.array([*(name.strip().lower() in MISSING_TEXTS for name in names), True]) & (indices < 0)
        missing = is_missing[codes]  # in an array of text, None and NaN are the texts "None" and "nan"
        feature = np.where(is_missing, missing_index, indices)[codes]
        known = np.flatnonzero(feature >= 0)
        out[:] = 0
        out[known, feature[known]] = 1
        n, n_missing = len(series), int(np.count_nonzero(missing))
        n_unseen, notes = int(np.count_nonzero((feature < 0) & ~missing)), []
        are_many = 2 * n_unseen > n - n_missing
        if n_unseen and (are_many or not self.has_rest):
            cells = f"{count_of(n_unseen, n)} ({examples(series, (feature < 0) & ~missing)})"
            unseen = "rare or unseen" if self.has_rest else "unseen"
            text = f"Column {self.name!r} has categories {unseen} in training in {cells}, which are encoded as zeros."
            # The rest may be most cells of the training, too.
            notes.append(Note(text, are_many and not self.has_rest))
        return notes + self.missing_notes(n_missing, n)

    # ---- cells as lists that C code or a graph can look up; every spelling and every bound is found by asking _find

    @property
    def takes_text(self) -> bool:
        """Whether it held no numbers or booleans, as which its cells could be given."""
        are_booleans = all(name in NUMBER_OF_BOOLEAN for name in self.categories)
        return self.is_text or not (are_booleans or all(NUMBER.fullmatch(name) for name in self.categories))

    def texts(self) -> dict[str, int]:
        """Return {text of a cell: index of its feature}.

        Other spellings of a number than "1", "1.0" and that of training are not among them, nor texts with spaces
        around them. Missing cells have the index of the feature for missing cells, if the column has one.
        """
        texts = {text: index for text in _spellings(self.categories) if (index := self._find(text)) >= 0}
        if self.has_missing:
            for missing in MISSING_TEXTS:
                for text in _letter_cases(missing):
                    texts.setdefault(text, len(self.categories))
        return texts

    def intervals(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), float64 (n_categories,): a number x is of category k if low[k] <= x <= high[k].

        true and false are 1 and 0. The intervals of whole numbers and of most fractions are single points or as wide as
        the last of seven digits.
        """
        intervals = []
        for k, name in enumerate(self.categories):
            number = float(NUMBER_OF_BOOLEAN.get(name, name))
            is_of_category = lambda x, k=k: self._find(text_of(float(x))) == k
            intervals.append([_end(number, is_of_category, direction) for direction in (-1.0, 1.0)])
        low, high = np.array(intervals, np.float64).reshape(-1, 2).T
        return low, high

    def c_values(self, x: str, file: Any) -> list[str]:
        ends = zip(*(end.tolist() for end in self.intervals()), strict=True)
        return [f"(double){x} >= {low!r} && (double){x} <= {high!r}" for low, high in ends]

    def onnx_values(self, graph: Any, x: Any, missing: Any) -> list[Any]:
        low, high = self.intervals()
        return [graph.cast(graph.add("And", x >= low[None, :], x <= high[None, :]), graph.dtype)]

    def onnx_features(self, graph: Any, x: Any) -> list[Any]:
        if not self.takes_text:
            return super().onnx_features(graph, x)
        numbers = np.arange(len(self.feature_names), dtype=np.int64)[None, :]
        return [graph.cast(graph.add("Equal", graph.looked_up(x, self.texts()), numbers), graph.dtype)]


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


def _end(number: float, is_of_category: Callable[[float], bool], direction: float) -> float:
    """Return the last number in a direction (-1 or 1) that is of the same category as `number`, which may be itself."""
    if number == 0.0:
        return number
    rounded = float(f"{number:.{EXACT_DIGITS}g}")
    unit = 10.0 ** (math.floor(math.log10(abs(number))) - EXACT_DIGITS + 1)
    for step in (0.5 * unit, 0.05 * unit):  # below a power of ten, digits are finer
        if is_of_category(rounded + 0.9 * direction * step):
            end = rounded + direction * step
            for _ in range(SEARCH):
                if is_of_category(end):
                    return end
                end = float(np.nextafter(end, number))
    return number
