"""Columns as numbers: the kind of a column by its cells, and conversion to float64."""

import numpy as np
import pytest

from fastmlp.tables.columns_as_numbers import column_kind, numbers_of

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (pd.Series([1, 2]), "number"),
        (pd.Series([1, None], dtype="Int64"), "number"),
        (pd.Series([None, None], dtype=object), "number"),
        (pd.Series([1.5, 2], dtype=object), "number"),
        (pd.Series(["a", None]), "category"),
        (pd.Series([True, False]), "category"),
        (pd.Series([True, None], dtype=object), "category"),
        (pd.Series([True, None], dtype="boolean"), "category"),
        (pd.Series([1, 2], dtype="category"), "category"),
        (pd.Series([1 + 2j]), "complex"),
        (pd.Series([b"a"]), "bytes"),
        (pd.Series([[1], [2]]), "mixed"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "datetime64"),
        (pd.Series(["1.5", "2"]), "category"),
        (pd.Series([1, "1", 2.5], dtype=object), "number"),
        (pd.Series(["1.5"] * 19 + ["?!"]), "number"),
        (pd.Series(["1.5"] * 19 + ["?!"] * 2), "category"),
        (pd.Series([True, 0, "1", "true"] * 20, dtype=object), "category"),
        (pd.Series([1, True, [1]], dtype=object), "mixed-integer"),
    ],
    ids=str,
)
def test_column_kinds_are_recognised_from_cells(cells, kind):
    assert column_kind(cells) == kind


def test_numbers_of_mixed_cells_become_float64():
    values = numbers_of(pd.Series(["1", None, 2.5], dtype=object))
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [1.0, np.nan, 2.5])
