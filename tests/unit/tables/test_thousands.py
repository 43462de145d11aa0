"""Marks that separate thousands, or are decimal marks: files with semicolons, and columns of text."""

import numpy as np
import pytest
from typer.testing import CliRunner

pd = pytest.importorskip("pandas")

from fastmlp.commands.cli import app  # noqa: E402  # needs pandas
from fastmlp.streams.table_sources import as_table_source  # noqa: E402
from fastmlp.tables import table_files  # noqa: E402
from fastmlp.tables.encoder_choice import fit_column  # noqa: E402
from fastmlp.tables.number_formats import mark_of_thousands  # noqa: E402
from fastmlp.tables.table_files import read_table  # noqa: E402
from fastmlp.tables.target_column import rows_with_target  # noqa: E402

N = 700


def amounts(mark):
    """Return numbers from 500 to 2000 as texts, with separators of thousands."""
    return [f"{500 + 2 * k:,}".replace(",", mark) for k in range(N)]


@pytest.fixture
def write(tmp_path):
    """A function that writes a file with semicolons and two columns, a and x, and returns its path."""

    def written(cells, others=("1.5", "2.25")):
        path = tmp_path / "table.csv"
        rows = [f"{cell};{others[k % 2]}" for k, cell in enumerate(cells)]
        path.write_text("\n".join(["a;x", *rows]))
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
@pytest.mark.parametrize("others", [("1.5", "2.25"), ("1,5", "2,25")])
def test_a_training_table_leaves_them_as_text_with_a_note(write, mark, others, monkeypatch):
    path = write(amounts(mark), others)
    monkeypatch.setattr(table_files, "PIECE_CELLS", N // 5)
    tables = [read_table(path, is_training=True)]
    tables += [pd.concat([piece for piece, _ in as_table_source(path, is_training=True).pieces()])]
    for table in tables:
        assert table["a"].tolist() == amounts(mark)
        column, note = fit_column(table["a"])
        assert column is None
        expected = f"each {mark!r} in its texts stands before three digits, so that '1{mark}000' may be 1000 or 1.000:"
        assert expected in note
    few, note = fit_column(pd.Series(amounts(mark)[240:260] * 2, name="a"))
    assert (len(few.categories), expected in note) == (20, True)


@pytest.mark.parametrize("odd", ["0.125", "1234", "2.39", "12.3456", "9876.125"])
def test_numbers_that_are_no_thousands_are_read_as_numbers(write, odd):
    path = write([*amounts("."), odd])
    assert read_table(path, is_training=True)["a"].dtype == np.float64
    assert read_table(path, is_training=True)["a"].iloc[-1] == float(odd)


def test_numbers_of_a_file_with_commas_are_read_as_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,x", *(f"{cell},1.5" for cell in amounts("."))]))
    assert read_table(path, is_training=True)["a"].dtype == np.float64


def test_numbers_with_a_few_other_texts_are_no_numbers_either():
    cells = [*amounts("."), "unknown"]
    assert "stands before three digits" in fit_column(pd.Series(cells, name="a"))[1]
    typed = pd.Series([*map(float, amounts(".")), "unknown"], dtype=object, name="a")
    assert "holds no numbers in 1 of 701 cells" in fit_column(typed)[1]


def test_a_target_that_may_have_separators_is_refused(write):
    table = read_table(write(amounts(".")), is_training=True)
    for task in ("auto", "regression"):
        with pytest.raises(ValueError, match=r"The target 'a' is text: .* that '1.000' may be 1000 or 1.000: to"):
            rows_with_target(table, "a", task)
    result = CliRunner().invoke(app, ["train", str(write(amounts("."))), "--target", "a"])
    assert "'1.000' may be 1000 or 1.000" in " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 1
