"""A table that does not fit into the memory limit of the tests, and a file of it."""

import pytest
from large_tables import INPUTS, make_table


@pytest.fixture(scope="module")
def table():
    pytest.importorskip("pandas", reason="tables are data frames of pandas")
    return make_table()


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    path = tmp_path_factory.mktemp("tables") / "table.parquet"
    table[[*INPUTS, "kind"]].to_parquet(path, row_group_size=9_000)
    return path
