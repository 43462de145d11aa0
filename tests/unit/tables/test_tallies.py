"""Tallies of cells: those of pieces are those of the whole, stay bounded, and decide what is refused at the end."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from fastmlp.tables.cells import Categories, Misfits, MisfitsOfPieces, examples, read_numbers  # noqa: E402  # noqa: E402
from fastmlp.tables.features import encode_columns, fit_columns  # noqa: E402

DATES = pd.date_range("2020-01-01", periods=200).astype(str)
TABLE = pd.DataFrame({"x": np.linspace(0.0, 1.0, 200), "day": DATES})


def misfits_of(series):
    return Misfits.of(series, read_numbers(series))


@pytest.mark.parametrize("tally, of", [(Categories, Categories.of), (Misfits, misfits_of)])
def test_tallies_of_pieces_are_those_of_the_whole_and_stay_bounded(tally, of, monkeypatch):
    cells = pd.Series([1.0, "b", None, "a", "b", "na", 2.0, "c", "b", "a", 3.0, "d"], dtype=object)
    whole, parts = of(cells), tally()
    for part in np.array_split(np.arange(len(cells)), 5):
        parts.add(of(cells.iloc[part]))
    assert parts == whole
    monkeypatch.setattr(tally, "most", 10)
    found = tally()
    for k in range(20):
        found.add(of(pd.Series(["often"] * 3 + [f"rare {k} {i}" for i in range(4)] + [None])))
    assert (found.counts["often"], found.n_present, found.has_forgotten) == (60, 140, True)
    assert len(found.counts) <= 10


def test_misfits_in_words():
    cells = pd.Series([1.0, "b", None, "a", "b", "na", 2.0, "c", "b", "a", 3.0, "d"], dtype=object)
    found = misfits_of(cells)
    assert (found.n_bad, found.n_present, found.n_rows, found.is_half) == (7, 10, 12, False)
    assert found.examples == examples(cells, read_numbers(cells).bad) == "'b', 'a', 'c' and 1 other"
    assert found.as_missing("dates") == f"holds no dates in 7 of 12 cells ({found.examples}), which count as missing"


@pytest.mark.parametrize("n_bad, is_tolerable", [(0, True), (5, True), (6, False)])
def test_five_percent_are_tolerable(n_bad, is_tolerable):
    cells = misfits_of(pd.Series(["x"] * n_bad + [1.0] * (100 - n_bad), dtype=object))
    assert (cells.is_tolerable, cells.is_half) == (is_tolerable, True)


def encoded(columns, table, rows):
    """Return the features of a table that is encoded so many rows at a time."""
    cells = MisfitsOfPieces()
    pieces = [cells.counting(encode_columns, columns, table[i : i + rows]) for i in range(0, len(table), rows)]
    cells.check()
    return np.concatenate(pieces)


@pytest.mark.parametrize("rows", [7, 40, 200])
@pytest.mark.parametrize("name", ["x", "day"])
def test_a_piece_without_a_number_is_encoded_as_in_memory(name, rows):
    columns = fit_columns(TABLE).columns
    few, many = TABLE.astype(object), TABLE.astype(object)
    few.loc[40:79, name] = "unknown"
    many.loc[40:139, name] = "unknown"
    np.testing.assert_array_equal(encoded(columns, few, rows), encode_columns(columns, few))
    with pytest.raises(ValueError) as in_memory:
        encode_columns(columns, many)
    with pytest.raises(ValueError) as in_pieces:
        encoded(columns, many, rows)
    assert str(in_pieces.value) == str(in_memory.value)
    assert "holds 'unknown' in 100 of 200 cells" in str(in_pieces.value)
