"""Parquet files and datasets of them: pages in memory rather than row groups, and the rows that a dataset has."""

import numpy as np
import pytest

from fastmlp.streams import parquet_files as module
from fastmlp.streams.parquet_files import dataset_batches, parquet_batches, parquet_files
from fastmlp.streams.table_sources import as_table_source

pyarrow = pytest.importorskip("pyarrow")
dataset = pytest.importorskip("pyarrow.dataset")
parquet = pytest.importorskip("pyarrow.parquet")

N = 500


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    words = rng.choice(["red", "blue"], N)
    return pyarrow.table({"a": rng.normal(size=N), "b": rng.integers(0, 9, N), "word": words})


@pytest.fixture
def folder(table, tmp_path):
    """A folder with a subfolder for each of two years, with a file of two row groups."""
    for year in (2024, 2025):
        (tmp_path / f"year={year}").mkdir()
        parquet.write_table(table.slice(year - 2024), tmp_path / f"year={year}" / "rows.parquet", row_group_size=300)
    return tmp_path


def read(batches):
    return pyarrow.Table.from_batches(list(batches))


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


@pytest.mark.parametrize("kind", ["int32", "text", "dictionary"])
def test_a_dataset_has_its_rows_and_the_columns_of_its_folders(kind, folder, monkeypatch):
    types = {"int32": pyarrow.int32(), "text": pyarrow.string()}
    if kind == "dictionary":
        partitioning = dataset.HivePartitioning.discover(infer_dictionary=True)
    else:
        partitioning = dataset.partitioning(pyarrow.schema([("year", types[kind])]), flavor="hive")
    found = dataset.dataset(folder, format="parquet", partitioning=partitioning)
    expected = read(found.to_batches(use_threads=False))
    monkeypatch.setattr(module, "PIECE_BYTES", 8 * 3 * 70)
    batches = list(dataset_batches(found))
    assert max(batch.num_rows for batch in batches) == 70, "no whole row group is decoded"
    for name in expected.column_names:
        assert read(batches).column(name).to_pylist() == expected.column(name).to_pylist()
    assert read(batches).schema.equals(found.schema)


def test_what_a_dataset_converts_filters_or_selects_is_as_it_says(table, folder):
    field = dataset.field
    hive = dataset.dataset(folder, format="parquet", partitioning="hive")
    wider = hive.schema.set(hive.schema.get_field_index("b"), pyarrow.field("b", pyarrow.float64()))
    cases = {
        "filtered": hive.filter(field("a") > 0.0),
        "other types": dataset.dataset(folder, format="parquet", partitioning="hive", schema=wider),
        "fewer columns": dataset.dataset(folder, format="parquet", schema=hive.schema.remove(0)),
        "in memory": dataset.dataset(table),
        "row groups": dataset.FileSystemDataset(
            [part for one in hive.get_fragments() for part in one.split_by_row_group()][1:],
            hive.schema,
            hive.format,
            hive.filesystem,
        ),
    }
    for name, found in cases.items():
        expected = read(found.to_batches(use_threads=False))
        assert read(dataset_batches(found)).to_pydict() == expected.to_pydict(), name


def test_a_damaged_file_of_a_dataset_is_named(folder):
    found = dataset.dataset(folder, format="parquet", partitioning="hive")
    file = folder / "year=2025" / "rows.parquet"
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"year=2025/rows.parquet' cannot be read as Parquet"):
        read(dataset_batches(found))


def test_a_folder_with_subfolders_says_how_to_read_them(folder, table):
    message = rf"Parquet files in subfolders, such as .*\. Pass .*dataset\('{folder}', format='parquet', part"
    with pytest.raises(ValueError, match=message):
        parquet_files(folder)
    with pytest.raises(ValueError, match=message):
        list(as_table_source(folder).pieces())
    parquet.write_table(table, folder / "rows.parquet")
    with pytest.raises(ValueError, match=message):
        parquet_files(folder)


def test_logs_and_drafts_in_a_folder_are_no_data(tmp_path, table):
    for name in ("a.parquet", ".b.parquet", "_c.parquet"):
        parquet.write_table(table, tmp_path / name)
    assert parquet_files(tmp_path) == [tmp_path / "a.parquet"]


def test_logs_and_drafts_in_subfolders_are_no_data(tmp_path, table):
    for name in ("_log", ".draft"):
        (tmp_path / name).mkdir()
        parquet.write_table(table, tmp_path / name / "rows.parquet")
    parquet.write_table(table, tmp_path / "rows.parquet")
    assert parquet_files(tmp_path) == [tmp_path / "rows.parquet"]
