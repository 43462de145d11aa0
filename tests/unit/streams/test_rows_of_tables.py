"""Rows of tables: columns are told apart by their names, row groups read in pieces, cells without a number refused."""

import gzip

import numpy as np
import pytest

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pandas", reason="CSV files are read by pandas")

from fastmlp import MLP  # noqa: E402  # after the checks
from fastmlp.streams.record_batches import parquet_batches, parquet_files  # noqa: E402
from fastmlp.streams.sources import as_source  # noqa: E402
from fastmlp.tables import table_files  # noqa: E402

N, ROWS = 1_000, 100  # of a file, and of a piece of a CSV file


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(table_files, "PIECE_CELLS", 2 * ROWS)


@pytest.fixture
def table(rng):
    return pyarrow.table({**{f"x{k}": rng.normal(size=N) for k in range(3)}, "label": rng.integers(0, 4, N)})


def read(source, y="label"):
    """Return the features and targets of all rows."""
    X, targets = zip(*as_source(source, y).pieces(), strict=True)
    return np.concatenate(X), np.concatenate(targets)


# ---- Parquet and Arrow


def test_a_row_group_is_not_in_memory_as_a_whole(tmp_path):
    """Batches of a hundredth of a row group take a small part of its memory."""
    n, rng = 400_000, np.random.default_rng(0)
    table = pyarrow.table({f"x{k}": rng.normal(size=n) for k in range(4)})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=n, compression="none", use_dictionary=False)
    n_bytes, before, most = table.nbytes, pyarrow.total_allocated_bytes(), 0
    for batch in parquet_batches(tmp_path / "t.parquet", 4 * n // 100):
        most = max(most, pyarrow.total_allocated_bytes() - before)
        assert batch.num_rows == n // 100
    assert most < 0.6 * n_bytes


def test_files_of_a_folder_may_have_their_columns_in_another_order(table, tmp_path):
    parquet.write_table(table, tmp_path / "0.parquet")
    parquet.write_table(table.select(["label", "x2", "x0", "x1"]), tmp_path / "1.parquet")
    for name in (".a.parquet", "_b.parquet", "_log/c.parquet", ".draft/d.parquet"):  # logs and drafts are no data
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    features, targets = read(tmp_path)
    expected = read(table)
    np.testing.assert_array_equal(features, np.concatenate([expected[0]] * 2))
    np.testing.assert_array_equal(targets, np.concatenate([expected[1]] * 2))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda table: table.select(["x0", "label"]), "All pieces must have .*, but one lacks 'x1', 'x2'"),
        (lambda table: table.append_column("more", [range(N)]), "All pieces must have .*, but one has 'more' besides"),
        (lambda table: table.set_column(1, "x1", [["a"] * N]), "Column 'x1' must hold numbers, but its type is string"),
        (
            lambda table: table.set_column(1, "x1", [[None] + [1.0] * (N - 1)]),
            "Column 'x1' has a missing cell in row 0",
        ),
        (lambda table: table.append_column("label", [range(N)]), "The table has two columns named 'label'"),
    ],
)
def test_the_file_of_a_folder_that_differs_is_named(change, message, table, tmp_path):
    for k, part in enumerate((table, change(table), table)):
        parquet.write_table(part, tmp_path / f"part-{k}.parquet")
    with pytest.raises(ValueError, match=f"In '[^']*part-1.parquet': {message}"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"^Unknown column 'labels'"):
        read(tmp_path, "labels")


def test_a_folder_with_subfolders_says_how_to_read_them(table, tmp_path):
    (tmp_path / "year=2024").mkdir()
    parquet.write_table(table, file := tmp_path / "year=2024" / "rows.parquet")
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"in subfolders, such as .*\. Pass .*dataset\('{tmp_path}', format='parq"
        ):
            parquet_files(tmp_path)
        parquet.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").unlink()
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path, format="parquet", partitioning="hive")
    features, _ = read(dataset)
    np.testing.assert_array_equal(features, np.column_stack([read(table)[0], np.full(N, 2024)]))
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(content)
    for source in (dataset, file):
        with pytest.raises(ValueError, match="cannot be read as Parquet"):
            read(source)


