"""Trial of bins: held-out gain where targets leap, none where a smooth model or noise is all there is."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables import bin_trial
from fastmlp.tables.bin_trial import Gain, gain_of_bins, trial_rows
from fastmlp.tables.columns_to_features import encode_columns, fit_columns
from fastmlp.tables.encoder_choice import NumericEncoding
from fastmlp.tables.preprocessing import Preprocessing


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
    assert not is_worth_it or 0.1 < gain.share < 1.0


def test_errors_are_those_of_a_ridge_regression_on_held_out_rows(rng):
    features, targets, held = rng.normal(size=(60, 4)) + 3.0, rng.normal(size=(60, 2)) - 1.0, np.arange(60) % 5 == 0
    both = bin_trial._held_out_errors(features, 2, targets, held)
    ridge = pytest.importorskip("sklearn.linear_model", reason="pip install 'fastmlp[sklearn]' has scikit-learn").Ridge
    for n_features, found in zip((2, 4), both, strict=True):
        X = features[:, :n_features]
        for penalty, errors in zip(bin_trial.RIDGES, found, strict=True):
            model = ridge(alpha=penalty).fit(X[~held], targets[~held])
            expected = ((model.predict(X[held]) - targets[held]) ** 2).sum(axis=1)
            np.testing.assert_allclose(errors, expected, rtol=1e-9)


def test_targets_of_held_out_rows_choose_no_edges(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(bin_trial, "leap_edges", lambda scores, targets, n_bins: seen.append(set(scores)) or scores[:2])
    scores, targets = scores_and_targets("leaps", rng, 50)
    assert gain_of_bins(scores[:, :1], scores[:, :1], targets, 48) == Gain(0.0, 0.0)
    assert [len(rows) for rows in seen] == [40] * 5
    assert set.intersection(*seen) == set(), "each row is held out once"


def test_missing_cells_and_wide_tables_are_bounded(rng, monkeypatch):
    scores, targets = scores_and_targets("leaps", rng)
    scores = np.hstack([scores, np.full_like(scores, np.nan)])  # a column without a single number has no bins
    scores[:40, 0] = np.nan
    assert gain_of_bins(np.nan_to_num(scores[:, :1]), scores, targets, 48).is_worth_it
    monkeypatch.setattr(bin_trial, "MOST_FEATURES", 4)
    many = np.tile(scores[:, :1], 30)  # of which one column or two reach the limit
    bins = bin_trial._bins(many, targets, np.ones(len(many), bool), 48)
    assert 4 <= bins.shape[1] <= 4 + 48


def test_rows_of_a_trial_are_bounded_and_different():
    assert len(np.unique(trial_rows(10_000))) == bin_trial.MOST_ROWS
    assert sorted(trial_rows(7)) == list(range(7))


def test_a_trial_has_as_many_rows_as_there_is_time_for():
    n_features = bin_trial.n_features_of_trial(11, [10, 0, 30])
    assert n_features == 256 + 3 + 40
    assert bin_trial.n_features_of_trial(1, [2000]) == 32 + 1 + 768
    n = [len(trial_rows(50_000, n_features, seconds)) for seconds in (10.0, 0.1, 0.04, 0.0)]
    assert n[0] == bin_trial.MOST_ROWS > n[1] > n[2] == n[3] == 0
    assert 5 * n[1] * n_features * bin_trial.CELL_SECONDS < 0.1
    assert len(trial_rows(300, n_features, 0.04)) == 300, "a small table has all of its rows"
    np.testing.assert_array_equal(trial_rows(50_000, n_features, 0.1), trial_rows(50_000)[: n[1]])


def table_of(kind, rng):
    scores, targets = scores_and_targets(kind, rng)
    return pd.DataFrame(scores, columns=["a"]), targets


def test_a_table_keeps_its_bins_or_none_and_its_notes_say_why(rng):
    table, targets = table_of("leaps", rng)
    encoding = NumericEncoding(targets=targets)
    columns, notes, choices = fit_columns(table, encoding)
    assert columns[0].kind == "piecewise_linear"
    assert notes == ()
    assert (
        "are cut into bins where the targets leap: in a quick test that lowered the squared error of held-out rows by"
        in choices[0]
    )
    assert columns[0] == encoding.fit("a", table["a"].to_numpy()), "the edges come from all rows"
    short = fit_columns(table, NumericEncoding(targets=targets, trial_seconds=0.0))
    assert [column.kind for column in short.columns] == ["quantile"]
    assert short.choices[0] == bin_trial.NO_TIME
    tree = NumericEncoding("piecewise_linear", targets=targets)
    found = fit_columns(table, tree)
    assert found.columns[0].kind == "piecewise_linear"
    assert not any("quick test" in note for note in found.choices)


def test_without_bins_a_table_has_the_columns_of_quantiles(rng, monkeypatch):
    monkeypatch.setattr(bin_trial, "LEAST_STANDARD_ERRORS", np.inf)
    table, targets = table_of("leaps", rng)
    columns, _, choices = fit_columns(table, NumericEncoding(targets=targets))
    assert columns == fit_columns(table, NumericEncoding()).columns
    assert "are not cut into bins: in a quick test that lowered the squared error" in choices[0]
    preprocessing = Preprocessing.fit(table.assign(y=targets[:, 0]), "y")
    assert preprocessing.notes == choices
    np.testing.assert_array_equal(preprocessing.transform(table), encode_columns(columns, table))
    assert "raised the squared error of held-out rows by 2.0 %." in Gain(-0.02, -1.0).sentence()
    for share in (-1e-5, 0.0, 1e-5):
        assert (
            Gain(share, 0.1)
            .sentence()
            .endswith("in a quick test that did not change the squared error of held-out rows.")
        )


def test_a_trial_on_fewer_rows_says_so(rng, monkeypatch):
    table, targets = table_of("leaps", rng)
    monkeypatch.setattr(bin_trial, "LEAST_ROWS", 400)
    found = fit_columns(table, NumericEncoding(targets=targets, trial_seconds=0.003))
    said = found.choices[0]
    assert "% (on " in said
    assert " rows, since the time is limited)" in said
    assert len(fit_columns(table, NumericEncoding(targets=targets, trial_seconds=9.0)).choices[0]) < len(said)
