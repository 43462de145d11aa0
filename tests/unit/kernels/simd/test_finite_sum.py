"""Sum of an array: correct for every length, and not finite if one element is not."""

import numpy as np
import pytest

from fastmlp.kernels.jit.call import call


def total_of(x):
    out = np.empty(1)
    call("simd.finite_sum.sum_to", x.dtype, x, x.size, out)
    return out[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
def test_sum_equals_numpy(n, dtype, rng):
    x = rng.normal(size=n).astype(dtype)
    np.testing.assert_allclose(total_of(x), x.sum(dtype=np.float64), atol=1e-5 * np.sqrt(n))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 40, 130, 199])
def test_sum_with_one_non_finite_number_is_not_finite(place, bad, dtype):
    x = np.ones(200, dtype)
    x[place] = bad
    assert not np.isfinite(total_of(x))
