"""Sources of tables: the pieces together are the table that is read as a whole."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="pieces are data frames of pandas")
pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")

from fastmlp import MLP  # noqa: E402
from fastmlp.streams import record_batches  # noqa: E402
from fastmlp.streams.table_sources import as_table_source, read_table, surely_fits, table_in_memory, targets_in_memory  # noqa: E402
from fastmlp.tables import table_files  # noqa: E402


@pytest.fixture
def table():
    text = ["red", None, "blue"] * 100
    mixed = ["1"] * 299 + ["n"]
    return pd.DataFrame({"x": np.arange(300) / 7, "n": range(300), "text": text, "mixed": mixed, "flag": [True] * 300})


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    for module in (table_files, record_batches):
        monkeypatch.setattr(module, "PIECE_CELLS", 200)


def joined(source):
    return pd.concat([X for X, _ in source.pieces()], ignore_index=True)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet"])
def test_pieces_of_a_file_are_the_table(name, table, tmp_path):
    path = tmp_path / name
    table.to_parquet(path) if "parquet" in name else table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    source = as_table_source(path)
    assert len(list(source.pieces())) > 5
    pd.testing.assert_frame_equal(joined(source), read_table(path))
    pd.testing.assert_frame_equal(table_in_memory(path), read_table(path))


def test_pieces_of_a_folder_follow_one_another(table, tmp_path):
    for k in range(2):
        table[k::2].to_parquet(tmp_path / f"{k}.parquet")
    assert joined(as_table_source(tmp_path)).n.tolist() == table_in_memory(tmp_path).n.tolist()
    assert len(table_in_memory(tmp_path)) == 300


def test_a_folder_is_read_as_a_file_is(tmp_path):
    """Names of columns that are numbers are text; a column may have no cell in one of the files."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for k, cells in enumerate(([1.0, 2.0], [None, None])):
        frame = pd.DataFrame({0: cells, 1: [3.0, 4.0]})
        parquet.write_table(pyarrow.Table.from_pandas(frame), tmp_path / f"{k}.parquet")
    table = table_in_memory(tmp_path)
    assert table.columns.tolist() == read_table(tmp_path / "0.parquet").columns.tolist() == ["0", "1"]
    assert table["0"].isna().tolist() == [False, False, True, True]
    parquet.write_table(pyarrow.table([[1.0], [2.0], [3.0]], names=["0", "1", "1"]), tmp_path / "1.parquet")
    with pytest.raises(ValueError, match=r"In '[^']*1.parquet': The table has two columns named '1'"):
        table_in_memory(tmp_path)


def test_targets_are_named_or_beside(table, tmp_path):
    table.to_parquet(path := tmp_path / "t.parquet")
    for X, y in as_table_source(path, "n").pieces():
        assert "n" not in X.columns
        assert y.name == "n"
    assert [len(y) for _, y in as_table_source(path, np.zeros(300)).pieces()] == [40] * 7 + [20]
    X, y = next(as_table_source(path, ["n", "x"]).pieces())
    assert list(y.columns) == ["n", "x"]
    with pytest.raises(ValueError, match="Unknown column 'm'"):
        next(as_table_source(path, "m").pieces())
    with pytest.raises(ValueError, match="y has 9 samples, but X has 300"):
        list(as_table_source(path, np.zeros(9)).pieces())


def test_targets_in_memory_are_those_of_all_pieces():
    class Reused:
        def __iter__(self):
            buffer = np.empty(5)
            for first in range(0, 15, 5):
                buffer[:] = np.arange(first, first + 5)
                yield buffer

    np.testing.assert_array_equal(targets_in_memory(Reused()), np.arange(15))
    once = iter([np.arange(5), np.arange(5, 9)])
    np.testing.assert_array_equal(targets_in_memory(once), np.arange(9))
    with pytest.raises(ValueError, match="y has no rows, or can be read only once and was read before"):
        targets_in_memory(once)
    with pytest.raises(ValueError, match="y must give targets, but it is an iterable of batches of pairs"):
        targets_in_memory(iter([(np.zeros((5, 2)), np.zeros(5))]))
    assert targets_in_memory(y := [1, 2]) is y


def test_text_columns_of_csv_can_be_given(table, tmp_path):
    table.to_csv(path := tmp_path / "t.csv", index=False)
    found = joined(as_table_source(path, text_columns=["n"]))
    assert found.n.tolist() == [str(k) for k in range(300)]


def test_surely_fits_counts_cells(table, tmp_path):
    table.to_parquet(path := tmp_path / "t.parquet")
    assert surely_fits(path, 1500 * 4_200)
    assert not surely_fits(path, 1500 * 4_200 - 1)
    table.to_csv(path := tmp_path / "t.csv", index=False)
    assert surely_fits(path, path.stat().st_size * 2_100)
    assert not surely_fits(path, path.stat().st_size * 2_000)
    assert not surely_fits(tmp_path, 10**12)


def test_types_of_parquet_are_not_taken_for_numbers(tmp_path):
    """Codes written as text are no numbers for a net, and periods none for an estimator."""
    pd.DataFrame({"x": ["00123", "7"], "z": [0.5, 1.5], "y": [0, 1]}).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="Column 'x' must hold numbers, but its type is"):
        MLP((2, 3, 1)).fit(tmp_path / "text.parquet", "y", epochs=1)
    pd.DataFrame({"month": pd.period_range("2000-01", periods=2, freq="M")}).to_parquet(tmp_path / "month.parquet")
    assert isinstance(read_table(tmp_path / "month.parquet")["month"].dtype, pd.PeriodDtype)


def test_large_whole_numbers_beside_a_missing_cell_stay_exact(tmp_path):
    cells = pd.array([2**60 + 1, None, 2**60 + 3], "Int64")
    pd.DataFrame({"id": cells, "z": [1, 2, 3]}).to_parquet(tmp_path / "rows.parquet")
    table = read_table(tmp_path / "rows.parquet")
    assert table["id"].dropna().tolist() == [2**60 + 1, 2**60 + 3]
    assert table["id"].isna().tolist() == [False, True, False]
