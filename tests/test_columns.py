"""fastmlp.columns: the encoders alone; how they are chosen and used on tables is in test_tabular.py."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.columns import (
    KINDS,
    CategoryColumn,
    QuantileColumn,
    StandardColumn,
    column_from_dict,
    column_kind,
    column_to_dict,
    numbers_of,
)

pd = pytest.importorskip("pandas")

EXAMPLES = {
    "standard": StandardColumn("x", 1.5, 2.0, True),
    "quantile": QuantileColumn("x", (0.0, 1.0, 1.0, 4.0), False),
    "category": CategoryColumn("x", ("a", "b"), True, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_json(kind):
    column = EXAMPLES[kind]
    assert column_from_dict(json.loads(json.dumps(column_to_dict(column)))) == column


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_fills_its_features(kind):
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
    ],
    ids=str,
)
def test_kinds_of_cells(cells, kind):
    assert column_kind(cells) == kind


def test_numbers_of_mixed_cells():
    values = numbers_of(pd.Series(["1", None, 2.5], dtype=object))
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, [1.0, np.nan, 2.5])


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
