"""Few rows are encoded cell by cell: to the same features and notes as by the way that many rows take."""

import datetime as dt

import numpy as np
import pytest

from fastmlp.tables import features
from fastmlp.tables.bins import Gain
from fastmlp.tables.features import encode_columns, fit_columns
from fastmlp.tables.number_columns import NumericEncoding

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


def with_bins(table, targets):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gain, "is_worth_it", True)
        return fit_columns(table, NumericEncoding(targets=targets[:, np.newaxis])).columns


@pytest.fixture(scope="module", params=["quantile", "bins"])
def columns(request, table):
    if request.param == "quantile":
        return fit_columns(table, NumericEncoding("quantile")).columns
    columns = with_bins(table, np.sign(table["number"].to_numpy()))
    assert columns[0].kind == "piecewise_linear"
    return columns


def encoded(columns, table):
    """Return (features, notes), or the error as text."""
    notes = []
    try:
        return encode_columns(columns, table, "float64", notes).tolist(), [note.text for note in notes]
    except ValueError as error:
        return str(error)


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
    monkeypatch.setattr(features, "FEW_ROWS", 0)
    assert found == [encoded(columns, row) for row in rows]


def test_usual_rows_take_the_short_way(columns, table, monkeypatch):
    known = [column for column in columns if column.name in ("number", "few", "colour", "flag")]
    for kind in {type(column) for column in known}:
        monkeypatch.setattr(kind, "encode", None)
    assert encode_columns(known, table.iloc[[7]]).shape[0] == 1
    assert encode_columns(known, table.iloc[7:9].astype(object)).shape[0] == 2


def test_tables_with_other_names_are_told_apart(columns, table):
    """The names of the last table are kept: another order, further columns and absent ones must be noticed."""
    expected = encode_columns(columns, table.iloc[:40])[:3].tolist()
    rows = table.iloc[:3]
    for _ in range(2):
        assert encode_columns(columns, rows).tolist() == expected
        assert encode_columns(columns, rows[rows.columns[::-1]]).tolist() == expected
        assert encode_columns(columns, rows.assign(other="text")).tolist() == expected
        with pytest.raises(ValueError, match="lacks columns that the model was trained on: 'colour'"):
            encode_columns(columns, rows.drop(columns="colour"))
        with pytest.raises(ValueError, match="day"):
            encode_columns(columns, pd.concat([rows, rows[["day"]]], axis=1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_have_the_bits_of_many(dtype):
    """Features of bins, too, of which many rows need no arithmetic but for one a row."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"a": rng.normal(size=3000), "b": rng.integers(0, 60, 3000), "c": rng.exponential(size=3000)})
    columns = with_bins(table, np.sign(np.sin(5 * table["a"].to_numpy())))
    a = columns[0]
    assert a.n_bins > 2
    knots = np.interp(a.edges, a.knots[1], a.knots[0])  # numbers at the edges of bins, and beyond them
    table.loc[: len(knots) - 1, "a"] = knots
    table.loc[100:101, "c"] = [-1e9, 1e9]
    many = encode_columns(columns, table, dtype)
    few = [encode_columns(columns, table.iloc[k : k + 2], dtype) for k in range(0, 200, 2)]
    np.testing.assert_array_equal(np.concatenate(few), many[:200])
    scores = a.scores(table["a"].to_numpy())[:, np.newaxis]
    by_formula = np.clip((scores - a.edges[:-1]) / np.diff(a.edges), 0.0, 1.0).astype(dtype)
    np.testing.assert_array_equal(many[:, 1 : 1 + a.n_bins], by_formula)


def test_number_far_from_training_is_refused_in_few_rows():
    columns = fit_columns(pd.DataFrame({"x": [1e-12, 2e-12, 3e-12] * 20, "y": np.arange(60.0)})).columns
    with pytest.raises(ValueError, match="Column 'x' holds 1e\\+29, which is too far from the numbers"):
        encode_columns(columns, pd.DataFrame({"x": [1e29], "y": [0.0]}))
