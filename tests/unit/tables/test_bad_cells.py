"""Cells of a column that are not what its other cells are: counts of pieces are those of the whole."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas", reason="columns are those of pandas")

from fastmlp.tables import bad_cells  # noqa: E402  # needs pandas
from fastmlp.tables.bad_cells import BadCells  # noqa: E402
from fastmlp.tables.cells import examples, read_numbers  # noqa: E402


def bad_cells_of(series):
    reading = read_numbers(series)
    return BadCells.of(series, reading.bad, reading.n_present)


def test_counts_of_pieces_are_those_of_the_whole():
    cells = pd.Series([1.0, "b", None, "a", "b", "na", 2.0, "c", "b", "a", 3.0, "d"], dtype=object)
    whole, parts = bad_cells_of(cells), BadCells()
    for part in np.array_split(np.arange(len(cells)), 5):
        parts.add(bad_cells_of(cells.iloc[part]))
    assert parts == whole
    assert (whole.n_bad, whole.n_present, whole.n_rows) == (7, 10, 12)
    assert whole.examples == examples(cells, read_numbers(cells).bad) == "'b', 'a', 'c' and 1 other"
    assert whole.as_missing("dates") == f"holds no dates in 7 of 12 cells ({whole.examples}), which count as missing"
    assert not whole.is_half


@pytest.mark.parametrize("n_bad, is_tolerable", [(0, True), (5, True), (6, False)])
def test_five_percent_are_tolerable(n_bad, is_tolerable):
    cells = bad_cells_of(pd.Series(["x"] * n_bad + [1.0] * (100 - n_bad), dtype=object))
    assert cells.is_tolerable == is_tolerable
    assert cells.is_half


def test_texts_stay_bounded(monkeypatch):
    monkeypatch.setattr(bad_cells, "MOST_TEXTS", 8)
    cells = BadCells()
    for k in range(20):
        cells.add(bad_cells_of(pd.Series(["often", "often", f"text {k}", f"more {k}"])))
    assert len(cells.counts) <= 8
    assert (cells.n_bad, cells.counts["often"]) == (80, 40)
    assert cells.examples.startswith("'often', ")
    assert cells.examples.endswith(" and others")
