"""What all kinds of columns have in common: features, notes, and their form in files, C and ONNX."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .cells import Reading, count_of, listed
from .table_files import with_text_names

if TYPE_CHECKING:
    import pandas as pd

MIN_NOTE_ROWS = 10  # rows from which an entirely missing column is reported even if training had missing cells


class Note(NamedTuple):
    """Sentence on a column of a table for prediction.

    is_serious : whether most cells of the column are of a kind unseen in training
    """

    text: str
    is_serious: bool


class Column(ABC):
    """Encoder of a column, fitted to the training table. Immutable.

    A subclass is a frozen dataclass, whose fields are what files have of it, and a row of preprocessing.KINDS.

    name : name of the column
    marks_missing : whether the last feature says which cells are missing
    kind : name of the class in files
    encoding : its features in words, for notes
    missing_meaning : what a missing cell counts as, for notes
    is_text : whether its cells must be read as text even if they look like numbers
    noun : what its cells should be, if others count as missing

    encode(cells, out, most_bad) writes the features (n_rows, n_features) into `out`, and returns notes on differences
    from the training table. It raises ValueError if the cells cannot be used, such as if a fraction most_bad of them or
    more are no numbers.
    """

    name: str
    marks_missing: bool
    is_text: bool = False
    kind: ClassVar[str]
    encoding: ClassVar[str]
    missing_meaning: ClassVar[str]
    noun: ClassVar[str] = ""
    encode: Callable[..., list[Note]]

    @property
    def takes_text(self) -> bool:
        """Whether its cells are given as text to an exported net. Others are given as numbers, and dates as days."""
        return False

    @property
    @abstractmethod
    def value_names(self) -> list[str]:
        """Names of the features without the indicator of missing cells."""

    @property
    def feature_names(self) -> list[str]:
        return [*self.value_names, f"{self.name} is missing"] if self.marks_missing else self.value_names

    def encode_few(self, cells: list[Any], dtype: Any, out: np.ndarray) -> bool:
        """Write the features of few cells into zeros `out` if none is unusual, and return whether that is so.

        What `encode` prepares for many cells takes longer than few of them.

        dtype : of the column: numbers of float64 have the texts that they have in `cells`, those of other types not
        """
        return False

    def without_bins(self) -> Column:
        return self

    def misfit_notes(self, series: pd.Series, reading: Reading) -> list[Note]:
        """Return a note on cells that are not what they should be, and count as missing."""
        return [Note(f"Column {self.name!r} {reading.as_missing(series, self.noun)}.", True)]

    def missing_notes(self, n_missing: int, n: int) -> list[Note]:
        """Return a note if some of n cells are missing, but were not in training, or if all of them are."""
        if n_missing <= 0 or (self.marks_missing and not n_missing == n >= MIN_NOTE_ROWS):
            return []
        text = f"Column {self.name!r} is missing in {count_of(n_missing, n)}"
        if self.marks_missing:
            return [Note(f"{text}.", True)]
        text += f", but in none of training; such cells count as {self.missing_meaning}."
        return [Note(text, 2 * n_missing > n)]

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder as a dict of text and numbers, for JSON; preprocessing.column_from_dict is the inverse."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @abstractmethod
    def c_values(self, x: str, file: Any) -> list[str]:
        """Return C expressions of the features of a cell x that is not missing; the other features are 0 then.

        file : export.c_columns.Columns, which takes arrays and functions that the expressions need
        """

    def c_lines(self, x: str, place: int, file: Any) -> list[str]:
        """Return C statements that write the features of a cell x, the first of which is f[place]."""
        values = enumerate(self.c_values(x, file), place)
        lines = [f"f[{j}] = isnan({x}) ? 0.0f : (float)({value});" for j, value in values]
        return [*lines, self.c_mark(x, place + len(lines))] if self.marks_missing else lines

    def c_mark(self, x: str, place: int) -> str:
        return f"f[{place}] = isnan({x}) ? 1.0f : 0.0f;"

    @abstractmethod
    def onnx_values(self, graph: Any, x: Any, missing: Any) -> list[Any]:
        """Return the features of cells (n_rows, 1), without the indicator of missing ones, as values of a graph.

        graph : export.onnx_graph.Graph
        x : cells in float64; of dates, days since 1970-01-01
        missing : whether a cell is missing; its features are 0 then
        """

    def onnx_features(self, graph: Any, x: Any) -> list[Any]:
        """Return the features of cells (n_rows, 1), text where takes_text says so, as values in the graph's dtype."""
        missing = graph.add("IsNaN", x)
        values = self.onnx_values(graph, x, missing)
        return [*values, graph.cast(missing, graph.dtype)] if self.marks_missing else values


