"""What became of each column of a training table, in words: a table that people read."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterable
from typing import NamedTuple

from ..console.html_display import html_table
from ..errors import counted
from .encoder_choice import LEFT_OUT, Column

HEADER = "column", "encoding", "features", "note"
NOTE = re.compile(r"""Column ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") (.*)\.""", re.DOTALL)  # with the repr of its name


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
    encoders = {column.name: column for column in columns}
    said: dict[str, list[str]] = {}
    for note in notes:
        if found := NOTE.fullmatch(note):
            said.setdefault(literal_eval(found[1]), []).append(found[2].removeprefix(f"{LEFT_OUT}: "))
    rows = []
    for name in dict.fromkeys([*names, *said]):
        column, note = encoders.get(name), "; ".join(said.get(name, []))
        if column is None:
            rows.append(ColumnRow(name, "left out", 0, note))
        else:
            rows.append(ColumnRow(name, _encoding_of(column), len(column.feature_names), note))
    return ColumnTable(rows)


def _encoding_of(column: Column) -> str:
    """Return the features of a column in words."""
    words = [column.encoding]
    if column.marks_missing:
        words.append("indicator of missing cells")
    return ", ".join(words)
