"""Notes on how columns are encoded: each column is named with its treatment, whatever its cells are."""

import numpy as np
import pandas as pd

from fastmlp.tables.columns_to_features import fit_columns
from fastmlp.tables.encoder_choice import KINDS, NUMERIC_ENCODINGS, NumericEncoding
from fastmlp.tables.encoding_notes import encoding_notes


def test_the_treatment_of_every_kind_of_column_is_told(rng):
    n = 400
    table = pd.DataFrame(
        {
            "few distinct": rng.integers(0, 5, n),
            "heavy tail": rng.lognormal(0, 3, n),
            "true or false": rng.random(n) < 0.5,
            "town": rng.choice(["Bonn", "Kiel", "Ulm"], n),
            "sold": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 30_000, n), "h"),
            "advert": [" ".join(rng.choice(["old", "new", "red", "house", "flat", "view"], 7)) for _ in range(n)],
        }
    )
    table.loc[::5, "heavy tail"] = np.nan
    table.loc[::9, "town"] = None
    features, text = fit_columns(table).choices
    assert features == (
        "Features of the columns: standard score ('few distinct'), normal score ('heavy tail'), "
        "one-hot categories ('true or false', 'town'), "
        "score of the time, sine and cosine of its cycles ('sold'), n-grams and number of words ('advert'), "
        "indicator of missing cells ('heavy tail', 'town')."
    )
    assert "'advert' (" in text


def test_every_encoding_of_numbers_is_told(rng):
    values, targets = rng.normal(size=300), np.repeat([[0.0], [1.0]], 150, axis=0)
    told = set()
    for kind in NUMERIC_ENCODINGS:
        column = NumericEncoding(kind, targets=targets).fit("size", values)
        assert f"{column.encoding} ('size')" in encoding_notes([column])[0]
        told.add(column.encoding)
    assert told == {"standard score", "normal score", "normal score and bins"}
    assert all(row.encoding for row in KINDS.values())


def test_ordered_categories_whose_order_is_not_used_are_told_of():
    sizes = pd.Categorical(["small", "medium", "large"] * 20, ["small", "medium", "large"], ordered=True)
    table = pd.DataFrame({"size": sizes, "kind": sizes.as_unordered()})
    table["pair"] = pd.cut(np.arange(60.0), 2)
    found = fit_columns(table)
    assert not found.notes
    told = [note for note in found.choices if "order" in note]
    assert told == ["Column 'size' is used as categories: their order is not used; to use it, give it as numbers."]


def test_without_columns_there_is_nothing_to_tell():
    assert encoding_notes([]) == ()
