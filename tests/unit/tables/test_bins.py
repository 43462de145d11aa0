"""The trial whether a table keeps its bins: where targets leap, by the errors of ridge regressions on held-out rows."""

import numpy as np
import pandas as pd
import pytest

from fastmlp.tables import bins as bin_trial
from fastmlp.tables.bins import Gain, gain_of_bins
from fastmlp.tables.features import fit_columns
from fastmlp.tables.number_columns import NumericEncoding


def scores_and_targets(kind, rng, n=800):
    x = rng.normal(size=n)
    signal = {"leaps": 2.0 * (np.abs(x) < 0.3), "smooth": np.exp(0.5 * x), "noise": 0.0 * x}
    return x[:, None], (signal[kind] + 0.3 * rng.normal(size=n))[:, None]


@pytest.mark.parametrize(("kind", "is_worth_it"), [("leaps", True), ("smooth", False), ("noise", False)])
def test_bins_are_worth_it_where_targets_leap(kind, is_worth_it, rng):
    scores, targets = scores_and_targets(kind, rng)
    gain = gain_of_bins(scores, scores, targets)
    assert gain.is_worth_it == is_worth_it
    assert gain == gain_of_bins(scores, scores, targets), "the same trial in every fit"
    scores = np.hstack([scores, np.full_like(scores, np.nan)])  # a column without a single number has no bins
    scores[:40, 0] = np.nan
    assert gain_of_bins(np.nan_to_num(scores[:, :1]), scores, targets).is_worth_it == is_worth_it


def test_errors_are_those_of_a_ridge_regression_on_held_out_rows(rng, monkeypatch):
    features, targets, held = rng.normal(size=(60, 4)) + 3.0, rng.normal(size=(60, 2)) - 1.0, np.arange(60) % 5 == 0
    both = bin_trial._held_out_errors(features, 2, targets, held)
    ridge = pytest.importorskip("sklearn.linear_model", reason="pip install 'fastmlp[sklearn]' has scikit-learn").Ridge
    for n_features, found in zip((2, 4), both, strict=True):
        X = features[:, :n_features]
        for penalty, errors in zip(bin_trial.RIDGES, found, strict=True):
            model = ridge(alpha=penalty).fit(X[~held], targets[~held])
            expected = ((model.predict(X[held]) - targets[held]) ** 2).sum(axis=1)
            np.testing.assert_allclose(errors, expected, rtol=1e-9)
    seen = []
    monkeypatch.setattr(bin_trial, "leap_edges", lambda scores, targets: seen.append(set(scores)) or scores[:2])
    scores, targets = scores_and_targets("leaps", rng, 50)
    assert gain_of_bins(scores[:, :1], scores[:, :1], targets) == Gain(0.0, 0.0)
    assert [len(rows) for rows in seen] == [40] * 5, "targets of held-out rows choose no edges"
    assert set.intersection(*seen) == set(), "each row is held out once"


def test_a_table_keeps_its_bins_or_none_and_its_notes_say_why(rng, monkeypatch):
    scores, targets = scores_and_targets("leaps", rng)
    table = pd.DataFrame(scores, columns=["a"])
    fitted = lambda **more: fit_columns(table, NumericEncoding(targets=targets, **more))
    columns, notes, choices = fitted()
    said = "are cut into bins where the targets leap: in a quick test that lowered the squared error of held-out rows"
    assert (columns[0].kind, notes, said in choices[0]) == ("piecewise_linear", (), True)
    assert columns[0] == NumericEncoding(targets=targets).of("a", scores[:, 0]), "the edges come from all rows"
    short = fitted(has_time=False)
    assert (short.columns[0].kind, short.choices[0]) == ("quantile", bin_trial.NO_TIME)
    monkeypatch.setattr(bin_trial, "LEAST_STANDARD_ERRORS", np.inf)
    without = fitted()
    assert without.columns == fit_columns(table).columns
    assert "are not cut into bins: in a quick test that lowered the squared error" in without.choices[0]
    assert "raised the squared error of held-out rows by 2.0 %." in Gain(-0.02, -1.0).sentence()
    for share in (-1e-5, 0.0, 1e-5):
        assert Gain(share, 0.1).sentence().endswith("did not change the squared error of held-out rows.")
