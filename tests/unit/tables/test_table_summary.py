"""Summaries of tables in pieces: counts over all rows equal those of the whole, and samples are uniform."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="columns are those of pandas")

from fastmlp.tables import cell_counts  # noqa: E402  # needs pandas
from fastmlp.tables.cell_counts import CellCounts  # noqa: E402
from fastmlp.tables.column_encoders import NumericEncoding, fit_column  # noqa: E402
from fastmlp.tables.column_summary import ColumnSummary  # noqa: E402
from fastmlp.tables.moments import Moments  # noqa: E402
from fastmlp.tables.row_sample import RowKeys, RowSample  # noqa: E402
from fastmlp.tables.table_summary import TableSummary  # noqa: E402


def summary_of(*pieces):
    summary = ColumnSummary()
    for piece in pieces:
        summary.add(pd.Series(piece, name="x"))
    return summary


def fitted(summary, sample):
    return summary.fit(pd.Series(sample, name="x"), NumericEncoding())


@pytest.mark.quick
def test_moments_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1000, 2)) * [1.0, 5.0] + [1e6, -3.0]
    moments = Moments()
    for part in np.split(values, [0, 1, 400, 700]):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0))
    np.testing.assert_allclose(moments.std, values.std(axis=0), rtol=1e-9)
    np.testing.assert_array_equal([moments.low, moments.high], [values.min(axis=0), values.max(axis=0)])
    assert moments.n == 1000


def test_counts_of_pieces_add_up_and_stay_bounded(monkeypatch):
    monkeypatch.setattr(cell_counts, "MOST_COUNTED", 10)
    cells = CellCounts()
    for k in range(20):
        cells.add(CellCounts.of(pd.Series(["often"] * 3 + [f"rare {k} {i}" for i in range(4)] + [None])))
    assert cells.counts["often"] == 60
    assert len(cells.counts) <= 10
    assert (cells.n_present, cells.n_missing) == (140, 20)


@pytest.mark.quick
def test_a_sample_is_uniform_and_does_not_depend_on_the_pieces():
    n, n_most = 5000, 500
    whole, parts = RowSample(n_most), RowSample(n_most)
    rows = np.arange(n)
    whole.add((rows,), RowKeys(1).of_next(n))
    keys = RowKeys(1)
    for piece in np.split(rows, [10, 11, 2000, 4500]):
        parts.add((pd.Series(piece),), keys.of_next(len(piece)))
    (found,) = whole.rows()
    np.testing.assert_array_equal(found, parts.rows()[0])
    assert len(found) == n_most
    assert (np.diff(found) > 0).all()
    counts, _ = np.histogram(found, bins=10, range=(0, n))
    assert counts.min() > 25  # of 50, with a standard deviation of 6.4
    below = whole.rows(0.05)[0]
    np.testing.assert_array_equal(below, np.flatnonzero(RowKeys(1).of_next(n) < 0.05))


def test_categories_and_missing_cells_are_those_of_all_rows():
    column, note = fitted(summary_of(["a", "b"] * 5, ["c", None]), ["a", "b"] * 4)
    assert column.categories == ("a", "b", "c")
    assert column.has_missing
    assert note == ""
    column, _ = fitted(summary_of(np.arange(50.0), [np.nan, 1.0]), np.arange(40.0))
    assert column.marks_missing
    column, _ = fitted(
        summary_of(pd.to_datetime(["2020-01-01", "2020-01-02"]), [None]), pd.to_datetime(["2020-01-01", "2020-01-02"])
    )
    assert column.marks_missing


def test_a_column_whose_sample_has_one_number_is_used():
    column, note = fitted(summary_of([0.0] * 99, [1.0]), [0.0] * 10)
    assert (column.mean, note) == (pytest.approx(0.01), "")
    assert fitted(summary_of([0.0] * 99), [0.0] * 10) == fit_column(pd.Series([0.0] * 10, name="x"))


def test_a_column_without_a_cell_in_the_sample_is_left_out_with_a_reason():
    column, note = fitted(summary_of([None] * 99, [1.0, 2.0]), [np.nan] * 10)
    assert column is None
    assert note == "Column 'x' is left out: nearly all of its cells are missing."


def test_pieces_without_a_cell_have_no_type():
    column, _ = fitted(summary_of(["a", "b", "a"], [None, None], [np.nan, np.nan]), ["a", "b", None])
    assert column.categories == ("a", "b")
    with pytest.raises(ValueError, match="holds numbers in some rows, and cells of another type"):
        summary_of(["a"], [1.0])


@pytest.mark.parametrize("number", [np.inf, -1e40])
def test_numbers_beyond_the_range_are_refused(number):
    with pytest.raises(ValueError, match="should hold finite numbers"):
        summary_of([1.0, 2.0], [number])


def test_a_table_within_the_sample_has_the_encoders_of_the_whole():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=900), "b": rng.choice(["x", "y"], 900), "c": rng.integers(0, 3, 900)})
    summary = TableSummary(0, 10**9)
    for first in range(0, 900, 200):
        summary.add(table[first : first + 200], table.a[first : first + 200])
    sample, targets = summary.sample()
    pd.testing.assert_frame_equal(sample, table)
    np.testing.assert_array_equal(targets, table.a)
    columns, notes, _ = summary.fit_columns(sample, NumericEncoding())
    assert columns == tuple(fit_column(table[name])[0] for name in table)
    assert notes == ()
    assert summary.n_rows == 900
    assert summary.n_bytes == pytest.approx(table.memory_usage(index=False, deep=True).sum(), rel=0.01)
