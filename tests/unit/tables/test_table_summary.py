"""Summaries of tables in pieces: counts over all rows equal those of the whole, and samples are uniform."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="columns are those of pandas")

from fastmlp.tables import training_column  # noqa: E402
from fastmlp.tables.date_column import DateColumn  # noqa: E402
from fastmlp.tables.features import fit_column, with_numbers  # noqa: E402
from fastmlp.tables.number_columns import NumberColumn, NumericEncoding  # noqa: E402
from fastmlp.tables.table_summary import Moments, RowSample, TableSummary  # noqa: E402
from fastmlp.tables.training_column import TrainingColumn  # noqa: E402


def summary_of(*pieces):
    summary = TrainingColumn("x")
    for piece in pieces:
        summary.add(pd.Series(piece, name="x"))
    return summary


def fitted(summary, sample):
    return fit_column(pd.Series(sample, name="x"), NumericEncoding(), summary)


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


def test_a_sample_is_uniform_and_does_not_depend_on_the_pieces():
    n, n_most = 5000, 500
    whole, parts = RowSample(n_most), RowSample(n_most)
    rows = np.arange(n)
    whole.add((rows,), np.random.default_rng(1).random(n))
    keys = np.random.default_rng(1)
    for piece in np.split(rows, [10, 11, 2000, 4500]):
        parts.add((pd.Series(piece),), keys.random(len(piece)))
    (found,) = whole.rows()
    np.testing.assert_array_equal(found, parts.rows()[0])
    assert len(found) == n_most
    assert (np.diff(found) > 0).all()
    counts, _ = np.histogram(found, bins=10, range=(0, n))
    assert counts.min() > 25  # of 50, with a standard deviation of 6.4
    below = whole.rows(0.05)[0]
    np.testing.assert_array_equal(below, np.flatnonzero(np.random.default_rng(1).random(n) < 0.05))


def test_categories_and_missing_cells_are_those_of_all_rows():
    column, note = fitted(summary_of(["a", "b"] * 5, ["c", None]), ["a", "b"] * 4)
    assert column.categories == ("a", "b", "c")
    assert column.has_missing
    assert note == ""
    column, _ = fitted(summary_of(pd.Categorical([1, 2]), pd.Categorical([3, 2])), [1, 2, 3, 2])
    assert column.categories == ("1", "2", "3")
    column, _ = fitted(summary_of(np.arange(50.0), [np.nan, 1.0]), np.arange(40.0))
    assert column.marks_missing
    column, _ = fitted(
        summary_of(pd.to_datetime(["2020-01-01", "2020-01-02"]), [None]), pd.to_datetime(["2020-01-01", "2020-01-02"])
    )
    assert column.marks_missing


def test_a_column_without_a_cell_in_the_sample_is_left_out_with_a_reason():
    column, note = fitted(summary_of([None] * 99, [1.0, 2.0]), [np.nan] * 10)
    assert column is None
    assert note == "Column 'x' is left out: nearly all of its cells are missing."


def test_pieces_without_a_cell_have_no_type():
    column, _ = fitted(summary_of(["a", "b", "a"], [None, None], [np.nan, np.nan]), ["a", "b", None])
    assert column.categories == ("a", "b")
    with pytest.raises(ValueError, match="holds numbers in some rows, and cells of another type"):
        summary_of([1.0], pd.to_datetime(["2020-01-01"]))


# ---- cells that are no numbers or no dates


@pytest.mark.parametrize("first_is_text", [False, True])
@pytest.mark.parametrize("all_text", [False, True])
def test_text_among_numbers_is_counted_over_all_pieces(all_text, first_is_text):
    numbers, text = np.arange(100.0), pd.Series([*map(float, range(90)), "unknown", "unknown", "?!", "na", None])
    pieces = [numbers.astype(str) if all_text else numbers, text.astype(str) if all_text else text]
    whole = pd.concat([pd.Series(pieces[0]), pieces[1]], ignore_index=True).rename("x")
    _, (expected,) = with_numbers(whole.to_frame())
    column, note = fitted(summary_of(*(pieces[::-1] if first_is_text else pieces)), numbers[:40])
    assert isinstance(column, NumberColumn)
    assert column.marks_missing
    assert note == expected
    assert note == f"Column 'x' holds no numbers in 3 of {len(whole)} cells ('unknown', '?!'), which count as missing."


@pytest.mark.parametrize("n_distinct", [3, 1000])
def test_text_in_many_cells_makes_the_column_that_it_makes_in_memory(n_distinct):
    """Also where the cells of some pieces are numbers by their type."""
    numbers, texts = np.arange(900.0) % n_distinct, ["no"] * 100
    whole = pd.Series([*numbers, *texts], name="x", dtype=object)
    column, note = fitted(summary_of(numbers, texts), whole)
    assert (column, note) == fit_column(whole)
    assert (column is None) == (n_distinct == 1000)
    assert "no numbers in 100 of 1000 cells" in note
    sampled, _ = fitted(summary_of(numbers, texts), numbers[:300])
    assert (sampled is None) == (column is None)


@pytest.mark.slow
def test_notes_count_texts_that_were_forgotten(monkeypatch):
    monkeypatch.setattr(training_column, "MOST_CATEGORIES", 600)
    monkeypatch.setattr(training_column, "MOST_MISFITS", 10)
    note_on = lambda cells: fitted(summary_of(*np.split(np.array(cells, object), 18)), cells[:50])[1]
    reason = "Column 'x' is left out: it has more than 600 different texts, but at most 255 are encoded"
    assert note_on([f"text {k}" for k in range(1800)]) == f"{reason}, and none is in 16 rows."
    note = note_on([str(k) if k % 3 else f"text {k}" for k in range(1800)])
    assert note.startswith(f"{reason}; it holds no numbers in 600 of 1800 cells (")
    assert note.endswith(
        " and others), and a column of numbers may in 5 %; if numbers are meant, correct or empty those cells."
    )
    note = note_on([f"text {k}" if k % 2 else "often" for k in range(1800)])
    said = "Column 'x' has more than 600 categories, and the 1 most frequent (in 16 rows or more) are encoded"
    assert note == f"{said}; others are zeros."


def test_text_that_is_no_date_is_counted_over_all_pieces():
    dates = [f"{date:%Y-%m-%d}" for date in pd.date_range("2020-01-01", periods=400)]
    column, note = fitted(summary_of(dates[:200], dates[200:], ["later"] * 3), dates[:50])
    assert isinstance(column, DateColumn)
    assert column.marks_missing
    assert "it holds no dates in 3 of 403 cells ('later'), which count as missing" in note


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
