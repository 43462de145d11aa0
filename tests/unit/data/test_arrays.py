"""Arrays of numbers: finiteness is checked at every size, and values that are no numbers raise."""

import warnings

import numpy as np
import pytest
from checked_data import features

from fastmlp.data.arrays import as_numbers
from fastmlp.data.validation import as_features


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


def test_masked_entries_raise():
    masked = np.ma.masked_array(np.ones((3, 2)), mask=[[0, 1], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="X has masked entries"):
        as_numbers(masked, "X")


@pytest.mark.parametrize(
    "value, message",
    [(10**400, "fit into float64, but it holds a larger one"), (1 + 2j, "Pass real and imaginary parts as columns")],
)
def test_huge_integers_and_complex_numbers_raise(value, message):
    with pytest.raises(ValueError, match=message):
        features([[0, 1, 2], [value, 2, 3]])
