"""Columns of text: a feature for each word, pair of words and part of a word that many rows have.

N-grams of words, and of the characters of a word, are counted by their hash, in a table whose size does not depend on
the texts (feature hashing: Weinberger, Dasgupta, Langford, Smola and Attenberg 2009, arXiv:0902.2206). Of these, a
column keeps a bounded number: those whose presence varies most from row to row. Rarer ones teach a net nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from math import isfinite, log1p
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import numpy as np

from ..errors import WrongArgument
from .base_column import MIN_NOTE_ROWS, Column, Found, Note
from .cells import MISSING_TEXTS, categories_of, count_of

if TYPE_CHECKING:
    import pandas as pd

    from .number_columns import NumericEncoding
    from .training_column import TrainingColumn

MOST_CHARACTERS, MOST_WORDS = 10_000, 200  # of a cell that are read
PART = 3  # characters of a part of a word, of words with more
MOST_LETTERS = 64  # of a word that has parts
PART_MARK = "~"  # before a part of a word, so that it is no word
BUCKETS = 2**18  # of the hash table in which n-grams are counted
MOST_NGRAMS = 192, 64  # of a column: words and pairs of words, parts of words
MIN_NGRAM_ROWS = 16  # rows that have an n-gram, and rows that have it not
MOST_TEXTS = 10_000  # of a column from which n-grams are learned
MOST_KNOWN = 100_000  # words of which places or buckets are kept for the next texts
MIN_SHARE = 0.5  # of the cells that have an n-gram, in a column that is text though nobody has named it
SEVERAL = 3  # words of letters in half of the cells of a column that is text
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TextColumn(Column):
    """Encoding of text: a feature for each n-gram, 1 where a cell has it, and one for the number of words.

    A missing cell has zeros, and a mark if training had any.

    ngrams : words, pairs of words, and parts of words, which begin with PART_MARK
    mean, std : of log(1 + number of words) in training
    share : fraction of the cells of training that have one of the n-grams
    """

    name: str
    ngrams: tuple[str, ...]
    mean: float
    std: float
    share: float
    marks_missing: bool
    kind: ClassVar[str] = "text"
    encoding: ClassVar[str] = "n-grams and number of words"
    missing_meaning: ClassVar[str] = "texts without words"
    has_words: ClassVar[bool] = True

    def __post_init__(self) -> None:
        texts = {ngram for ngram in self.ngrams if isinstance(ngram, str)}
        if len(texts) != len(self.ngrams):
            raise ValueError(f"column {self.name!r} needs distinct texts as n-grams")
        if not (isfinite(self.mean) and isfinite(self.std) and self.std > 0 and 0 <= self.share <= 1):
            raise ValueError(f"column {self.name!r} needs a finite mean, a positive std, and a share")

    @classmethod
    def fit(cls, column: TrainingColumn, encoding: NumericEncoding) -> Found | None:
        if column.name in (encoding.texts or ()):
            if column.kind != "category":
                raise WrongArgument(
                    f"Column {column.name!r} is named as one of text, but its cells are of the kind {column.kind!r}."
                )
            found = fit_text(column.name, column.texts, column.has_missing)
            note = f"no word of its text is in {MIN_NGRAM_ROWS} rows, and not in as many"
            return found, note if found is None else ""
        if column.kind != "category" or not column.against_categories or column.is_frequent:
            return None
        if encoding.texts is not None or not column.is_text or column.hint or column.has_category_type:
            return None
        found = fit_text(column.name, column.texts, column.has_missing) if is_running_text(column.texts) else None
        return None if found is None or found.share < MIN_SHARE else (found, "")

    @property
    def value_names(self) -> list[str]:
        return [*(f"{self.name} has {ngram!r}" for ngram in self.ngrams), f"{self.name}: number of words"]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {ngram: place for place, ngram in enumerate(self.ngrams)}

    def read(self, text: str, known: dict[str, list[int]]) -> tuple[list[int], float]:
        """Return (places of the n-grams that a text has, some perhaps twice, and the score of its number of words).

        known : places of a word and its parts, by word; words of the text are added
        """
        if len(known) > MOST_KNOWN:  # of many words, it would take much memory
            known.clear()
        words, places, found = words_of(text), self._places, []
        for word in words:
            if word not in known:
                known[word] = [places[ngram] for ngram in (word, *parts_of(word)) if ngram in places]
            found += known[word]
        found += [places[pair] for pair in map(" ".join, pairwise(words)) if pair in places]
        return found, (log1p(len(words)) - self.mean) / self.std

    def encode_few(self, cells: list[Any], dtype: Any, out: np.ndarray) -> bool:
        if not all(type(cell) is str and not is_missing(cell) for cell in cells):
            return False
        known: dict[str, list[int]] = {}
        n_unknown = 0
        for row, cell in enumerate(cells):
            places, out[row, len(self.ngrams)] = self.read(cell, known)
            out[row, places] = 1
            n_unknown += not places
        return not self._notes(len(cells), 0, n_unknown)

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`; cells that are no text count as the text that they are written as.

        Returns
        -------
        list of Note
        """
        codes, texts = categories_of(series)
        missing = np.array([*map(is_missing, texts), True])[codes]
        known: dict[str, list[int]] = {}
        lengths, is_known = np.zeros(len(texts) + 1), np.zeros(len(texts) + 1, bool)  # the last ones of missing cells
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(texts) + 1)).tolist()
        out[:] = 0
        for k, (start, end) in enumerate(pairwise(bounds)):  # the rows of a text
            if is_missing(texts[k]):
                continue
            places, lengths[k] = self.read(texts[k], known)
            if places:
                out[order[start:end, None], places] = 1
                is_known[k] = True  # it has an n-gram of training
        out[:, len(self.ngrams)] = np.where(missing, 0.0, lengths[codes])
        if self.marks_missing:
            out[:, -1] = missing
        n_unknown = int(np.count_nonzero(~is_known[codes] & ~missing))
        return self._notes(len(series), int(np.count_nonzero(missing)), n_unknown)

    def _notes(self, n: int, n_missing: int, n_unknown: int) -> list[Note]:
        """Return notes on n cells; n_unknown : cells without an n-gram of training"""
        n_present, notes = n - n_missing, []
        if n_present >= MIN_NOTE_ROWS and n_present - n_unknown < 0.5 * self.share * n_present:
            cells = count_of(n_unknown, n)
            notes.append(Note(f"Column {self.name!r} has no word that training had in {cells}.", True))
        return notes + self.missing_notes(n_missing, n)


