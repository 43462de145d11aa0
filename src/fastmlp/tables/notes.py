"""Notes: sentences on the columns of a table, and the table of all columns that people read."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..console.html_display import html_table
from ..errors import counted
from .base_column import Column, Note

MOST_LINES = 5  # of a warning about columns
MOST_LISTED = 20  # things that a sentence names
LEFT_OUT = "is left out"  # in the note on a column that has no encoder
HEADER = "column", "encoding", "features", "note"
OF_COLUMN = re.compile(r"""Column ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") (.*)\.""", re.DOTALL)  # with its name's repr


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


def listed(texts: Iterable[str], most: int = MOST_LISTED) -> str:
    """Return texts with commas between them, of many the first ones."""
    texts = list(texts)
    shown = ", ".join(texts[:most])
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown


def encoding_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return sentences on the features of all columns, and on those of text.

    >>> from fastmlp.tables.category_column import CategoryColumn
    >>> from fastmlp.tables.number_columns import StandardColumn
    >>> columns = StandardColumn("size", 1.0, 2.0, True), CategoryColumn("town", ("Bonn", "Ulm"), False, True)
    >>> print(*encoding_notes(columns))
    Features of the columns: standard score ('size'), one-hot categories ('town'), indicator of missing cells ('size').
    """
    names: dict[str, list[str]] = {}
    columns = tuple(columns)
    for column in columns:
        names.setdefault(column.encoding, []).append(repr(column.name))
    if marked := [repr(column.name) for column in columns if column.marks_missing]:
        names["indicator of missing cells"] = marked
    notes = []
    if names:
        notes.append(f"Features of the columns: {', '.join(f'{what} ({listed(of)})' for what, of in names.items())}.")
    if texts := [f"{column.name!r} ({len(column.value_names) - 1})" for column in columns if column.has_words]:
        what = "words, pairs of words and parts of words that many rows have"
        notes.append(f"Columns of text have a feature for each of the {what}: {listed(texts)}.")
    return tuple(notes)


class ColumnRow(NamedTuple):
    """What became of a column.

    name : name of the column
    encoding : its features in words; "left out" if it has none
    n_features : number of its features
    note : why it is left out, or what else there is to say of it; "" if nothing is
    """

    name: str
    encoding: str
    n_features: int
    note: str


class ColumnTable(tuple[ColumnRow, ...]):
    """Rows of a table of columns, which print as text and, in a notebook, are shown as HTML.

    >>> print(ColumnTable([ColumnRow("size", "standard score", 1, ""), ColumnRow("id", "left out", 0, "it is empty")]))
    column  encoding        features  note
    size    standard score         1
    id      left out               0  it is empty
    """

    def __str__(self) -> str:
        rows = [HEADER, *((row.name, row.encoding, str(row.n_features), row.note) for row in self)]
        name, encoding, n_features = (max(len(row[k]) for row in rows) for k in range(3))
        return "\n".join(
            f"{row[0]:{name}}  {row[1]:{encoding}}  {row[2]:>{n_features}}  {row[3]}".rstrip() for row in rows
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        n_features = counted(sum(row.n_features for row in self), "feature")
        return html_table(f"{counted(len(self), 'column')}, {n_features}", HEADER, self)


def column_table(names: Iterable[str], columns: Iterable[Column], notes: Iterable[str]) -> ColumnTable:
    """Return the table of the columns of a training table.

    names : names of the columns, in their order; of others, that only notes name, there are rows at the end
    columns : encoders of those that are used
    notes : sentences of which some are on single columns, as fit_columns returns them
    """
    rows, said = {column.name: column for column in columns}, dict[str, list[str]]()
    for note in notes:
        if found := OF_COLUMN.fullmatch(note):
            said.setdefault(literal_eval(found[1]), []).append(found[2].removeprefix(f"{LEFT_OUT}: "))
    table = []
    for name in dict.fromkeys([*names, *said]):
        column, encoding, n_features = rows.get(name), "left out", 0
        if column is not None:
            encoding = column.encoding + ", indicator of missing cells" * column.marks_missing
            n_features = len(column.feature_names)
        table.append(ColumnRow(name, encoding, n_features, "; ".join(said.get(name, []))))
    return ColumnTable(table)
