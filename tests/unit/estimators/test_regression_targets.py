"""Regression targets: numbers are accepted; text, dates and durations are not."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from fastmlp import MLPRegressor, TabularMLPRegressor
from fastmlp.estimators.array_input import as_quantities

ESTIMATORS = (
    MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=1),
    TabularMLPRegressor((2,), max_iter=1, n_nets=1),
)
by_name = pytest.mark.parametrize("model", ESTIMATORS, ids=lambda model: type(model).__name__)


@pytest.mark.parametrize("y", [[1, 2], [1.5, 2], [True, False], np.array([1, 2.5], object), [[1, 2], [3, 4]]])
def test_numeric_targets_become_float64(y):
    y = np.asarray(y)
    assert as_quantities(y, "X").dtype == np.float64
    np.testing.assert_array_equal(as_quantities(y, "X"), y.astype(float))
    assert as_quantities(np.array([Decimal("1.5")], object), "X").tolist() == [1.5]


@pytest.mark.parametrize(
    "y",
    [
        ["1.5", "2"],
        np.array(["1.5", 2], object),
        np.array([1.5, b"2"], object),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([5], "timedelta64[s]"),
        np.array([1.5, np.datetime64("2020-01-01")], object),
        np.array([1 + 2j]),
        np.array([[1], None], object),
    ],
    ids=repr,
)
def test_targets_only_convertible_to_numbers_raise(y):
    with pytest.raises(ValueError, match=r"y must hold numbers for a regression, but it holds .*use MLPClassifier\."):
        as_quantities(np.asarray(y), "MLPClassifier")


@pytest.mark.parametrize(
    ("cell", "text"), [("n/a", "'n/a'"), (None, "None"), (b"2", "b'2'"), (pd.Timestamp("2020-01-01"), "Timestamp")]
)
def test_message_shows_the_cell_that_is_no_number_and_its_position(cell, text):
    y = np.linspace(0.0, 1.0, 12).astype(object)
    y[7] = cell
    with pytest.raises(ValueError, match=rf"but it holds {text}.* at \(7,\)\. Convert text and dates"):
        as_quantities(y, "X")
    with pytest.raises(ValueError, match=rf"but it holds {text}.* at \(3, 1\)\. Convert text and dates"):
        as_quantities(y.reshape(6, 2), "X")


def test_integers_beyond_float64_raise():
    with pytest.raises(ValueError, match="y must hold numbers that fit into float64, but it holds a larger one"):
        as_quantities(np.array([1, 10**400], object), "X")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@by_name
def test_score_refuses_the_targets_that_fit_refuses(model, rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    model.fit(X, y)
    assert model.score(X, y.astype(np.float32)) == pytest.approx(model.score(X, y), abs=1e-6)
    assert model.score(X, y.tolist(), np.ones(20)) == pytest.approx(model.score(X, y))
    one_missing = y.astype(object)
    one_missing[5] = None
    for bad in (pd.date_range("2020-01-01", periods=20), [f"{k}.5" for k in range(20)], one_missing):
        for call in (model.score, model.fit):
            with pytest.raises(ValueError, match="y must hold numbers for a regression"):
                call(X, bad)
    with pytest.raises(ValueError, match="sample_weight must hold numbers that fit into float64"):
        model.score(X, y, [10**400] * 20)
