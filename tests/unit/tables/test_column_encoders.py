"""Column encoders by themselves; their choice and use on tables is tested in test_preprocessing.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.tables.column_encoders import (
    KINDS,
    CategoryColumn,
    QuantileColumn,
    StandardColumn,
    column_from_dict,
    column_kind,
    column_to_dict,
    fit_column,
    numbers_of,
)

pd = pytest.importorskip("pandas")

EXAMPLES = {
    "standard": StandardColumn("x", 1.5, 2.0, True),
    "quantile": QuantileColumn("x", (0.0, 1.0, 1.0, 4.0), False),
    "category": CategoryColumn("x", ("a", "b"), True, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_round_trips_through_json(kind):
    column = EXAMPLES[kind]
    assert column_from_dict(json.loads(json.dumps(column_to_dict(column)))) == column


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_fills_its_features(kind):
    cells = ["b", None, "c"] if kind == "category" else [1.0, None, 1e6]
    out = np.full((3, len(EXAMPLES[kind].feature_names)), np.nan, np.float32)
    EXAMPLES[kind].encode(pd.Series(cells, name="x"), out)
    assert np.isfinite(out).all()


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


@pytest.mark.parametrize(
    ("cells", "column", "feature", "serious", "words"),
    [
        (["c", "b", None], EXAMPLES["category"], [0, 1, 0], False, "unseen in training in 1 of 3 cells ('c')"),
        (["c", "d", "a"], EXAMPLES["category"], [0, 0, 0], True, "in 2 of 3 cells ('c', 'd'), which count as none"),
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
    cells = ["a", "b", None, None] if kind == "category" else [1.0, 1.5, 2.0, None if column.marks_missing else 1.0]
    assert column.encode(pd.Series(cells, name="x"), np.empty((4, len(column.feature_names)))) == []


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
        (
            [str(k / 7) for k in range(100)],
            "quantile",
            "holds text that is numbers, and is taken for a column of numbers",
        ),
        ([str(k / 7) for k in range(90)] + ["?!"] * 300, "category", ""),
        (
            [f"2020-{k % 12 + 1}-{k % 28 + 1}" for k in range(80)],
            None,
            "it holds dates as text, such as '2020-1-1'; turn",
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


def test_quantile_scaling_is_normal_and_ordered(rng):
    x = np.exp(3 * rng.normal(size=60_000))
    column = QuantileColumn.fit("x", x, False)
    assert len(column.quantiles) == 1000
    scores = column.scores(x)
    assert abs(scores.mean()) < 0.01
    assert abs(scores.std() - 1.0) < 0.01
    order = np.argsort(x)
    assert (np.diff(scores[order]) >= 0).all()
    exact = ndtri((np.arange(len(x)) + 0.5) / len(x))
    inner = np.abs(exact) < 2.5
    np.testing.assert_allclose(scores[order][inner], exact[inner], atol=0.01)
    # outside of the training range: the ends
    assert column.scores(np.array([-1.0, 1e9])).tolist() == [scores.min(), scores.max()]


def test_quantile_scores_of_ties_are_the_mean_of_their_ranks(rng):
    x = np.concatenate([np.zeros(900), rng.uniform(1, 2, 100)])
    scores = QuantileColumn.fit("x", x, False).scores(x)
    assert np.ptp(scores[:900]) == 0.0
    np.testing.assert_allclose(scores[0], ndtri(0.45), atol=0.05)
