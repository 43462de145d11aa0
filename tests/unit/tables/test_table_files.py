"""Reading of table files: refused files. Accepted kinds of files are tested in test_preprocessing.py."""

from __future__ import annotations

import gzip
import json
import warnings

import pytest

from fastmlp.tables import table_files
from fastmlp.tables.table_files import read_table, with_text_names

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    "header",
    ["price,size,price", '"price",size,"price"', "price, size, price", "\ufeffprice,size,price", "\nprice,size,price"],
    ids=repr,
)
def test_duplicate_column_names_raise(tmp_path, header):
    """pandas would rename the second column to price.1 and take the first one as the target."""
    path = tmp_path / "table.csv"
    path.write_text(header + "\n1,2,3\n4,5,6\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"^The table '\S*table.csv' has two columns named 'price', columns 1 and 3 of 3; rename"
    ):
        read_table(path)


def test_several_unnamed_columns_are_accepted(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(",,a\n1,2,3\n")
    assert read_table(path).shape == (1, 3)


def test_duplicate_column_names_in_parquet_raise(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="has two columns named 'a', columns 1 and 2 of 2"):
        read_table(tmp_path / "table.parquet")


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"{}", b'{"columns": 3}', b'{"index_columns": [3], "columns": [7]}'])
def test_damaged_pandas_metadata_raises_or_is_ignored(tmp_path, damaged):
    """Unreadable metadata of pandas raise a readable error, or are ignored if irrelevant."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": damaged})
    parquet.write_table(table, tmp_path / "table.parquet")
    try:
        assert read_table(tmp_path / "table.parquet").shape == (2, 1)
    except ValueError as error:
        text = "should be a Parquet file, but could not be read as one: what pandas wrote into it about its columns is"
        assert text in str(error)  # noqa: PT017


def test_multi_level_column_names_raise(tmp_path):
    table = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    with pytest.raises(ValueError, match=r"has column names of 2 levels, such as \('a', 'b'\).*join the levels"):
        with_text_names(table)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(ValueError, match=r"table.parquet' has column names of 2 levels"):
        read_table(tmp_path / "table.parquet")


def test_column_names_equal_as_text_raise():
    with pytest.raises(ValueError, match="two columns named '1', columns 1 and 2"):
        with_text_names(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    with pytest.raises(ValueError, match="two columns named '', columns 1 and 3"):
        with_text_names(pd.DataFrame([[1, 2, 3]], columns=["", "a", ""]))


def test_pieces_of_csv_files_leave_the_filters_of_warnings_as_they_are(tmp_path, monkeypatch):
    """Also between two pieces, where the caller may read another file, or give up."""
    monkeypatch.setattr(table_files, "PIECE_CELLS", 2)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    filters = list(warnings.filters)
    pieces = table_files.csv_pieces(tmp_path / "table.csv", ())
    assert [next(pieces).shape, next(pieces).shape] == [(1, 2), (1, 2)]
    assert warnings.filters == filters
    assert len(list(pieces)) == 1
    assert warnings.filters == filters


def test_separators_within_quotes_are_ignored(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('"x;y;z;w",t\n1,2\n3,4\n')
    assert list(read_table(path).columns) == ["x;y;z;w", "t"]
    path.write_text('"a ""x,y,z""";t\n1;2\n')
    assert list(read_table(path).columns) == ['a "x,y,z"', "t"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_any_end_of_a_line_counts_for_the_length_of_lines(end, tmp_path, monkeypatch):
    """Spreadsheets once ended lines with a carriage return alone."""
    monkeypatch.setattr(table_files, "MOST_LINE", 1000)
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress((f"a,b{end}" + f"1,2{end}" * 500).encode()))
    assert read_table(path).shape == (500, 2)


def test_wrong_pandas_metadata_raises_with_the_file_name(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    good = pa.Table.from_pandas(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).set_index("a"))
    whole = json.loads(good.schema.metadata[b"pandas"])
    for key in whole:
        for wrong in (None, 3, [None], {"a": 1}):
            damaged = json.dumps({**whole, key: wrong}).encode()
            parquet.write_table(good.replace_schema_metadata({b"pandas": damaged}), tmp_path / "t.parquet")
            try:
                read_table(tmp_path / "t.parquet")
            except ValueError as error:
                assert "t.parquet'" in str(error)  # noqa: PT017


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_has_an_error_that_names_it(tmp_path, encoding):
    path = tmp_path / "table.csv"
    path.write_bytes("name;x\nKöln;1\n".encode(encoding))
    with pytest.raises(ValueError, match=f"save it as UTF-8, or pass the table .* perhaps with encoding='{encoding}'"):
        read_table(path)
    assert pd.read_csv(path, sep=";", encoding=encoding).columns.tolist() == ["name", "x"]
