"""Texts that look like numbers or may have separators of thousands, and what the note on their column says."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fastmlp.commands.cli import app
from fastmlp.streams.table_sources import as_table_source, read_table
from fastmlp.tables import table_files
from fastmlp.tables.features import fit_column
from fastmlp.tables.numbers_as_text import conversion_of, mark_of_thousands
from fastmlp.tables.target import Target, rows_with_target


@pytest.mark.parametrize(
    "texts, sign, numbers",
    [
        (["42%", "7.5%", "-3 %"], "%", [42, 7.5, -3]),
        (["$12,345", "$7", "-$3,000.50", "1,000"], "$", [12345, 7, -3000.5, 1000]),
        (["12 €", "1'200 €"], "€", [12, 1200]),
        (["1,234", "12,345,678", "12"], "','", [1234, 12345678, 12]),
        (["1 234", "12 345 678"], "' '", [1234, 12345678]),
        (["7,5 %", "1.234,25 %", "3 %"], "'%' and a decimal comma", [7.5, 1234.25, 3]),
        (["3,5", "1.234,75", "12"], "a decimal comma", [3.5, 1234.75, 12]),
        (["42%", "?", "n/a", "7%"], "%", None),
    ],
    ids=["percent", "dollars", "euros", "thousands", "spaces", "comma and sign", "comma", "with gaps"],
)
def test_texts_that_look_like_numbers_are_recognised(texts, sign, numbers):
    said = conversion_of("a column", texts)
    assert sign in said
    assert repr(texts[0]) in said
    if numbers is not None:
        code = said[said.index("pandas.to_numeric") :]
        found = eval(code, {"pandas": pd, "table": pd.DataFrame({"a column": texts})})  # what the user is told to run
        assert found.tolist() == numbers


OTHERS = ["red 7%", "1 2.5", "10-20 20-30", "1.2.2020 3.4.2021", "192.168.0.1", "A$ %", "1,23,4"]


@pytest.mark.parametrize("texts", [*map(str.split, OTHERS), [], ["?"], ["12 cm", "3 cm"]], ids=str)
def test_other_texts_are_not(texts):
    assert conversion_of("a", texts) == ""


@pytest.mark.parametrize(
    "cells, n_categories, words",
    [
        ([f"{k % 40}%" for k in range(200)], 40, "used as 40 categories: its texts look like numbers with '%', such"),
        ([f"${1000 + k:,}" for k in range(1000)], 0, "but at most 255 are encoded; its texts look like numbers"),
        (pd.Categorical(["10%", "20%"] * 20), 2, ""),  # the user's word
    ],
    ids=["few", "many", "category type"],
)
def test_the_note_on_a_column_says_what_it_becomes(cells, n_categories, words):
    column, note = fit_column(pd.Series(cells, name="share"))
    assert len(column.categories if column else ()) == n_categories
    assert words in note
    assert bool(words) == bool(note)


def test_a_target_that_looks_like_numbers_is_named():
    table = pd.DataFrame({"size": range(60), "share": [f"{k % 3}%" for k in range(60)]})
    _, (note,) = rows_with_target(table, "share")
    assert note.startswith(
        "The target 'share' is taken for classes; its texts look like numbers with '%', such as '0%'"
    )
    assert rows_with_target(table, "share", "classification")[1] == ()
    prices = pd.Series([f"${k},000" for k in range(100, 160)])
    with pytest.raises(ValueError, match=r"too many for classes; its texts look like numbers with '\$' and ','"):
        Target.fit(prices)


# ---- marks that separate thousands, or are decimal marks: in files with semicolons, and columns of text

N = 700


def amounts(mark):
    """Return numbers from 500 to 2000 as texts, with separators of thousands."""
    return [f"{500 + 2 * k:,}".replace(",", mark) for k in range(N)]


@pytest.fixture
def write(tmp_path):
    """A function that writes a file with semicolons and two columns, a and x, and returns its path."""

    def written(cells, others=("1.5", "2.25"), separator=";"):
        path = tmp_path / "table.csv"
        rows = [f"{cell}{separator}{others[k % 2]}" for k, cell in enumerate(cells)]
        path.write_text("\n".join([f"a{separator}x", *rows]))
        return path

    return written


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["754", "2.390", "none", "-1.234.567", ""], "."),
        ([" 754", "2,390"], ","),
        (["2.390", "12.500"], ""),  # three decimals everywhere
        (["754", "3"], ""),
        (["754", "2.39", "2.390"], ""),
        (["754", "0.125"], ""),
        (["1754", "2.390"], ""),
        (["754", "2.390", "2,390"], ""),
        (["754", "2.390", "id 7"], ""),
    ],
)
def test_texts_that_may_have_separators_of_thousands(texts, mark):
    assert mark_of_thousands(texts) == mark


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("others", [("1.5", "2.25"), ("1,5", "2,25")], ids=["points", "commas"])
def test_a_training_table_leaves_them_as_text_with_a_note(write, mark, others, monkeypatch):
    path = write(amounts(mark), others)
    monkeypatch.setattr(table_files, "PIECE_CELLS", N // 5)
    tables = [read_table(path, is_training=True)]
    tables += [pd.concat([piece for piece, _ in as_table_source(path, is_training=True).pieces()])]
    expected = f"each {mark!r} in its texts stands before three digits, so that '1{mark}000' may be 1000 or 1.000:"
    for table in tables:
        assert table["a"].tolist() == amounts(mark)
        column, note = fit_column(table["a"])
        assert (column, expected in note) == (None, True)
    few, note = fit_column(pd.Series(amounts(mark)[240:260] * 2, name="a"))
    assert (len(few.categories), expected in note) == (20, True)
    assert "stands before three digits" in fit_column(pd.Series([*amounts("."), "unknown"], name="a"))[1]


@pytest.mark.parametrize("odd", ["0.125", "1234", "2.39", "12.3456", "9876.125"])
def test_numbers_that_are_no_thousands_are_read_as_numbers(write, odd):
    found = read_table(write([*amounts("."), odd]), is_training=True)["a"]
    assert (found.dtype, found.iloc[-1]) == (np.float64, float(odd))
    assert read_table(write(amounts("."), separator=","), is_training=True)["a"].dtype == np.float64, "no semicolons"


def test_a_target_that_may_have_separators_is_refused(write):
    table = read_table(write(amounts(".")), is_training=True)
    for task in ("auto", "regression"):
        with pytest.raises(ValueError, match=r"The target 'a' is text: .* that '1.000' may be 1000 or 1.000: to"):
            rows_with_target(table, "a", task)
    result = CliRunner().invoke(app, ["train", str(write(amounts("."))), "--target", "a"])
    assert "'1.000' may be 1000 or 1.000" in " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 1
