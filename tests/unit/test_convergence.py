"""Convergence statistics, worked by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fastmlp.convergence import Converged, EpochStatistics, as_converged, wilson_interval


@pytest.mark.parametrize("k, n", [(0, 7), (0, 10), (3, 10), (10, 10), (0, 500), (9008, 10_000), (100_000, 100_000)])
def test_wilson_interval_equals_scipys(k, n):
    """At the ends it is 0 and 1 exactly, where rounding would leave a bound of 4e-19."""
    expected = binomtest(k, n).proportion_ci(method="wilson")
    low, high = wilson_interval(k, n)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (low == 0.0, high == 1.0) == (k == 0, k == n)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.fixture
def times():
    """Four of five trials converged, after 2, 4, 4 and 20 epochs."""
    return EpochStatistics(np.array([2.0, 4.0, 4.0, 20.0]), 5)


def test_epoch_statistics_worked_by_hand(times):
    assert times.mean == 7.5
    assert times.median == 4.0
    assert times.sd == pytest.approx(np.sqrt((5.5**2 + 2 * 3.5**2 + 12.5**2) / 3))
    np.testing.assert_allclose(times.quantiles((0.0, 1.0)), [2, 20])


def test_best_restart_is_the_limit_that_costs_fewest_epochs(times):
    """Cut at 4: three successes of 2, 4 and 4 epochs, and two trials that cost 4 each."""
    costs = {2: (2 + 4 * 2) / 1, 4: (2 + 4 + 4 + 2 * 4) / 3, 20: (2 + 4 + 4 + 20 + 20) / 4}
    assert times.best_restart == min(costs.items(), key=lambda item: item[1])


def test_statistics_without_a_success_are_nan_or_infinite():
    nothing = EpochStatistics(np.empty(0), 3)
    assert np.isnan([nothing.mean, nothing.sd, nothing.median]).all()
    assert nothing.best_restart == (0, float("inf"))


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, None),
        (0.1, Converged(loss=0.1)),
        ("accuracy", Converged(accuracy=1.0)),
        ("40-20-40", Converged(accuracy=1.0, margin=0.4)),
        (Converged(loss=0.2), Converged(loss=0.2)),
    ],
)
def test_as_converged_accepts_loss_name_and_rule(value, expected):
    assert as_converged(value) == expected


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Converged(), "needs a loss or an accuracy"),
        (lambda: Converged(loss=0.1, accuracy=1.0), "not both"),
        (lambda: Converged(accuracy=1.5), "accuracy must be a number"),
        (lambda: Converged(accuracy=1.0, margin=0.7), "margin must be a number"),
        (lambda: as_converged("acuracy"), "Did you mean 'accuracy'"),
        (lambda: as_converged(float("nan")), "converged must be a number"),
    ],
)
def test_invalid_convergence_rules_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()
