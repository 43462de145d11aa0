"""Greedy selection: losses that are not finite."""

import numpy as np
import pytest

from fastmlp.nets.greedy_selection import greedy_selection


@pytest.mark.parametrize("no_number", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_counts_as_infinity(no_number):
    outputs = np.zeros(3)
    assert list(greedy_selection(outputs, 2, lambda total, n: [no_number, 2.0, 3.0])) == [(1, 2.0), (1, 2.0)]
    assert list(greedy_selection(outputs, 1, lambda total, n: [no_number] * 3)) == [(0, np.inf)]
