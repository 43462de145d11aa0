"""Tallies of cells: those of pieces are those of the whole, stay bounded, and decide what is refused at the end."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from fastmlp.tables.cells import ANY, Tally, examples, misfits_of, read_numbers, tally_of  # noqa: E402
from fastmlp.tables.features import encode_columns, fit_columns  # noqa: E402

DATES = pd.date_range("2020-01-01", periods=200).astype(str)
TABLE = pd.DataFrame({"x": np.linspace(0.0, 1.0, 200), "day": DATES})


def misfits(series):
    return misfits_of(series, read_numbers(series))


@pytest.mark.parametrize("of", [tally_of, misfits])
def test_tallies_of_pieces_are_those_of_the_whole_and_stay_bounded(of):
    cells = pd.Series([1.0, "b", None, "a", "b", "na", 2.0, "c", "b", "a", 3.0, "d"], dtype=object)
    whole = of(cells)
    parts = Tally(most=whole.most)
    for part in np.array_split(np.arange(len(cells)), 5):
        parts.add(of(cells.iloc[part]))
    assert parts == whole
    found = Tally(most=10)
    for k in range(20):
        found.add(of(pd.Series(["often"] * 3 + [f"rare {k} {i}" for i in range(4)] + [None])))
    assert (found.counts["often"], found.n_present, found.has_forgotten) == (60, 140, True)
    assert len(found.counts) <= 10


def test_misfits_in_words():
    cells = pd.Series([1.0, "b", None, "a", "b", "na", 2.0, "c", "b", "a", 3.0, "d"], dtype=object)
    found = misfits(cells)
    assert (found.n_bad, found.n_present, found.is_half) == (7, 10, False)
    assert found.examples == examples(cells, read_numbers(cells).bad) == "'b', 'a', 'c' and 1 other"
    assert (
        found.as_missing("dates", 12) == f"holds no dates in 7 of 12 cells ({found.examples}), which count as missing"
    )


@pytest.mark.parametrize("n_bad, is_tolerable", [(0, True), (5, True), (6, False)])
def test_five_percent_are_tolerable(n_bad, is_tolerable):
    cells = misfits(pd.Series(["x"] * n_bad + [1.0] * (100 - n_bad), dtype=object))
    assert (cells.is_tolerable, cells.is_half) == (is_tolerable, True)


@pytest.mark.parametrize("name", ["x", "day"])
def test_half_of_the_cells_may_be_refused_or_count_as_missing(name):
    columns = fit_columns(TABLE).columns
    table = TABLE.astype(object)
    table.loc[40:139, name] = "unknown"
    with pytest.raises(ValueError, match="holds 'unknown' in 100 of 200 cells"):
        encode_columns(columns, table)
    for part in table[40:140], table[40:60]:
        expected = encode_columns(columns, part.assign(**{name: None}))
        np.testing.assert_array_equal(encode_columns(columns, part, most_bad=ANY), expected)
