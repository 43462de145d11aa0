"""Cells that are no numbers or no dates, in a table for prediction that is read in pieces: counted over all rows."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from fastmlp.tables.cells_of_pieces import CellsOfPieces  # noqa: E402
from fastmlp.tables.columns_to_features import encode_columns, fit_columns  # noqa: E402

DATES = pd.date_range("2020-01-01", periods=200).astype(str)
TABLE = pd.DataFrame({"x": np.linspace(0.0, 1.0, 200), "day": DATES})


def encoded(columns, table, rows):
    """Return the features of a table that is encoded so many rows at a time."""
    cells = CellsOfPieces()
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


def test_a_table_after_pieces_is_one_in_memory():
    columns, bad = fit_columns(TABLE).columns, TABLE.assign(x="unknown")
    cells = CellsOfPieces()
    cells.counting(encode_columns, columns, bad)
    with pytest.raises(ValueError, match="all 200 cells"):
        encode_columns(columns, bad)
    with pytest.raises(ValueError, match="all 200 cells"):
        cells.check()
