"""Notes: sentences on cells of a table that are unlike those of training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .cells import count_of

MOST_LINES = 5  # of a warning about columns
MOST_LISTED = 20  # things that a sentence names
MIN_NOTE_ROWS = 10  # rows from which an entirely missing column is reported even if training had missing cells


class Note(NamedTuple):
    """Sentence on a column of a table for prediction.

    is_serious : whether most cells of the column are of a kind unseen in training
    """

    text: str
    is_serious: bool

    @property
    def kind(self) -> str:
        """The sentence without its numbers of cells and its examples: the same for all pieces of a table."""
        return re.sub(r"\d[\d,.]*( %)?|\(.*\)", "", self.text)


class NotesOfPieces:
    """Notes on a table that is read in pieces: of each kind the first, since another piece has other counts."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._n_rows = 0

    def of_next(self, n_rows: int, notes: list[Note]) -> list[Note]:
        """Return the notes of the next piece that are of a new kind, with its rows."""
        rows = f"In rows {self._n_rows:,} to {self._n_rows + n_rows:,} (later ones are not counted)"
        self._n_rows += n_rows
        new = [note for note in notes if note.kind not in self._kinds]
        self._kinds.update(note.kind for note in new)
        return [note._replace(text=f"{rows}: {note.text}") for note in new]


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


def listed(texts: Iterable[str]) -> str:
    """Return texts with commas between them, of many the first ones."""
    texts = list(texts)
    shown = ", ".join(texts[:MOST_LISTED])
    return f"{shown} and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else shown


def missing_note(name: str, n_missing: int, n: int, had_missing: bool, missing_meaning: str) -> list[Note]:
    """Return a note if a column has missing cells but had none in training, or if all of its cells are missing.

    n_missing, n : number of missing cells and of all cells
    had_missing : whether the column had missing cells in training
    missing_meaning : value that a missing cell is encoded as
    """
    if not had_missing:
        cells = count_of(n_missing, n)
        text = f"Column {name!r} is missing in {cells}, but in none of training; such cells count as {missing_meaning}."
        return [Note(text, 2 * n_missing > n)]
    return [Note(f"Column {name!r} is missing in {count_of(n, n)}.", True)] if n_missing == n >= MIN_NOTE_ROWS else []
