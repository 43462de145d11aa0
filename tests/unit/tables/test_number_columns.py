"""Columns of numbers: scores, edges of bins as by scikit-learn's trees, and the choice between encodings."""

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.tables.bins import LEAST_BIN_ROWS, MOST_BINS, MOST_CLASSES, class_indicators, leap_edges, tree_edges
from fastmlp.tables.features import fit_column
from fastmlp.tables.number_columns import NumericEncoding, PiecewiseLinearColumn, QuantileColumn

pd = pytest.importorskip("pandas")


def test_quantile_scaling_is_normal_and_ordered(rng):
    x = np.exp(3 * rng.normal(size=60_000))
    column = QuantileColumn.of("x", x, False)
    assert len(column.quantiles) == 1000
    order, scores = np.argsort(x), column.scores(x)
    assert (np.diff(scores[order]) >= 0).all()
    exact = ndtri((np.arange(len(x)) + 0.5) / len(x))
    inner = np.abs(exact) < 2.5
    np.testing.assert_allclose(scores[order][inner], exact[inner], atol=0.01)
    # outside of the training range: the ends
    assert column.scores(np.array([-1.0, 1e9])).tolist() == [scores.min(), scores.max()]


def test_quantile_score_of_ties_is_that_of_their_mean_rank(rng):
    """Not the mean of the scores of their ranks, which is -0.195 here."""
    x = np.concatenate([np.zeros(54_000), rng.uniform(1, 2, 6_000)])
    scores = QuantileColumn.of("x", x, False).scores(x)
    assert np.ptp(scores[:54_000]) == 0.0
    np.testing.assert_allclose(scores[0], ndtri(0.45), atol=0.002)


def test_bins_are_the_formula_of_the_score(rng):
    x = np.append(rng.exponential(size=400), np.nan)
    column = NumericEncoding(targets=np.floor(2 * np.nan_to_num(x))[:, None] % 2).of("x", x)
    assert column.feature_names == ["x", *(f"x in bin {k}" for k in range(1, column.n_bins + 1)), "x is missing"]
    assert column.n_bins > 2
    cells = np.append(x[:20], [np.nan, -5.0, 1e9])
    out = np.full((len(cells), len(column.feature_names)), np.nan)
    column.encode(pd.Series(cells, name="x"), out)
    scores = np.where(np.isnan(cells), 0.0, QuantileColumn("x", column.quantiles, True).scores(cells))
    np.testing.assert_array_equal(out[:, 0], scores)
    for k, (low, high) in enumerate(zip(column.edges, column.edges[1:], strict=False)):
        expected = [0.0 if s <= low else 1.0 if s >= high else (s - low) / (high - low) for s in scores]
        np.testing.assert_allclose(out[:, k + 1], expected, atol=1e-12)
    assert out[:, -1].tolist() == [0.0] * 20 + [1.0, 0.0, 0.0]


@pytest.mark.parametrize("missing", [False, True])
def test_choice_of_a_numeric_encoding(missing, rng):
    ramp = np.arange(100.0)[:, None]
    for encoding, kinds in (
        (NumericEncoding("auto"), ["quantile", "standard"]),
        (NumericEncoding("auto", ramp), ["quantile", "standard"]),
        (NumericEncoding("quantile", ramp), ["quantile", "quantile"]),
    ):
        for x, kind in zip((rng.normal(size=100), np.arange(100.0) % 32), kinds, strict=True):
            x[:3] = np.nan if missing else x[:3]
            column, note = fit_column(pd.Series(x, name="x"), encoding)
            assert (column.kind, column.marks_missing, note) == (kind, missing, "")
    with pytest.raises(ValueError, match=r"Unknown numeric_encoding 'quantiles'\. Did you mean 'quantile'"):
        NumericEncoding("quantiles")


