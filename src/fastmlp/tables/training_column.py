"""A column of a training table, as the kinds of columns that may encode it see it, and texts that look like numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .cells import (
    CATEGORY,
    MAX_BAD_FRACTION,
    MISSING_TEXTS,
    MOST_CATEGORIES,
    MOST_MISFITS,
    NUMBER,
    NUMERIC,
    TEXT,
    Tally,
    contents,
    count_of,
    misfits_of,
    numbers_in,
    read_numbers,
    spelled_alike,
    tally_of,
    type_of,
)
from .date_cells import ISO_DATE, read_dates

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 255  # of a column
MIN_ROWS = 16  # of a category with a feature of its own, in a column of more categories
MIN_SHARE_OF_FREQUENT = 0.5  # of the cells that have frequent categories, in a column that may be something else
DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./]\d\d?[./](\d{4}|\d\d)([ ].*)?", re.ASCII)


class TrainingColumn:
    """A column of a training table, added whole or piece by piece.

    whole : all of its rows at once, or None if they are added piece by piece

    sample : all of its rows, or some of those of the pieces
    not_numbers, not_dates : cells of TEXT that are no numbers and, in pieces, no dates
    n_rows, n_missing : number of all cells, and of those that are missing
    """

    sample: pd.Series

    def __init__(self, name: str, whole: pd.Series | None = None) -> None:
        self.name, self._is_whole = name, whole is not None
        self.not_numbers, self.not_dates = Tally(most=MOST_MISFITS), Tally(most=MOST_MISFITS)
        self._texts = Tally(most=MOST_CATEGORIES)
        self.n_rows = self.n_missing = 0
        self._first: dict[str, str] = {}  # by the type of the cells, the first rows that have it
        self._is_string = True  # whether all cells of TEXT are text
        if whole is None:
            return
        self.sample = whole
        if isinstance(whole.dtype, np.dtype) and whole.dtype.kind in "fiu":  # the usual case
            self._first[NUMERIC] = ""
        else:
            self.add(whole)

    def add(self, series: pd.Series, place: Callable[[], str] | None = None) -> None:
        """Add further rows.

        place : returns which rows these are, for messages

        Raises
        ------
        ValueError
            If the cells are numbers where those before were dates or booleans, or the reverse, or a number of a piece
            is infinite or far too large.
        """
        n, n_missing = len(series), int(series.isna().sum())
        self.n_rows, self.n_missing = self.n_rows + n, self.n_missing + n_missing
        if n_missing == n:  # such as a piece without a cell, whose type says nothing
            return
        kind = type_of(series)
        if kind not in self._first:
            self._first[kind] = "some rows" if place is None else place()
        if kind == NUMERIC:
            self.not_numbers.add(Tally(n_present=n - n_missing))
            if not self._is_whole:
                numbers_in(series)  # the error says which rows hold infinity
        elif kind == TEXT:
            self.not_numbers.add(misfits_of(series, read_numbers(series)))
            self._is_string &= contents(series) == "string"
            if not self._is_whole:
                with suppress(ValueError):  # of several time zones, which a column of dates refuses
                    self.not_dates.add(misfits_of(series, read_dates(series)))
        if kind in (TEXT, CATEGORY) and not self._is_whole:
            self._texts.add(tally_of(series))
        unlike = self._first.keys() - {NUMERIC, TEXT}
        if NUMERIC in self._first and unlike:
            raise ValueError(
                f"Column {self.name!r} holds numbers in {self._first[NUMERIC]}, and cells of another type in "
                f"{self._first[unlike.pop()]}; convert all to one type."
            )

    @cached_property
    def kind(self) -> str:
        """Its kind: "number", "category", or the name of another type (dates, lists, bytes).

        In a column of numbers up to 5 % of the cells may not be numbers. A text column in which every cell looks like a
        number is a category.
        """
        if self._first.keys() - {NUMERIC, TEXT, CATEGORY}:
            return contents(self.sample)
        if CATEGORY in self._first:
            return "category"
        if TEXT not in self._first:
            return "number"
        cells, is_string = self.not_numbers, self._is_string and NUMERIC not in self._first
        if not cells.is_tolerable or (is_string and not cells.n_bad):
            return "category"
        texts = list(self.texts.counts)
        if (is_string and mark_of_thousands(texts)) or self.names != texts:  # booleans mixed with 1 and 0
            return "category"
        return "number"

    def has_gaps(self, misfits: Tally) -> bool:
        """Return whether some cells are missing, or are misfits; misfits : cells that are no numbers, or no dates"""
        n_known = misfits.n_present - misfits.n_bad if misfits.n_present else self.n_rows - self.n_missing
        return n_known < self.n_rows

    @cached_property
    def texts(self) -> Tally:
        """Its categories, of the sample if some pieces were numbers by their type, whose texts were not counted."""
        return tally_of(self.sample) if self._is_whole or NUMERIC in self._first else self._texts

    @cached_property
    def names(self) -> list[str]:
        """Names of the categories, in the order of `texts`; some may be equal."""
        return spelled_alike(list(self.texts.counts))

    @cached_property
    def distinct(self) -> list[str]:
        return sorted(set(self.names))

    @property
    def has_category_type(self) -> bool:
        """Whether it has pandas' category type, which is the user's word that it holds categories."""
        return hasattr(self.sample, "cat")

    @property
    def n_shown(self) -> str:
        """The number of categories of all rows, as text."""
        return f"more than {self.texts.most}" if self.texts.has_forgotten else str(len(self.distinct))

    @cached_property
    def is_text(self) -> bool:
        cells = self.sample
        return contents(cells) == "string" or all(isinstance(cell, str) for cell in cells.dropna().unique())

    @cached_property
    def thousands(self) -> str:
        return "" if self.has_category_type or not self.is_text else thousands_of(self.names)

    def are_mostly(self, pattern: re.Pattern[str]) -> bool:
        """Return whether more than half of its texts match a pattern."""
        return float(np.mean([pattern.fullmatch(name.strip()) is not None for name in self.names])) > 0.5

    @cached_property
    def are_dates(self) -> bool:
        """Whether more than half of its texts are dates, of which some are in no clear order of day and month."""
        return self.are_mostly(DATE)

    @cached_property
    def against_categories(self) -> str:
        """Why its texts cannot all be categories; "" if they can."""
        has_too_many = len(self.distinct) > MAX_CATEGORIES
        if not has_too_many and len(self.distinct) != self.texts.n_present:
            return ""
        if self.are_dates:
            return f"it holds dates as text, such as {self.names[0]!r}; to use it, {dates_of(self.name)}"
        if has_too_many:
            return f"it has {self.n_shown} different texts, but at most {MAX_CATEGORIES} are encoded"
        return "its text is different in every row"

    @cached_property
    def hint(self) -> str:
        """What its cells may be instead of categories, and how to say so; "" if there is nothing to say."""
        if not self.against_categories and self.are_dates and not self.are_mostly(ISO_DATE):
            return f"its texts look like dates, such as {self.names[0]!r}: to use them as dates, {dates_of(self.name)}"
        hint, cells = self.thousands, self.not_numbers
        if not hint and not self.has_category_type:
            hint = conversion_of(self.name, self.names)
        if hint or not cells.n_bad or not cells.is_half:
            return hint
        return (
            f"it holds no numbers in {count_of(cells.n_bad, cells.n_present)} ({cells.examples}), and a column of "
            f"numbers may in {100 * MAX_BAD_FRACTION:g} %; if numbers are meant, correct or empty those cells"
        )

    @cached_property
    def frequent(self) -> tuple[list[str], float]:
        """(the most frequent of too many categories, sorted; the fraction of the cells that they make up)."""
        if len(self.distinct) <= MAX_CATEGORIES:
            return [], 0.0
        counts: Counter[str] = Counter()
        for name, count in zip(self.names, self.texts.counts.values(), strict=True):
            counts[name] += count
        chosen = [name for name, count in counts.most_common(MAX_CATEGORIES) if count >= MIN_ROWS]
        return sorted(chosen), sum(counts[name] for name in chosen) / max(1, self.texts.n_present)


# Texts that are numbers to a reader, not to a program. They are not read as numbers, since "1,234" is another number in
# Berlin than in Boston; a note says how to convert them.
SIGNS = "$€£¥%"
CURRENCIES = "USD", "EUR", "GBP", "CHF", "JPY"
SEPARATORS = ",'_ \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
THOUSANDS = re.compile(rf"[-+]?\d{{1,3}}([{SEPARATORS}])\d{{3}}(\1\d{{3}})*(\.\d*)?")
DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})+|\d+),\d+")
SHORT = re.compile(r"[-+]?\d{1,3}", re.ASCII)
GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*", re.ASCII)
SIGN = re.compile(rf"[{SIGNS}]|\b({'|'.join(CURRENCIES)})\b")


def mark_of_thousands(texts: Iterable[str]) -> str:
    """Return the mark, "." or ",", of texts that may be whole numbers with separators of thousands; "" for others.

    Some of them have no mark and up to three digits, and all others a mark before each group of three digits: 2.390
    beside 754 may be 2390, or 2.39. Texts without a digit are not looked at.

    >>> mark_of_thousands(["754", "2.390", "12.000", "none"]), mark_of_thousands(["754", "2.39"])
    ('.', '')
    """
    marks, has_short = set(), False
    for text in map(str.strip, texts):
        if SHORT.fullmatch(text):
            has_short = True
        elif found := GROUPED.fullmatch(text):
            marks.add(found[1])
        elif any(map(str.isdigit, text)):
            return ""
    return marks.pop() if has_short and len(marks) == 1 else ""


def thousands_of(texts: Iterable[str]) -> str:
    """Return the end of a sentence on a column as of mark_of_thousands, and how to say what is meant; "" for others.

    texts : its distinct texts

    >>> thousands_of(["754", "2.390"]).partition(":")[0]
    "each '.' in its texts stands before three digits, so that '2.390' may be 2390 or 2.390"
    """
    texts = list(texts)
    if not (mark := mark_of_thousands(texts)):
        return ""
    example = min((text for text in texts if mark in text), key=lambda text: text.count(mark))
    meant = " or ".join(example.replace(mark, other) for other in ("", ".") if not other or example.count(mark) == 1)
    return (
        f"each {mark!r} in its texts stands before three digits, so that {example!r} may be {meant}: to use them as "
        f"numbers, write them without {mark!r}, or pass a table that pandas.read_csv has read with thousands={mark!r}, "
        f"or with decimal={mark!r}"
    )


def dates_of(name: str) -> str:
    """Return how to convert a column of texts like 31.12.2020, whose order of day and month nobody knows."""
    call = f"pandas.to_datetime(table[{name!r}], dayfirst=True)"
    return f"write them like 2020-12-31, or convert them, in pandas by {call}, with dayfirst=False if months are first"


def conversion_of(name: str, texts: Iterable[str]) -> str:
    """Return the end of a sentence on a column whose texts look like numbers, and how to convert them; "" for others.

    name : name of the column
    texts : its distinct texts

    >>> conversion_of("share", ["42%", "7.5%", "?"])
    "its texts look like numbers with '%', such as '42%': to use them as numbers, convert them, in pandas by \
pandas.to_numeric(table['share'].str.replace('[%]', '', regex=True))"
    >>> conversion_of("price", ["12.5 EUR", "7 EUR"]).partition("pandas by ")[2]
    "pandas.to_numeric(table['price'].str.replace('EUR', '', regex=True))"
    >>> conversion_of("size", ["S", "M", "7%"])
    ''
    """
    texts = [text for text in map(str.strip, texts) if text.lower() not in MISSING_TEXTS]
    bare = {text: SIGN.sub("", text, count=2).strip() for text in texts if not NUMBER.fullmatch(text)}
    for pattern in (THOUSANDS, DECIMAL_COMMA):
        found = [text for text, number in bare.items() if NUMBER.fullmatch(number) or pattern.fullmatch(number)]
        if found and len(bare) - len(found) <= MAX_BAD_FRACTION * len(texts):
            break
    else:
        return ""
    used = {sign for text in found for sign in text if sign in SIGNS}
    used |= {character for text in found for character in bare[text] if character in SEPARATORS}
    used -= {","} if pattern is DECIMAL_COMMA else set()
    characters = "".join(sorted(used))
    codes = sorted({code for text in found for code in CURRENCIES if code in text})
    removed = "|".join([f"[{characters}]"] * bool(characters) + codes)
    what, call = " and ".join(map(repr, [*characters, *codes])), f"table[{name!r}]"
    if removed:
        call += f".str.replace({removed!r}, '', regex=True)"
    if pattern is DECIMAL_COMMA:
        what = f"{what} and a decimal comma" if removed else "a decimal comma"
        call += ".str.replace('.', '', regex=False).str.replace(',', '.', regex=False)"
    return (
        f"its texts look like numbers with {what}, such as {found[0]!r}: to use them as numbers, convert them, in "
        f"pandas by pandas.to_numeric({call})"
    )