def is_missing(text: str) -> bool:
    """Return whether a text stands for a missing cell: in an array of text, None and NaN are "None" and "nan"."""
    return text.strip().lower() in MISSING_TEXTS


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case.

    >>> words_of("A red car, 1998!")
    ['a', 'red', 'car', '1998']
    """
    return WORD.findall(text[:MOST_CHARACTERS].casefold())[:MOST_WORDS]


def ngrams_of(text: str) -> set[str]:
    """Return the words of a text, its pairs of neighbouring words, and the parts of its words.

    >>> sorted(ngrams_of("Red cars"))
    ['cars', 'red', 'red cars', '~<ca', '~ars', '~car', '~rs>']
    """
    words = words_of(text)
    found = {*words, *map(" ".join, pairwise(words))}
    return found.union(*map(parts_of, set(words)))


@lru_cache(maxsize=2**13)
def parts_of(word: str) -> frozenset[str]:
    """Return the parts of PART characters of a longer word, with "<" and ">" at its ends; none if it is very long."""
    marked = f"<{word}>"
    starts = range(len(marked) - PART + 1) if PART < len(word) <= MOST_LETTERS else ()
    return frozenset(PART_MARK + marked[i : i + PART] for i in starts)


def some_of(texts: Mapping[str, int]) -> dict[str, int]:
    """Return numbers of cells by text: all but those of missing cells or, of many, evenly spaced ones."""
    known = [text for text in texts if not is_missing(text)]
    if len(known) > MOST_TEXTS:
        known = [known[i] for i in np.linspace(0, len(known) - 1, MOST_TEXTS).astype(np.intp).tolist()]
    return {text: texts[text] for text in known}


def is_running_text(texts: Mapping[str, int]) -> bool:
    """Return whether half of the cells or more have several words of letters between spaces, unlike columns of ids.

    texts : numbers of cells by text
    """
    counts = some_of(texts)
    is_of_letters = lambda part: any(len(word) > 1 and word.isalpha() for word in words_of(part))
    n_words = lambda text: sum(map(is_of_letters, text.split(maxsplit=MOST_WORDS)[:MOST_WORDS]))
    return 0 < sum(counts.values()) <= 2 * sum(n for text, n in counts.items() if n_words(text) >= SEVERAL)


def fit_text(name: str, texts: Mapping[str, int], has_missing: bool) -> TextColumn | None:
    """Return the encoder of a column of text; None if no n-gram is in enough rows.

    texts : numbers of cells by text
    has_missing : whether further cells are missing
    """
    marks_missing, counts = has_missing or any(map(is_missing, texts)), some_of(texts)
    ngrams = frozenset(_telling_ngrams(counts))
    if not ngrams:
        return None
    known: dict[str, list[int]] = {}
    column = TextColumn(name, tuple(sorted(ngrams)), 0.0, 1.0, 1.0, marks_missing)
    found = [column.read(text, known) for text in counts]
    numbers, lengths = np.array(list(counts.values()), np.float64), np.array([length for _, length in found])
    mean = float(np.average(lengths, weights=numbers))
    std = float(np.sqrt(np.average(np.square(lengths - mean), weights=numbers)))
    share = float(np.average([bool(places) for places, _ in found], weights=numbers))
    return replace(column, mean=mean, std=std if std > 1e-6 else 1.0, share=min(share, 1.0))


def _telling_ngrams(counts: Mapping[str, int]) -> list[str]:
    """Return the n-grams whose presence varies most from cell to cell, up to MOST_NGRAMS of each kind."""
    found = np.zeros(len(MOST_NGRAMS) * BUCKETS, np.int64)  # cells by the bucket of an n-gram
    for text, n in counts.items():
        buckets = _buckets_of(text)
        found[np.fromiter(buckets, np.intp, len(buckets))] += n
    n_cells = sum(counts.values())
    wanted = set[int]()
    for kind, max_ngrams in enumerate(MOST_NGRAMS):
        first = kind * BUCKETS
        wanted.update(first + place for place in _most_varying(found[first : first + BUCKETS], n_cells, max_ngrams))
    chosen: list[str] = []
    for text in counts:  # the first n-gram of a bucket, which is nearly always the only one
        if not wanted:
            break
        if wanted.isdisjoint(_buckets_of(text)):
            continue
        for ngram in sorted(ngrams_of(text)):
            if (bucket := _bucket_of(ngram)) in wanted:
                wanted.remove(bucket)
                chosen.append(ngram)
    return chosen


def _buckets_of(text: str) -> set[int]:
    """Return the buckets of the n-grams of a text."""
    words = words_of(text)
    return set().union(map(_bucket_of, map(" ".join, pairwise(words))), *map(_buckets_of_word, words))


@lru_cache(maxsize=2**13)
def _buckets_of_word(word: str) -> frozenset[int]:
    return frozenset(map(_bucket_of, (word, *parts_of(word))))


def _bucket_of(ngram: str) -> int:
    """Return the hash of an n-gram, of parts of words beyond those of words."""
    return BUCKETS * ngram.startswith(PART_MARK) + crc32(ngram.encode("utf-8", "surrogatepass")) % BUCKETS


def _most_varying(counts: np.ndarray, n_cells: int, n: int) -> list[int]:
    """Return the places of the counts nearest to half of the cells, at most n; rare ones are left out."""
    places = np.flatnonzero((counts >= MIN_NGRAM_ROWS) & (counts <= n_cells - MIN_NGRAM_ROWS))
    variances = counts[places] * (n_cells - counts[places])
    chosen: list[int] = places[np.argsort(-variances, kind="stable")[:n]].tolist()
    return chosen
