"""`are_finite`: its answer is right even if sums overflow, and it gives no warning."""

import numpy as np
import pytest

from fastmlp.training.divergence import SMALL, are_finite


def as_is(params):
    return params


@pytest.mark.parametrize("size", (3, 4 * SMALL))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("bad", (None, np.nan, np.inf, -np.inf))
def test_are_finite_finds_one_bad_value_and_ignores_overflowing_sums(bad, dtype, size):
    for value in (0.0, 1.0, 0.9 * np.finfo(dtype).max):
        params = np.full(size, value, dtype)
        if bad is not None:
            params[size // 2] = bad
        assert are_finite(params, as_is) == (bad is None)


def test_infinities_of_both_signs_are_not_finite():
    assert not are_finite(np.array([np.inf, 1.0, -np.inf], np.float32), as_is)
    both = np.ones(2 * SMALL)
    both[:2] = np.inf, -np.inf
    assert not are_finite(both, as_is)
