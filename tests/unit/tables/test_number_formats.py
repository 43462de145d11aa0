"""Texts that look like numbers, and what the note on their column says."""

import pandas as pd
import pytest

from fastmlp.tables.encoder_choice import fit_column
from fastmlp.tables.number_formats import conversion_of
from fastmlp.tables.preprocessing import Preprocessing
from fastmlp.tables.target_column import rows_with_target

LOOK_LIKE_NUMBERS = {
    "percent": (["42%", "7.5%", "-3 %"], "%"),
    "dollars": (["$12,345", "$7", "-$3,000.50", "1,000"], "$"),
    "euros": (["12 €", "1'200 €"], "€"),
    "thousands": (["1,234", "12,345,678", "12"], "','"),
    "spaces": (["1 234", "12 345 678"], "' '"),
    "comma": (["3,5", "1.234,75", "12"], "a decimal comma"),
    "comma and sign": (["7,5 %", "1.234,25 %", "3 %"], "'%' and a decimal comma"),
    "with gaps": (["42%", "?", "n/a", "7%"], "%"),
}
NUMBERS = {
    "percent": [42, 7.5, -3],
    "dollars": [12345, 7, -3000.5, 1000],
    "euros": [12, 1200],
    "thousands": [1234, 12345678, 12],
    "spaces": [1234, 12345678],
    "comma": [3.5, 1234.75, 12],
    "comma and sign": [7.5, 1234.25, 3],
}


@pytest.mark.parametrize("kind", LOOK_LIKE_NUMBERS)
def test_texts_that_look_like_numbers_are_recognised(kind):
    texts, sign = LOOK_LIKE_NUMBERS[kind]
    said = conversion_of("a column", texts)
    assert sign in said
    assert repr(texts[0]) in said
    if kind in NUMBERS:
        table = pd.DataFrame({"a column": texts})
        code = said[said.index("pandas.to_numeric") :]
        found = eval(code, {"pandas": pd, "table": table})  # what the user is told to run
        assert found.tolist() == NUMBERS[kind]


@pytest.mark.parametrize(
    "texts",
    [
        ["red", "7%"],
        ["1", "2.5"],
        ["10-20", "20-30"],
        ["1.2.2020", "3.4.2021"],
        ["192.168.0.1"],
        ["A$", "%"],
        ["1,23,4"],
        [],
        ["?"],
        ["12 cm", "3 cm"],
    ],
)
def test_other_texts_are_not(texts):
    assert conversion_of("a", texts) == ""


def test_the_note_on_a_column_says_what_it_becomes():
    column, note = fit_column(pd.Series([f"{k % 40}%" for k in range(200)], name="share"))
    assert column.kind == "category"
    assert note.startswith(
        "Column 'share' is used as 40 categories: its texts look like numbers with '%', such as '0%'"
    )
    column, note = fit_column(pd.Series([f"${1000 + k:,}" for k in range(1000)], name="price"))
    assert column is None
    assert "is left out: it has 1000 different texts, but at most 255 are encoded; its texts look like numbers" in note
    assert "table['price'].str.replace('[$,]', '', regex=True)" in note


def test_a_column_of_the_category_type_is_meant_to_be_one():
    column, note = fit_column(pd.Series(["10%", "20%"] * 20, name="share", dtype="category"))
    assert (column.kind, note) == ("category", "")


def test_a_target_that_looks_like_numbers_is_named():
    table = pd.DataFrame({"size": range(60), "share": [f"{k % 3}%" for k in range(60)]})
    _, (note,) = rows_with_target(table, "share")
    assert note.startswith(
        "The target 'share' is taken for classes; its texts look like numbers with '%', such as '0%'"
    )
    assert rows_with_target(table, "share", "classification")[1] == ()
    prices = table.assign(price=[f"${k},000" for k in range(100, 160)])
    with pytest.raises(ValueError, match=r"too many for classes; its texts look like numbers with '\$' and ','"):
        Preprocessing.fit(prices, "price")
