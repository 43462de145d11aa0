"""Rows of CSV files: read as tables are, in pieces whose types may differ; cells that are no numbers are refused."""

import gzip

import numpy as np
import pytest

pytest.importorskip("pandas", reason="CSV files are read by pandas")

from fastmlp import MLP  # after the check
from fastmlp.streams.sources import as_source
from fastmlp.tables import table_files

N, ROWS = 1_000, 100  # of a file, and of a piece of it


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(table_files, "PIECE_CELLS", 2 * ROWS)


def written(path, cells, header="a,b"):
    """Write a file whose first column counts the rows, and whose second one has these cells; return its path."""
    separator = next(mark for mark in ",;\t" if mark in header)
    text = "\n".join([header, *(f"{row}{separator}{cell}" for row, cell in enumerate(cells))]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_decimals_may_follow_blocks_of_integers(tmp_path):
    path = written(tmp_path / "rows.csv", [7] * (N - 1) + [1.5])
    pieces = list(as_source(path, "b").pieces())
    assert [len(X) for X, _ in pieces] == [ROWS] * (N // ROWS)
    np.testing.assert_array_equal(np.concatenate([y for _, y in pieces]), [7.0] * (N - 1) + [1.5])
    np.testing.assert_array_equal(np.concatenate([X for X, _ in pieces])[:, 0], np.arange(N))


@pytest.mark.parametrize(
    "name, header, mark",
    [
        ("rows.csv", "a;b", ","),
        ("rows.csv", "a;b", "."),
        ("rows.tsv", "a\tb", "."),
        ("rows.csv.gz", "a,b", "."),
        ("rows.TSV.gz", "a;b", ","),
    ],
)
def test_separators_decimal_marks_and_compression_are_those_of_tables(name, header, mark, tmp_path):
    values = np.arange(N) / 8
    path = written(tmp_path / name, [str(value).replace(".", mark) for value in values], header)
    y = np.concatenate([y for _, y in as_source(path, "b").pieces()])
    np.testing.assert_array_equal(y, values)


def test_booleans_and_huge_integers_are_numbers_in_any_piece(tmp_path):
    cells = ["true"] * ROWS + ["True", "0"] * (ROWS // 2) + ["9" * 30] * ROWS
    y = np.concatenate([y for _, y in as_source(written(tmp_path / "rows.csv", cells), "b").pieces()])
    np.testing.assert_allclose(y, [1.0] * ROWS + [1.0, 0.0] * (ROWS // 2) + [float("9" * 30)] * ROWS, rtol=1e-12)


@pytest.mark.parametrize(
    "cell, message",
    [
        ("many", r"Column 'b' must hold numbers, but it holds 'many' in row 457 of '[^']*rows.csv', counted from 0"),
        ("", r"Column 'b' has a missing cell in row 457 of '[^']*rows.csv', counted from 0"),
        ("?", "Column 'b' has a missing cell in row 457"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_row(cell, message, tmp_path):
    cells = [1] * N
    cells[457] = cell
    path = written(tmp_path / "rows.csv", cells)
    with pytest.raises(ValueError, match=message):
        MLP((1, 1)).fit(path, "b", epochs=1, verbose=0)


def test_files_that_are_no_tables_of_numbers_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    for text, message in (
        ("1.5,2\n3,4\n", r"The first line of '[^']*rows.csv' should name the columns, but it holds numbers"),
        ("1,1\n3,4\n", "should name the columns"),
        ("", r"rows.csv' should be a CSV file, .* could not be read as one"),
        ("a,b\n1,2,3\n", "rows of .* have more cells than its header has names"),
        ("a,a\n1,2\n", "two columns named 'a'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            MLP((2, 1)).fit(path, np.zeros(1), epochs=1, verbose=0)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"^Unknown column 'c'. .*Choose from: a, b"):
        MLP((1, 1)).fit(path, "c", epochs=1, verbose=0)
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match=r"X must have at least one sample, but '[^']*rows.csv' has none"):
        MLP((1, 1)).fit(path, "b", epochs=1, verbose=0)
