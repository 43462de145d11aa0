"""Reading of table files: every format gives the same table, and files that are refused say why."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest

from fastmlp.streams.table_sources import read_table
from fastmlp.tables import table_files
from fastmlp.tables.table_files import with_text_names

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet"])
def test_every_file_format_gives_the_same_table(rng, tmp_path, ending):
    path, table = tmp_path / f"table.{ending}", pd.DataFrame({"skewed": np.exp(3 * rng.normal(size=80))})
    table["colour"] = pd.Series(rng.choice(["red", "green"], 80)).where(np.arange(80) % 11 != 0)
    if ending == "parquet":
        pytest.importorskip("pyarrow")
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    back = read_table(path)
    assert list(back.columns) == list(table.columns)
    np.testing.assert_allclose(back["skewed"], table["skewed"], rtol=1e-12)
    assert back["colour"].isna().equals(table["colour"].isna())


def test_separators_and_missing_markers_are_recognised(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a;b\n1; x\n?;\n3;NA\n")
    back = read_table(path)
    assert back["a"].isna().tolist() == [False, True, False]
    assert back["b"].tolist()[0] == "x"
    assert back["b"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a;b\n1,5;x\n-2;y\n1,25;z\n", [1.5, -2.0, 1.25]),
        ('"a";"b"\n"1,5";"x, y"\n"-2";"2.5"\n"1,25";""\n', [1.5, -2.0, 1.25]),
        ("a;b\n1.5;0,1\n-2.5;x\n1.25;x\n", [1.5, -2.5, 1.25]),
        ("a\tb\n1.5\t1,234\n2\t2,000\n3\t3,000\n", [1.5, 2.0, 3.0]),
    ],
)
def test_decimal_commas_are_recognised(tmp_path, text, numbers):
    """A comma is a decimal mark only in files with semicolons, never if it may separate thousands."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert read_table(path)["a"].tolist() == numbers


def test_columns_can_be_read_as_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("code,number\n007,1\n010,2\n")
    assert read_table(path)["code"].tolist() == [7, 10]
    assert read_table(path, ["code", "not there"])["code"].tolist() == ["007", "010"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "should be a CSV file"),
        ("header.csv", b"a,b\n", "no rows below its header"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("wide.csv", b"a,b\n1,2,3\n4,5,6\n", "more cells than its header has names"),
        ("wider.csv", b"a,b\n0,2,3\n1,5,6\n", "more cells than its header has names"),
        ("binary.csv", bytes(range(128, 256)), "save it as UTF-8"),
        ("fake.csv.gz", b"a,b\n1,2\n", "should be a CSV file"),
        ("short.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999, mtime=0)[:30], "should be a CSV file"),
        ("fake.parquet", b"a,b\n1,2\n", "cannot be read as Parquet"),
        ("table.xlsx", b"", "should be a file ending in .csv"),
    ],
)
def test_unreadable_files_raise(tmp_path, name, content, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_table(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name", "words"), [("pandas", "t.csv", "pandas"), ("pyarrow", "t.parquet", "pyarrow")]
)
def test_missing_package_is_named(monkeypatch, tmp_path, module, name, words):
    (tmp_path / name).write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        read_table(tmp_path / name)
    assert words in str(caught.value)
    assert "pip install 'fastmlp[table]' (in a checkout: pip install '.[table]')" in str(caught.value)


# ---- names of columns


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


def test_duplicate_column_names_in_parquet_raise(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table([[1, 2], [3, 4]], names=["a", "a"]), tmp_path / "table.parquet")
    with pytest.raises(ValueError, match="has two columns named 'a', columns 1 and 2 of 2"):
        read_table(tmp_path / "table.parquet")


def test_multi_level_column_names_raise_or_are_text(tmp_path):
    table = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    with pytest.raises(ValueError, match=r"has column names of 2 levels, such as \('a', 'b'\).*join the levels"):
        with_text_names(table)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "table.parquet")
    assert list(read_table(tmp_path / "table.parquet").columns) == ["('a', 'b')", "('a', 'c')"]


def test_column_names_equal_as_text_raise(tmp_path):
    with pytest.raises(ValueError, match="two columns named '1', columns 1 and 2"):
        with_text_names(pd.DataFrame([[1, 2]], columns=[1, "1"]))
    (tmp_path / "unnamed.csv").write_text(",,a\n1,2,3\n")
    assert read_table(tmp_path / "unnamed.csv").shape == (1, 3), "pandas names them"
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*nothing.csv'"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match="two columns named '', columns 1 and 3"):
        with_text_names(pd.DataFrame([[1, 2, 3]], columns=["", "a", ""]))


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

    for damaged in (b"{", b"[]", b'{"columns": 3}', b'{"index_columns": [3], "columns": [7]}'):
        table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": damaged})
        parquet.write_table(table, tmp_path / "t.parquet")
        try:
            assert read_table(tmp_path / "t.parquet").shape == (2, 1)
        except ValueError as error:
            assert "what pandas has written about them is damaged" in str(error)  # noqa: PT017


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_has_an_error_that_names_it(tmp_path, encoding):
    path = tmp_path / "table.csv"
    path.write_bytes("name;x\nKöln;1\n".encode(encoding))
    with pytest.raises(ValueError, match=f"save it as UTF-8, or pass the table .* perhaps with encoding='{encoding}'"):
        read_table(path)
    assert pd.read_csv(path, sep=";", encoding=encoding).columns.tolist() == ["name", "x"]