Found = tuple[Column | None, str]  # an encoder, or None for a column that cannot be used; the end of a note, or ""


def checked_table(columns: Iterable[Column], table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with text as names. Raises ValueError if two are equal, or columns of the training are absent."""
    table = with_text_names(table)
    names = table.columns.tolist()
    if absent := [column.name for column in columns if column.name not in names]:
        raise ValueError(
            f"The table lacks columns that the model was trained on: {listed(map(repr, absent))}. "
            f"It has: {listed(map(repr, names))}."
        )
    return table


def bounds_of(columns: Iterable[Column]) -> tuple[list[tuple[int, int]], int]:
    """Return (the first feature of each column, and the one after its last; number of all features)."""
    ends = np.cumsum([0, *[len(column.feature_names) for column in columns]]).tolist()
    return list(pairwise(ends)), ends[-1]


# ---- notes

MOST_LINES = 5  # of a warning about columns
LEFT_OUT = "is left out"  # in the note on a column that has no encoder


class NotesOfPieces:
    """Notes on a table that is read in pieces: of each kind the first, since another piece has other counts."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._n_rows = 0

    def of_next(self, n_rows: int, notes: list[Note]) -> list[Note]:
        """Return the notes of the next piece that are of a new kind, with its rows."""
        rows, new = f"In rows {self._n_rows:,} to {self._n_rows + n_rows:,} (later ones are not counted)", []
        self._n_rows += n_rows
        for note in notes:
            kind = re.sub(r"\d[\d,.]*( %)?|\(.*\)", "", note.text)  # without its numbers of cells and its examples
            if kind not in self._kinds:
                new.append(note._replace(text=f"{rows}: {note.text}"))
            self._kinds.add(kind)
        return new


def as_lines(notes: Sequence[str], where: str) -> str:
    """Return sentences as the text of one warning: each on a line of its own, and of many only the first ones.

    where : what has all of them, such as "notes_"

    >>> print(as_lines([f"Column {k} is left out." for k in range(9)], "notes_"))
    9 notes on columns, all of them in notes_:
      Column 0 is left out.
      Column 1 is left out.
      Column 2 is left out.
      Column 3 is left out.
      ... and 5 more.
    """
    if len(notes) < 2:
        return "".join(notes)
    title, shown = f"{len(notes)} notes on columns, all of them in {where}:", list(notes)
    if len(notes) > MOST_LINES:
        shown[MOST_LINES - 1 :] = [f"... and {len(notes) - MOST_LINES + 1} more."]
    return "\n  ".join([title, *shown])


def encoding_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return sentences on the features of all columns: one, or none without columns.

    >>> from fastmlp.tables.category_column import CategoryColumn
    >>> from fastmlp.tables.number_columns import StandardColumn
    >>> columns = StandardColumn("size", 1.0, 2.0, True), CategoryColumn("town", ("Bonn", "Ulm"), False, True)
    >>> print(*encoding_notes(columns))
    Features of the columns: standard score ('size'), one-hot categories ('town'), indicator of missing cells ('size').
    """
    names: dict[str, list[str]] = {}
    marked: list[str] = []
    for column in columns:
        names.setdefault(column.encoding, []).append(repr(column.name))
        marked += [repr(column.name)] * column.marks_missing
    if marked:
        names["indicator of missing cells"] = marked
    features = ", ".join(f"{what} ({listed(of)})" for what, of in names.items())
    return (f"Features of the columns: {features}.",) if names else ()
