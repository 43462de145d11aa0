"""Regression targets: numbers are accepted; text, dates and durations are not."""

from decimal import Decimal

import numpy as np
import pytest

from fastmlp.estimators.regression_targets import as_quantities


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
