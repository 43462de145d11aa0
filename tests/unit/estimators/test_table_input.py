"""Table input: conversion of tables of other libraries to a DataFrame."""

import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fastmlp.errors import install_command
from fastmlp.estimators.sources import as_cells, as_frame, frame_of_array

TABLE = pd.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", None, "blue"], "new": [True, False, True]})


class Stream:
    """A table that supports Arrow's stream protocol only."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.Table.from_pandas(TABLE).__arrow_c_stream__(requested_schema)


TABLES = {
    "pandas": TABLE,
    "polars": pl.from_pandas(TABLE),
    "arrow table": pa.Table.from_pandas(TABLE),
    "record batch": pa.RecordBatch.from_pandas(TABLE),
    "protocol": Stream(),
    "dictionaries": TABLE.to_dict("records"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_kinds_of_tables_become_the_same_frame(kind):
    frame = as_frame(TABLES[kind])
    assert list(frame.columns) == list(TABLE.columns)
    np.testing.assert_array_equal(frame["size"].to_numpy(float), TABLE["size"])
    assert frame["colour"].isna().tolist() == [False, True, False]
    assert frame["colour"].tolist()[::2] == ["red", "blue"]
    assert frame["new"].astype(bool).tolist() == [True, False, True]


def test_times_of_polars_keep_their_zone():
    times = pl.Series(["2026-07-01T12:00", None]).str.to_datetime().dt.replace_time_zone("Europe/Berlin")
    frame = as_frame(pl.DataFrame({"t": times, "naive": times.dt.replace_time_zone(None)}))
    assert frame["t"].dt.tz is not None
    assert frame["t"][0] == pd.Timestamp("2026-07-01T10:00", tz="UTC")
    assert frame["t"].isna().tolist() == [False, True]
    assert frame["naive"].dt.tz is None


def test_inputs_without_columns_are_no_frames():
    for other in ([[1, 2]], np.eye(2), TABLE["size"], pl.Series([1.0]), pa.array([1]), [], 3, None):
        assert as_frame(other) is None


def test_tables_that_cannot_be_converted_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"X is a LazyFrame, .* pass X.collect\(\)"):
        as_frame(pl.from_pandas(TABLE).lazy())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=re.escape(f"A Stream needs pyarrow: {install_command('table')}.")):
        as_frame(Stream())


def test_as_cells_keeps_the_types_of_mixed_lists():
    cells = as_cells([[1.5, "red", None], [2, "blue", True]])
    assert cells.dtype == object
    assert cells.tolist() == [[1.5, "red", None], [2, "blue", True]]
    ragged = [[1], [1, 2]]
    assert as_cells(ragged) is ragged
    assert as_cells([[1, 2.5]]).dtype == np.float64


def test_frame_of_array_infers_a_type_per_column():
    frame = frame_of_array(np.array([[1.5, "red", True], [2, "blue", False]], dtype=object))
    assert list(frame.columns) == ["0", "1", "2"]
    assert [dtype.kind for dtype in frame.dtypes[["0", "2"]]] == ["f", "b"]
