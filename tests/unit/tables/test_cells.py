"""Cells of tables: a value has one meaning in every type that can hold it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from fastmlp.tables.cells import ANY, Spellings, categories_of, contents, read_numbers, spelled_alike
from fastmlp.tables.features import encode_columns, fit_columns

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize(
    ("categories", "spellings"),
    [
        (("False", "True"), {"true": 1, "FALSE": 0, "1": 1, "0": 0, "1.0": 1, " True ": 1, "2": -1, "0.5": -1}),
        (("0", "1"), {"True": 1, "false": 0, "1.0": 1, "+1": 1, "1e0": 1, "01": 1, "2": -1}),
        (("1", "2"), {"2.0": 1, "True": -1}),
        (("no", "yes"), {"yes": 1, "Yes": -1, "1": -1}),
        (("007", "7"), {"007": 0, "7": 1, "7.0": -1}),
        (("0.1", "0.2"), {"0.10000000149011612": 0, "0.20": 1, "1e999": -1}),
        (("12345678901234567890", "12345678901234567891"), {"12345678901234567891": 1, "+12345678901234567890": 0}),
    ],
    ids=str,
)
def test_other_spellings_of_a_category_are_recognised(categories, spellings):
    find = Spellings(categories).find
    assert {name: find(name) for name in spellings} == spellings


def test_true_and_one_differ_in_mixed_columns():
    cells = [True, 1, "1", None, 1.0, "a", np.int8(1), Decimal("1.0"), Decimal("2.50"), np.float32(0.1), 10**400]
    codes, names = categories_of(pd.Series(cells, dtype=object))
    expected = ["True", "1", "1", None, "1", "a", "1", "1", "2.5", "0.1", "1" + 400 * "0"]
    assert [names[code] if code >= 0 else None for code in codes] == expected
    codes, names = categories_of(pd.Series(pd.Categorical([1, 2.5, None, 1])))
    assert [names[code] if code >= 0 else None for code in codes] == ["1", "2.5", None, "1"]


def test_spellings_of_booleans_are_unified():
    assert spelled_alike(["TRUE", "false", "1", "0.0"]) == ["True", "False", "True", "False"]
    for names in (["1", "0"], ["true", "perhaps"], ["true", "2"]):
        assert spelled_alike(names) == names


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_texts_are_parsed_as_numbers(dtype):
    cells = pd.Series([" 1.5", "-2", ".5", "1e3", "nan", "", None, "N/A", "x", "1,5", "1_0", "inf"]).astype(dtype)
    reading = read_numbers(cells)
    np.testing.assert_array_equal(reading.values, [1.5, -2, 0.5, 1000] + 8 * [np.nan])
    assert np.flatnonzero(reading.bad).tolist() == [8, 9, 10, 11]
    assert (reading.n_bad, reading.n_present) == (4, 8)
    assert reading.is_half
    assert not reading.is_tolerable


def test_other_cell_types_are_parsed_as_numbers():
    cells = pd.Series([True, Decimal("2.5"), np.int8(3), "true", None, [1], pd.NA, 10**400, -(10**400)], dtype=object)
    reading = read_numbers(cells, reads_booleans=True)
    np.testing.assert_array_equal(reading.values, [1, 2.5, 3, 1, np.nan, np.nan, np.nan, np.inf, -np.inf])
    assert np.flatnonzero(reading.bad).tolist() == [5]
    assert read_numbers(pd.Series(["true", "1"])).bad.tolist() == [True, False]
    for nothing in ([b"1"], [1 + 2j], pd.date_range("2020-01-01", periods=1)):
        assert read_numbers(pd.Series(nothing)).bad.all()
    assert not read_numbers(pd.Series([None, None], dtype=object)).is_tolerable


def test_arrow_types_are_read():
    pa = pytest.importorskip("pyarrow")
    texts = pd.Series(["1", "2", None], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    assert contents(texts) == "string"
    assert categories_of(texts)[1] == ["1", "2"]
    np.testing.assert_array_equal(read_numbers(texts).values, [1, 2, np.nan])
    truths = pd.Series([True, None], dtype=pd.ArrowDtype(pa.bool_()))
    assert contents(truths) == "boolean"
    np.testing.assert_array_equal(read_numbers(truths).values, [1, np.nan])


# ---- how many cells of other types decide what is refused

DATES = pd.date_range("2020-01-01", periods=200).astype(str)
TABLE = pd.DataFrame({"x": np.linspace(0.0, 1.0, 200), "day": DATES})


@pytest.mark.parametrize("n_bad, is_tolerable", [(0, True), (5, True), (6, False)])
def test_five_percent_are_tolerable(n_bad, is_tolerable):
    cells = read_numbers(pd.Series(["x"] * n_bad + [1.0] * (100 - n_bad), dtype=object))
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
