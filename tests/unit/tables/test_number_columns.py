"""Columns of numbers: scores, bins, and the choice between them."""

import numpy as np
import pytest
from scipy.special import ndtri

from fastmlp.tables.features import fit_column
from fastmlp.tables.number_columns import NumericEncoding, PiecewiseLinearColumn, QuantileColumn

pd = pytest.importorskip("pandas")


def test_quantile_scaling_is_normal_and_ordered(rng):
    x = np.exp(3 * rng.normal(size=60_000))
    column = QuantileColumn.of("x", x, False)
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
    scores = QuantileColumn.of("x", x, False).scores(x)
    assert np.ptp(scores[:54_000]) == 0.0
    np.testing.assert_allclose(scores[0], ndtri(0.45), atol=0.002)


def test_bins_are_the_formula_of_the_score(rng):
    x = np.append(rng.exponential(size=400), np.nan)
    column = NumericEncoding("piecewise_linear", 10, np.sin(3 * np.nan_to_num(x))[:, None]).of("x", x)
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


RAMP = np.arange(100.0)[:, None]


@pytest.mark.parametrize(
    ("encoding", "kinds"),
    [
        (NumericEncoding("auto"), ["quantile", "standard"]),
        (NumericEncoding("auto", 8, RAMP), ["quantile", "standard"]),
        (NumericEncoding("piecewise_linear", 8, RAMP % 2), ["piecewise_linear", "standard"]),
        (NumericEncoding("quantile", 8, RAMP), ["quantile", "quantile"]),
        (NumericEncoding("standard", 8, RAMP), ["standard", "standard"]),
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
        name: NumericEncoding("auto", 48, (values + noise)[:, None]).of("x", x) for name, values in targets.items()
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
    for targets in ((x == 30.0).astype(float)[:, None], rng.normal(size=(3000, 2))):
        column, _ = fit_column(pd.Series(x, name="x"), NumericEncoding("piecewise_linear", 48, targets))
        assert 2 <= column.n_bins <= 48
        out = np.empty((len(x), len(column.feature_names)), np.float32)
        column.encode(pd.Series(x, name="x"), out)
        assert np.abs(out).max() < 4.0


def test_too_few_or_many_bins_and_damaged_edges_raise():
    for n_bins in (1, 1001, 2.5):
        with pytest.raises(ValueError, match="n_bins must be a whole number"):
            NumericEncoding(n_bins=n_bins)
    for edges in ((0.0,), (0.0, 0.0), (1.0, 0.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="needs ascending finite edges of bins"):
            PiecewiseLinearColumn("x", (0.0, 1.0), False, edges)
