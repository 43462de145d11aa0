"""Cells of categories as lists that C code and graphs look up: they agree with what the column finds itself."""

import numpy as np
import pytest

from fastmlp.tables.category_column import CategoryColumn

pd = pytest.importorskip("pandas")


def encoded(column, cells):
    """Return the index of the feature that is 1 for each cell, or -1."""
    out = np.empty((len(cells), len(column.feature_names)))
    column.encode(pd.Series(cells, dtype=object), out)
    return np.where(out.any(axis=1), out.argmax(axis=1), -1).tolist()


@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize(
    "categories",
    [
        ("blue", " red", "green"),
        ("True", "False"),
        ("0", "1"),
        ("007", "7.5", "1e3"),
        ("a", "NA", "?"),
        ("True", "1", "maybe"),
    ],
)
def test_texts_agree_with_the_encoder(categories, has_missing):
    column = CategoryColumn("c", categories, has_missing, True)
    texts = column.texts()
    tried = [*categories, *map(str.strip, categories), "TRUE", "falSe", "0", "1", "1.0", "7", "7.0", "1000", "1000.0"]
    tried += ["", "?", "nan", "NaN", "None", "<NA>", "n/a", "N/A", "null", "violet", "Red", "2"]
    assert [texts.get(text, -1) for text in tried] == encoded(column, tried)


@pytest.mark.parametrize(
    "categories",
    [
        ("0", "1"),
        ("True", "False"),
        ("-3", "0", "12"),
        ("0.1", "0.25", "0.3333333333333333"),
        ("1.0000001", "1.0000002"),
        ("0.12345678", "0.12345679"),
        ("123456789", "123456790"),
        ("1e+30", "1e-30"),
    ],
)
def test_intervals_agree_with_the_encoder(categories, rng):
    column = CategoryColumn("c", categories, False, False)
    assert not column.takes_text
    low, high = column.intervals()
    middle = np.array([float({"True": 1, "False": 0}.get(name, name)) for name in categories])
    assert ((low <= middle) & (middle <= high)).all()
    ends = np.concatenate([low, high])
    tried = [*ends, *np.nextafter(ends, np.inf), *np.nextafter(ends, -np.inf), *middle, 5.0, 0.5, -1.0]
    tried += (middle[:, None] * (1 + 1e-7 * rng.normal(size=50))).ravel().tolist()
    tried = [float(x) for x in tried]
    found = [next((k for k in range(len(low)) if low[k] <= x <= high[k]), -1) for x in tried]
    assert found == encoded(column, tried)


def test_which_columns_are_given_as_numbers():
    kinds = {
        ("0", "1"): True,
        ("True", "False"): True,
        ("0.5", "2"): True,
        ("True", "2"): False,
        ("a", "1"): False,
        (" 1", "2"): False,
    }
    assert {names: not CategoryColumn("c", names, True, False).takes_text for names in kinds} == kinds
    assert CategoryColumn("c", ("0", "1"), True, True).takes_text, "text that looks like numbers is text"
