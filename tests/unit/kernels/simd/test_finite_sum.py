"""Sum of an array: correct for every length, and not finite if one element is not."""

from itertools import product

import numpy as np
import pytest

from fastmlp.kernels.jit.call import call


def total_of(x):
    out = np.empty(1)
    call("simd.finite_sum.sum_to", x.dtype, x, x.size, out)
    return out[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sum_equals_numpy_and_is_not_finite_with_one_number_that_is_not(dtype, rng):
    for n in (0, 1, 63, 64, 65, 1000):
        x = rng.normal(size=n).astype(dtype)
        np.testing.assert_allclose(total_of(x), x.sum(dtype=np.float64), atol=1e-5 * np.sqrt(n))
    for place, bad in product((0, 40, 130, 199), (np.nan, np.inf, -np.inf)):
        x = np.ones(200, dtype)
        x[place] = bad
        assert not np.isfinite(total_of(x))
