"""Finiteness of inputs is checked at every size."""

import warnings

import numpy as np
import pytest
from checked_data import features

from fastmlp.data.checked_samples import as_features


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_samples", [100, 9000, 40_000])  # sizes checked by BLAS, by NumPy and by a kernel
def test_one_non_finite_value_is_located(n_samples, dtype):
    X = np.full((n_samples, 3), 1e20, dtype)
    assert as_features(X, 3, np.dtype(dtype)) is X, (
        "finite values must not be copied or refused, although sums of squares overflow"
    )
    for bad in (np.nan, np.inf, -np.inf):
        X[n_samples // 2, 1] = bad
        message = rf"1 of its {X.size:,} values is NaN or infinite, the first at \({n_samples // 2}, 1\)"
        with pytest.raises(ValueError, match=message):
            as_features(X, 3, np.dtype(dtype))


def test_finite_values_with_an_overflowing_sum_are_accepted():
    """The sum overflows, although every value is finite."""
    X = np.full((4, 3), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert features(X).shape == (4, 3)
