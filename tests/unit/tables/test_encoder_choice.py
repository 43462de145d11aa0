"""Column encoders by themselves; their choice and use on tables is tested in test_preprocessing.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.tables.encoder_choice import (
    KINDS,
    CategoryColumn,
    DateColumn,
    NumericEncoding,
    PiecewiseLinearColumn,
    QuantileColumn,
    StandardColumn,
    TextColumn,
    column_from_dict,
    column_to_dict,
    fit_column,
)

pd = pytest.importorskip("pandas")

EXAMPLES = {
    "standard": StandardColumn("x", 1.5, 2.0, True),
    "quantile": QuantileColumn("x", (0.0, 1.0, 1.0, 4.0), False),
    "piecewise_linear": PiecewiseLinearColumn("x", (0.0, 1.0, 1.0, 4.0), True, (-1.15, 0.0, 1.15)),
    "date": DateColumn("x", 18_000.0, 100.0, ("week", "year"), False, True),
    "category": CategoryColumn("x", ("a", "b"), True, True),
    "text": TextColumn("x", ("red", "red car", "~<ca"), 1.0, 0.5, 1.0, True),
}
CELLS = {  # the second one missing, the third unlike training
    "date": ["2020-01-01", None, "1999-01-01"],
    "category": ["b", None, "c"],
    "text": ["a red car", None, "blue"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_encoder_round_trips_through_json(kind):
    column = EXAMPLES[kind]
    assert column_from_dict(json.loads(json.dumps(column_to_dict(column)))) == column


def test_an_unknown_encoding_in_a_file_is_refused():
    described = column_to_dict(EXAMPLES["standard"]) | {"kind": "robust"}
    with pytest.raises(ValueError, match="column 'x' has the encoding 'robust', which fastmlp does not have"):
        column_from_dict(described)


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
    missing = column.has_missing if kind == "category" else column.marks_missing
    cells = [*CELLS.get(kind, [1.5])[:1], *[None] * missing]
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


def test_quantile_score_of_ties_is_that_of_their_mean_rank(rng):
    """Not the mean of the scores of their ranks, which is -0.195 here."""
    x = np.concatenate([np.zeros(54_000), rng.uniform(1, 2, 6_000)])
    scores = QuantileColumn.fit("x", x, False).scores(x)
    assert np.ptp(scores[:54_000]) == 0.0
    np.testing.assert_allclose(scores[0], ndtri(0.45), atol=0.002)


# ---- bins


def test_bins_are_the_formula_of_the_score(rng):
    x = rng.exponential(size=400)
    column = NumericEncoding("piecewise_linear", 10, np.sin(3 * np.append(x, 0))[:, None]).fit(
        "x", np.append(x, np.nan)
    )
    assert column.feature_names == ["x", *(f"x in bin {k}" for k in range(1, column.n_bins + 1)), "x is missing"]
    cells = np.append(x[:20], [np.nan, -5.0, 1e9])
    out = np.full((len(cells), len(column.feature_names)), np.nan)
    column.encode(pd.Series(cells, name="x"), out)
    scores = np.where(np.isnan(cells), 0.0, QuantileColumn("x", column.quantiles, True).scores(cells))
    np.testing.assert_array_equal(out[:, 0], scores)
    for k, (low, high) in enumerate(zip(column.edges, column.edges[1:], strict=False)):
        expected = [0.0 if s <= low else 1.0 if s >= high else (s - low) / (high - low) for s in scores]
        np.testing.assert_allclose(out[:, k + 1], expected, atol=1e-12)
    assert out[:, -1].tolist() == [0.0] * 20 + [1.0, 0.0, 0.0]
    assert out[-2, 1:-1].tolist() == [0.0] * column.n_bins, "below training"
    assert out[-1, 1:-1].tolist() == [1.0] * column.n_bins, "above training"


@pytest.mark.parametrize(
    ("encoding", "kinds"),
    [
        (NumericEncoding("auto"), ["quantile", "standard"]),
        (NumericEncoding("auto", 8, np.arange(100.0)[:, None]), ["quantile", "standard"]),
        (NumericEncoding("piecewise_linear", 8), ["piecewise_linear", "standard"]),
        (NumericEncoding("quantile", 8, np.arange(100.0)[:, None]), ["quantile", "quantile"]),
        (NumericEncoding("standard", 8, np.arange(100.0)[:, None]), ["standard", "standard"]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
@pytest.mark.parametrize("missing", [False, True])
def test_choice_of_a_numeric_encoding(encoding, kinds, missing, rng):
    many, few = rng.normal(size=100), np.arange(100.0) % 32
    for x, kind in zip((many, few), kinds, strict=True):
        x[:3] = np.nan if missing else x[:3]
        column, note = fit_column(pd.Series(x, name="x"), encoding)
        assert (column.kind, column.marks_missing, note) == (kind, missing, "")


def test_auto_makes_bins_where_targets_leap_only(rng):
    x, noise = rng.normal(size=3000), rng.normal(size=3000)
    targets = {"smooth": 0.5 * x, "nothing": 0 * x, "steps": 3.0 * (np.abs(x) < 0.3)}
    found = {
        name: NumericEncoding("auto", 48, (values + noise)[:, None]).fit("x", x) for name, values in targets.items()
    }
    kinds = {name: column.kind for name, column in found.items()}
    assert kinds == {"smooth": "quantile", "nothing": "quantile", "steps": "piecewise_linear"}
    inner = np.array(found["steps"].edges[1:-1])
    for leap in (-0.3, 0.3):
        assert np.abs(inner - leap).min() < 0.05
    assert len(inner) < 16, "48 are allowed"


def test_heavy_tails_and_ties_have_distinct_finite_edges(rng):
    """Most cells equal, outliers of 1e25: bins lie between scores, so that no bin is as wide as the tail."""
    x = np.where(rng.random(3000) < 0.9, 0.0, rng.integers(1, 200, 3000) * 10.0)
    x[:5] = [1e25, -1e25, 1e-300, -0.0, 7e9]
    for targets in (None, (x == 30.0).astype(float)[:, None], rng.normal(size=(3000, 2))):
        column, _ = fit_column(pd.Series(x, name="x"), NumericEncoding("piecewise_linear", 48, targets))
        assert 2 <= column.n_bins <= 48
        out = np.empty((len(x), len(column.feature_names)), np.float32)
        column.encode(pd.Series(x, name="x"), out)
        assert np.isfinite(out).all()
        assert np.abs(out).max() < 4.0


def test_too_few_or_many_bins_raise():
    for n_bins in (1, 1001, 2.5):
        with pytest.raises(ValueError, match="n_bins must be a whole number"):
            NumericEncoding(n_bins=n_bins)


@pytest.mark.parametrize("edges", [(0.0,), (0.0, 0.0), (1.0, 0.0), (0.0, float("nan"))])
def test_damaged_edges_are_refused(edges):
    with pytest.raises(ValueError, match="needs ascending finite edges of bins"):
        PiecewiseLinearColumn("x", (0.0, 1.0), False, edges)
