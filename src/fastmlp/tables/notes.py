"""Notes: sentences on the columns of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .base_column import Column, Note
from .cells import listed

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
