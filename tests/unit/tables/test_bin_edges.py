"""Edges of bins: a tree on one column against scikit-learn's, quantiles, and columns that cannot be split."""

import numpy as np
import pytest

from fastmlp.tables.bin_edges import LEAST_ROWS, MOST_CLASSES, class_indicators, leap_edges, quantile_edges, tree_edges


def gain(x, targets, edge):
    """By how much a split at `edge` lowers the sum of squared distances from the means of the two parts."""
    spread = lambda rows: ((rows - rows.mean(axis=0)) ** 2).sum()
    return spread(targets) - spread(targets[x <= edge]) - spread(targets[x > edge])


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_first_split_is_the_best_of_all(n_outputs, rng):
    x, noise = rng.normal(size=300).round(1), rng.normal(size=(300, n_outputs))
    targets = np.where(x > 0.37, 1.0, -1.0)[:, None] + noise
    low, inner, high = tree_edges(x, targets, 2)
    assert (low, high) == (x.min(), x.max())
    between = (np.unique(x)[1:] + np.unique(x)[:-1]) / 2
    allowed = [edge for edge in between if LEAST_ROWS <= (x <= edge).sum() <= 300 - LEAST_ROWS]
    assert gain(x, targets, inner) == pytest.approx(max(gain(x, targets, edge) for edge in allowed))


@pytest.mark.parametrize("n_bins", [2, 7, 20])
def test_regression_edges_equal_those_of_scikit_learn(n_bins, rng):
    tree = pytest.importorskip("sklearn.tree", reason="pip install 'fastmlp[sklearn]' has scikit-learn")
    x = rng.normal(size=2000)
    targets = np.sin(4 * x)[:, None] + 0.1 * rng.normal(size=(2000, 1))
    other = tree.DecisionTreeRegressor(max_leaf_nodes=n_bins, min_samples_leaf=LEAST_ROWS).fit(x[:, None], targets)
    thresholds = np.sort(other.tree_.threshold[other.tree_.feature == 0])
    np.testing.assert_allclose(tree_edges(x, targets, n_bins)[1:-1], thresholds, rtol=1e-6)


def test_class_edges_equal_those_of_gini(rng):
    tree = pytest.importorskip("sklearn.tree", reason="pip install 'fastmlp[sklearn]' has scikit-learn")
    x = rng.normal(size=2000)
    codes = np.digitize(x + 0.3 * rng.normal(size=2000), [-1.0, 0.2, 0.7])
    other = tree.DecisionTreeClassifier(max_leaf_nodes=9, min_samples_leaf=LEAST_ROWS).fit(x[:, None], codes)
    thresholds = np.sort(other.tree_.threshold[other.tree_.feature == 0])
    np.testing.assert_allclose(tree_edges(x, class_indicators(codes, 4), 9)[1:-1], thresholds, rtol=1e-6)


def test_no_split_without_a_gain_or_enough_rows(rng):
    x = np.arange(100.0)
    assert tree_edges(x, np.ones((100, 1)), 48).tolist() == [0.0, 99.0], "constant targets"
    assert tree_edges(x[:31], x[:31, None], 48).tolist() == [0.0, 30.0], "fewer rows than two bins need"
    tied = np.repeat([0.0, 1.0], [95, 5])
    assert tree_edges(tied, rng.normal(size=(100, 1)), 48).tolist() == [0.0, 1.0], "a part of five rows"


def test_bins_have_at_least_as_many_rows_as_a_leaf(rng):
    x = rng.normal(size=1000)
    edges = tree_edges(x, rng.normal(size=(1000, 1)), 1000)
    assert np.histogram(x, edges)[0].min() >= LEAST_ROWS


def test_noise_gives_no_bins_however_many_rows(rng):
    """A false split costs more than it gains: of 40 columns of noise, almost none is split."""
    found = [
        len(leap_edges(rng.normal(size=n), rng.normal(size=(n, 1)), 48)) - 1 for n in (100, 3000) for _ in range(20)
    ]
    assert sum(n_bins > 1 for n_bins in found) <= 4


def test_the_scale_of_targets_and_other_outputs_do_not_matter(rng):
    x = rng.normal(size=1000)
    targets = (x > 0.5).astype(float)[:, None] + 0.3 * rng.normal(size=(1000, 1))
    edges = leap_edges(x, targets, 48)
    assert np.abs(edges - 0.5).min() < 0.02
    np.testing.assert_array_equal(leap_edges(x, 1e6 * targets + 1e6, 48), edges)
    np.testing.assert_array_equal(leap_edges(x, np.hstack([targets, -targets]), 48), edges)


def test_quantile_edges_hold_equal_numbers_of_rows(rng):
    x = rng.normal(size=1000)
    assert set(np.histogram(x, quantile_edges(x, 10))[0]) == {100}
    assert quantile_edges(np.repeat([1.0, 2.0], [50, 51]), 10).tolist() == [1.0, 2.0]


def test_rare_classes_beyond_the_limit_share_a_column(rng):
    codes = np.append(np.repeat(np.arange(MOST_CLASSES + 8), 3), [5] * 9)
    indicators = class_indicators(codes, MOST_CLASSES + 8)
    assert indicators.shape == (len(codes), MOST_CLASSES)
    assert indicators[:, 0].tolist() == (codes == 5).tolist(), "the most frequent class"
    assert set(indicators.sum(axis=1)) == {1.0}
    assert indicators[:, -1].sum() == 3 * 9
