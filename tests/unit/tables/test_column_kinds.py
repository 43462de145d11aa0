"""Kinds of columns: which one is chosen, and what all of them do alike. Each has a file of tests of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastmlp.tables.category_column import CategoryColumn
from fastmlp.tables.date_column import DateColumn
from fastmlp.tables.features import KINDS, column_from_dict, fit_column
from fastmlp.tables.number_columns import PiecewiseLinearColumn, QuantileColumn, StandardColumn
from fastmlp.tables.training_column import TrainingColumn

pd = pytest.importorskip("pandas")

EXAMPLES = {
    "standard": StandardColumn("x", 1.5, 2.0, True),
    "quantile": QuantileColumn("x", (0.0, 1.0, 1.0, 4.0), False),
    "piecewise_linear": PiecewiseLinearColumn("x", (0.0, 1.0, 1.0, 4.0), True, (-1.15, 0.0, 1.15)),
    "date": DateColumn("x", 18_000.0, 100.0, ("week", "year"), False, True),
    "category": CategoryColumn("x", ("a", "b"), True, True),
}
CELLS = {  # the second one missing, the third unlike training
    "date": ["2020-01-01", None, "1999-01-01"],
    "category": ["b", None, "c"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_round_trips_through_json(kind):
    column = EXAMPLES[kind]
    assert column_from_dict(json.loads(json.dumps(column.to_dict()))) == column


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_fills_its_features(kind):
    cells = CELLS.get(kind, [1.0, None, 1e6])
    out = np.full((3, len(EXAMPLES[kind].feature_names)), np.nan, np.float32)
    EXAMPLES[kind].encode(pd.Series(cells, name="x"), out)
    assert np.isfinite(out).all()


@pytest.mark.parametrize(
    ("cells", "column", "feature", "serious", "words"),
    [
        (["c", "b", None], EXAMPLES["category"], [0, 1, 0], False, "unseen in training in 1 of 3 cells ('c')"),
        (["c", "d", "a"], EXAMPLES["category"], [0, 0, 0], True, "in 2 of 3 cells ('c', 'd'), which are encoded"),
        (["c"], EXAMPLES["category"], [0], True, "unseen in training in its only cell ('c')"),
        ([None] * 10, EXAMPLES["category"], [0] * 10, True, "Column 'x' is missing in all 10 cells."),
        ([None] * 10, EXAMPLES["standard"], [0] * 10, True, "Column 'x' is missing in all 10 cells."),
        ([None, 1.0, 1.0], EXAMPLES["quantile"], [0] * 3, False, "missing in 1 of 3 cells, but in none of training; "),
        ([1.5, "?!", 1.5], EXAMPLES["standard"], [0, 0, 0], True, "holds no numbers in 1 of 3 cells ('?!'), which"),
    ],
    ids=str,
)
def test_values_unseen_in_training_give_notes(cells, column, feature, serious, words):
    out = np.empty((len(cells), len(column.feature_names)), np.float32)
    (note,) = column.encode(pd.Series(cells, name="x", dtype=object), out)
    assert words in note.text
    assert note.is_serious == serious
    if column is EXAMPLES["category"]:
        assert out[:, 1].tolist() == feature
    else:
        np.testing.assert_allclose(out[:, 0], feature, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_values_seen_in_training_give_no_notes(kind):
    column = EXAMPLES[kind]
    cells = [*CELLS.get(kind, [1.5])[:1], *[None] * column.marks_missing]
    assert column.encode(pd.Series(cells, name="x"), np.empty((len(cells), len(column.feature_names)))) == []


@pytest.mark.parametrize(
    ("cells", "kind", "words"),
    [
        (
            [str(k / 7) for k in range(96)] + ["?!", "?!", "-", "bad"],
            "quantile",
            "in 4 of 100 cells ('?!', '-', 'bad')",
        ),
        (
            ["1", "2", "3", "unknown"] * 25,
            "category",
            "holds no numbers in 25 of 100 cells ('unknown'), and a column of",
        ),
        ([str(k / 7) for k in range(100)], "quantile", "holds numbers as text, and is used as a column of numbers"),
        ([str(k / 7) for k in range(90)] + ["?!"] * 300, "category", ""),
        (
            [f"2020-{k % 12 + 1}-{k % 28 + 1}" for k in range(80)],
            "date",
            "holds dates as text, and is used as a column of dates",
        ),
        (["1.0", "1"], None, "all of its cells are equal"),
    ],
    ids=["few bad", "half bad", "numbers as text", "mostly text", "dates", "one number"],
)
def test_column_kind_of_text_with_numbers(cells, kind, words):
    column, note = fit_column(pd.Series(cells, name="x"))
    assert (column and column.kind) == kind
    assert words in note
    assert bool(words) == bool(note)


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
    assert TrainingColumn("x", cells).kind == kind