def test_auto_makes_bins_where_targets_leap_only(rng):
    x, noise = rng.normal(size=3000), rng.normal(size=3000)
    targets = {"smooth": 0.5 * x, "nothing": 0 * x, "steps": 3.0 * (np.abs(x) < 0.3)}
    found = {name: NumericEncoding(targets=(values + noise)[:, None]).of("x", x) for name, values in targets.items()}
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
    targets = ((x > 300.0) & (x < 900.0)).astype(float)[:, None]
    column, _ = fit_column(pd.Series(x, name="x"), NumericEncoding(targets=targets))
    assert 2 <= column.n_bins <= MOST_BINS
    out = np.empty((len(x), len(column.feature_names)), np.float32)
    column.encode(pd.Series(x, name="x"), out)
    assert np.abs(out).max() < 4.0
    for edges in ((0.0,), (0.0, 0.0), (1.0, 0.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="needs ascending finite edges of bins"):
            PiecewiseLinearColumn("x", (0.0, 1.0), False, edges)


# ---- edges of bins


@pytest.mark.parametrize("n_bins", [2, 7, 20])
def test_edges_equal_those_of_scikit_learn(n_bins, rng):
    tree = pytest.importorskip("sklearn.tree", reason="pip install 'fastmlp[sklearn]' has scikit-learn")
    x = rng.normal(size=2000)
    numbers = np.sin(4 * x)[:, None] + 0.1 * rng.normal(size=(2000, 1))
    codes = np.digitize(x + 0.3 * rng.normal(size=2000), [-1.0, 0.2, 0.7])
    for model, y, targets in (
        (tree.DecisionTreeRegressor, numbers, numbers),
        (tree.DecisionTreeClassifier, codes, class_indicators(codes, 4)),
    ):
        other = model(max_leaf_nodes=n_bins, min_samples_leaf=LEAST_BIN_ROWS).fit(x[:, None], y)
        thresholds = np.sort(other.tree_.threshold[other.tree_.feature == 0])
        found = tree_edges(x, targets, n_bins)
        np.testing.assert_allclose(found[1:-1], thresholds, rtol=1e-6)
        assert (found[0], found[-1]) == (x.min(), x.max())


def test_no_split_without_a_gain_or_enough_rows(rng):
    x = np.arange(100.0)
    assert tree_edges(x, np.ones((100, 1)), 48).tolist() == [0.0, 99.0], "constant targets"
    assert tree_edges(x[:31], x[:31, None], 48).tolist() == [0.0, 30.0], "fewer rows than two bins need"
    tied = np.repeat([0.0, 1.0], [95, 5])
    assert tree_edges(tied, rng.normal(size=(100, 1)), 48).tolist() == [0.0, 1.0], "a part of five rows"
    noise = [leap_edges(rng.normal(size=n), rng.normal(size=(n, 1))) for n in (100, 3000) for _ in range(20)]
    assert sum(len(edges) > 2 for edges in noise) <= 4, "a false split costs more than it gains"


def test_the_scale_of_targets_and_other_outputs_do_not_matter(rng):
    x = rng.normal(size=1000)
    targets = (x > 0.5).astype(float)[:, None] + 0.3 * rng.normal(size=(1000, 1))
    edges = leap_edges(x, targets)
    assert np.abs(edges - 0.5).min() < 0.02
    np.testing.assert_array_equal(leap_edges(x, 1e6 * targets + 1e6), edges)
    np.testing.assert_array_equal(leap_edges(x, np.hstack([targets, -targets])), edges)


def test_rare_classes_beyond_the_limit_share_a_column():
    codes = np.append(np.repeat(np.arange(MOST_CLASSES + 8), 3), [5] * 9)
    indicators = class_indicators(codes, MOST_CLASSES + 8)
    assert indicators.shape == (len(codes), MOST_CLASSES)
    assert indicators[:, 0].tolist() == (codes == 5).tolist(), "the most frequent class"
    assert set(indicators.sum(axis=1)) == {1.0}
    assert indicators[:, -1].sum() == 3 * 9
