"""The table of what became of each column: a row for every column, and its note."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables.column_table import ColumnRow, column_table
from fastmlp.tables.columns_to_features import fit_columns
from fastmlp.tables.encoder_choice import NumericEncoding


@pytest.fixture
def table(rng):
    n = 400
    size = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))
    town = pd.Categorical(rng.choice(["Bonn", "Kiel", "Ulm"], n), ordered=True)
    return pd.DataFrame({"it's": 1.0, "size": size, 'a "b" \\ c.': np.arange(n).astype(str), "town": town})


def rows_of(table, encoding):
    columns, notes, choices = fit_columns(table, encoding)
    return column_table(table.columns, columns, notes + choices)


def test_each_column_has_a_row_in_its_place(table):
    rows = rows_of(table, NumericEncoding())
    order = "is used as categories: their order is not used; to use it, give it as numbers"
    assert rows == (
        ColumnRow("it's", "left out", 0, "all of its cells are equal"),
        ColumnRow("size", "normal score, indicator of missing cells", 2, ""),
        ColumnRow('a "b" \\ c.', "normal score", 1, "holds numbers as text, and is used as a column of numbers"),
        ColumnRow("town", "one-hot categories", 3, order),
    )
    assert len(str(rows).splitlines()) == 5
    assert "<b>4 columns, 6 features</b>" in rows._repr_html_()


def test_columns_that_only_notes_know_come_last(table):
    """So it is with nets of `fastmlp train`, which know the columns that they use."""
    columns, notes, choices = fit_columns(table)
    rows = column_table([column.name for column in columns], columns, notes + choices)
    assert [row.name for row in rows] == ["size", 'a "b" \\ c.', "town", "it's"]
    assert rows[-1].note == "all of its cells are equal"