@pytest.mark.parametrize("name", [None, "row"])
@pytest.mark.parametrize("kind", ["frame", "parquet", "folder"])
def test_index_of_a_frame_is_no_feature(kind, name, table, tmp_path):
    frame = table.to_pandas().rename_axis(name)
    kept, others = frame[frame["x0"] > 0], frame[frame["x0"] <= 0]
    kept.to_parquet(path := tmp_path / "rows.parquet")
    if kind == "folder":  # of files with and without an index
        others.to_parquet(tmp_path / "others.parquet", index=False)
    features, _ = read({"frame": kept, "parquet": path, "folder": tmp_path}[kind])
    expected = [*[others] * (kind == "folder"), kept]
    np.testing.assert_array_equal(features, np.concatenate([part[["x0", "x1", "x2"]] for part in expected]))


# ---- CSV


def written(path, cells, header="a,b"):
    """Write a file whose first column counts the rows, and whose second one has these cells; return its path."""
    separator = next(mark for mark in ",;\t" if mark in header)
    text = "\n".join([header, *(f"{row}{separator}{cell}" for row, cell in enumerate(cells))]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    "cells, expected",
    [
        ([7] * (N - 1) + [1.5], [7.0] * (N - 1) + [1.5]),  # decimals after blocks of integers
        (
            ["true"] * ROWS + ["True", "0"] * (ROWS // 2) + ["9" * 30] * ROWS,
            [1.0] * ROWS + [1.0, 0.0] * (ROWS // 2) + [float("9" * 30)] * ROWS,
        ),
    ],
)
def test_types_may_differ_from_piece_to_piece(cells, expected, tmp_path):
    path = written(tmp_path / "rows.csv", cells)
    assert {len(X) for X, _ in as_source(path, "b").pieces()} == {ROWS}
    X, y = read(path, "b")
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_array_equal(X[:, 0], np.arange(len(cells)))


def test_marks_that_may_separate_thousands_are_refused_as_in_tables(tmp_path):
    cells = [f"{500 + 2 * row:,}".replace(",", ".") for row in range(N)]
    message = "Column 'b' of '[^']*rows.csv' may have separators of thousands: .* 2.390 may be 2390"
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path / "rows.csv", cells, "a;b"), "b")
    with_two_decimals, with_commas = ["2.39", *cells], cells
    assert read(written(tmp_path / "rows.csv", with_two_decimals, "a;b"), "b")[1][[0, -1]].tolist() == [2.39, 2.498]
    assert read(written(tmp_path / "rows.csv", with_commas), "b")[1][-1] == 2.498


@pytest.mark.parametrize(
    "cell, message",
    [
        ("many", r"In '[^']*rows.csv': Column 'b' must hold numbers, but it holds 'many' in row 457, counted from 0"),
        ("", r"In '[^']*rows.csv': Column 'b' has a missing cell in row 457, counted from 0"),
        ("?", "Column 'b' has a missing cell in row 457"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_row(cell, message, tmp_path):
    path = written(tmp_path / "rows.csv", [1] * 457 + [cell] + [1] * 542)
    with pytest.raises(ValueError, match=message):
        MLP((1, 1)).fit(path, "b", epochs=1, verbose=0)


@pytest.mark.parametrize(
    "text, y, message",
    [
        ("1.5,2\n3,4\n", "b", r"The first line of '[^']*rows.csv' should name the columns, but it holds numbers"),
        ("1,1\n3,4\n", "b", "should name the columns"),
        ("", "b", r"rows.csv' should be a CSV file, .* could not be read as one"),
        ("a,b\n1,2,3\n", "b", "rows of .* have more cells than its header has names"),
        ("a,a\n1,2\n", "a", "two columns named 'a'"),
        ("a,b\n1,2\n", "c", r"^Unknown column 'c'. .*Choose from: a, b"),
        ("a,b\n", "b", r"X must have at least one sample, but '[^']*rows.csv' has none"),
    ],
)
def test_files_that_are_no_tables_of_numbers_are_refused(text, y, message, tmp_path):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        MLP((1, 1)).fit(tmp_path / "rows.csv", y, epochs=1, verbose=0)
