"""Bins: edges by a tree on one column, as scikit-learn's, and a trial that keeps them only where targets leap."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables import bins
from fastmlp.tables.bins import (
    LEAST_BIN_ROWS,
    MOST_CLASSES,
    Gain,
    class_indicators,
    gain_of_bins,
    leap_edges,
    tree_edges,
    trial_rows,
)
from fastmlp.tables.features import fit_columns
from fastmlp.tables.number_columns import NumericEncoding

# ---- edges


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
    x = rng.normal(size=1000)
    edges = tree_edges(x, rng.normal(size=(1000, 1)), 1000)
    assert np.histogram(x, edges)[0].min() >= LEAST_BIN_ROWS


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


def test_rare_classes_beyond_the_limit_share_a_column():
    codes = np.append(np.repeat(np.arange(MOST_CLASSES + 8), 3), [5] * 9)
    indicators = class_indicators(codes, MOST_CLASSES + 8)
    assert indicators.shape == (len(codes), MOST_CLASSES)
    assert indicators[:, 0].tolist() == (codes == 5).tolist(), "the most frequent class"
    assert set(indicators.sum(axis=1)) == {1.0}
    assert indicators[:, -1].sum() == 3 * 9


# ---- trial


def scores_and_targets(kind, rng, n=800):
    x = rng.normal(size=n)
    signal = {"leaps": 2.0 * (np.abs(x) < 0.3), "smooth": np.exp(0.5 * x), "noise": 0.0 * x}
    return x[:, None], (signal[kind] + 0.3 * rng.normal(size=n))[:, None]


@pytest.mark.parametrize(("kind", "is_worth_it"), [("leaps", True), ("smooth", False), ("noise", False)])
def test_bins_are_worth_it_where_targets_leap(kind, is_worth_it, rng):
    scores, targets = scores_and_targets(kind, rng)
    gain = gain_of_bins(scores, scores, targets, 48)
    assert gain.is_worth_it == is_worth_it
    assert gain == gain_of_bins(scores, scores, targets, 48), "the same trial in every fit"
    scores = np.hstack([scores, np.full_like(scores, np.nan)])  # a column without a single number has no bins
    scores[:40, 0] = np.nan
    assert gain_of_bins(np.nan_to_num(scores[:, :1]), scores, targets, 48).is_worth_it == is_worth_it


def test_errors_are_those_of_a_ridge_regression_on_held_out_rows(rng):
    features, targets, held = rng.normal(size=(60, 4)) + 3.0, rng.normal(size=(60, 2)) - 1.0, np.arange(60) % 5 == 0
    both = bins._held_out_errors(features, 2, targets, held)
    ridge = pytest.importorskip("sklearn.linear_model", reason="pip install 'fastmlp[sklearn]' has scikit-learn").Ridge
    for n_features, found in zip((2, 4), both, strict=True):
        X = features[:, :n_features]
        for penalty, errors in zip(bins.RIDGES, found, strict=True):
            model = ridge(alpha=penalty).fit(X[~held], targets[~held])
            expected = ((model.predict(X[held]) - targets[held]) ** 2).sum(axis=1)
            np.testing.assert_allclose(errors, expected, rtol=1e-9)


def test_targets_of_held_out_rows_choose_no_edges(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(bins, "leap_edges", lambda scores, targets, n_bins: seen.append(set(scores)) or scores[:2])
    scores, targets = scores_and_targets("leaps", rng, 50)
    assert gain_of_bins(scores[:, :1], scores[:, :1], targets, 48) == Gain(0.0, 0.0)
    assert [len(rows) for rows in seen] == [40] * 5
    assert set.intersection(*seen) == set(), "each row is held out once"


def test_a_trial_has_as_many_rows_as_there_is_time_for():
    n_features = bins.n_features_of_trial(11, [10, 0, 30])
    assert n_features == 256 + 3 + 40
    n = [len(trial_rows(50_000, n_features, seconds)) for seconds in (10.0, 0.1, 0.04, 0.0)]
    assert n[0] == bins.MOST_TRIAL_ROWS > n[1] > n[2] == n[3] == 0
    assert 5 * n[1] * n_features * bins.CELL_SECONDS < 0.1
    assert sorted(trial_rows(300, n_features, 0.04)) == list(range(300)), "a small table has all of its rows"
    np.testing.assert_array_equal(trial_rows(50_000, n_features, 0.1), trial_rows(50_000)[: n[1]])


def test_a_table_keeps_its_bins_or_none_and_its_notes_say_why(rng, monkeypatch):
    scores, targets = scores_and_targets("leaps", rng)
    table = pd.DataFrame(scores, columns=["a"])
    fitted = lambda *kind, **more: fit_columns(table, NumericEncoding(*kind, targets=targets, **more))
    columns, notes, choices = fitted()
    said = "are cut into bins where the targets leap: in a quick test that lowered the squared error of held-out rows"
    assert (columns[0].kind, notes, said in choices[0]) == ("piecewise_linear", (), True)
    assert columns[0] == NumericEncoding(targets=targets).of("a", scores[:, 0]), "the edges come from all rows"
    short = fitted(trial_seconds=0.0)
    assert (short.columns[0].kind, short.choices[0]) == ("quantile", bins.NO_TIME)
    assert fitted("piecewise_linear").columns[0].kind == "piecewise_linear"
    assert not any("quick test" in note for note in fitted("piecewise_linear").choices)
    monkeypatch.setattr(bins, "LEAST_TRIAL_ROWS", 400)
    assert " rows, since the time is limited)" in fitted(trial_seconds=0.003).choices[0]
    monkeypatch.setattr(bins, "LEAST_STANDARD_ERRORS", np.inf)
    without = fitted()
    assert without.columns == fit_columns(table).columns
    assert "are not cut into bins: in a quick test that lowered the squared error" in without.choices[0]


def test_a_small_change_is_told_as_none():
    assert "raised the squared error of held-out rows by 2.0 %." in Gain(-0.02, -1.0).sentence()
    for share in (-1e-5, 0.0, 1e-5):
        assert Gain(share, 0.1).sentence().endswith("did not change the squared error of held-out rows.")
