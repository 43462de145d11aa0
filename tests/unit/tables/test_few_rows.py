"""Few rows are encoded cell by cell: to the same features and notes as by the way that many rows take."""

import datetime as dt

import numpy as np
import pytest

from fastmlp.tables import columns_to_features
from fastmlp.tables.column_encoders import NumericEncoding
from fastmlp.tables.columns_to_features import encode_columns, fit_columns

pd = pytest.importorskip("pandas")

CELLS = {
    "number": [0.5, -3, True, np.float32(0.1), np.nan, None, "2.5", "?", 1e300],
    "few": [1, 2.0, "3", np.int8(4), 9, None, "none"],
    "colour": ["red", " red ", "violet", "", None, np.nan, 1, 2.5],
    "flag": [True, False, 1, 0.0, "true", "False", "yes", None],
    "level": [1, 2, 1.0, "2", "1.0", 3, np.float32(2.0), np.nan],
    "day": [dt.datetime(2026, 3, 4), "2026-03-05", "soon", None],
}


@pytest.fixture(scope="module")
def table():
    rng, n = np.random.default_rng(0), 120
    return pd.DataFrame(
        {
            "number": rng.normal(size=n),
            "few": rng.integers(0, 5, n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "flag": rng.integers(0, 2, n).astype(bool),
            "level": pd.Categorical(rng.choice([1.0, 2.0], n)),
            "day": [dt.datetime(2026, 1, 1) + dt.timedelta(days=int(k)) for k in rng.integers(0, 300, n)],
        }
    )


@pytest.fixture(scope="module", params=["quantile", "piecewise_linear"])
def columns(request, table):
    targets = np.sign(table["number"].to_numpy())[:, np.newaxis]
    return fit_columns(table, encoding=NumericEncoding(request.param, 16, targets)).columns


def encoded(columns, table):
    """Return (features, notes), or the error as text."""
    notes = []
    try:
        return encode_columns(columns, table, "float64", notes).tolist(), [note.text for note in notes]
    except ValueError as error:
        return str(error)


@pytest.mark.quick
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", [None, object])
def test_each_kind_of_cell(columns, table, name, dtype, monkeypatch):
    rows = [table.iloc[[0]], table.iloc[3:9]]
    for cell in CELLS[name]:
        for before in (table.iloc[[1]], table.iloc[4:6]):
            cells = [cell, *before[name].tolist()[1:]]
            rows.append(before.assign(**{name: pd.Series(cells, index=before.index, dtype=dtype)}))
    found = [encoded(columns, row) for row in rows]
    assert len({str(row) for row in found}) > 4
    monkeypatch.setattr(columns_to_features, "FEW_ROWS", 0)
    assert found == [encoded(columns, row) for row in rows]


def test_usual_rows_take_the_short_way(columns, table, monkeypatch):
    known = [column for column in columns if column.name in ("number", "few", "colour", "flag")]
    for kind in {type(column) for column in known}:
        monkeypatch.setattr(kind, "encode", None)
    assert encode_columns(known, table.iloc[[7]]).shape[0] == 1
    assert encode_columns(known, table.iloc[7:9].astype(object)).shape[0] == 2
