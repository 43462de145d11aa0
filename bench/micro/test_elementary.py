"""Elementary functions for SIMD vectors, over 16,384 float32 numbers, one thread."""

import numba
import numpy as np
import pytest
from scipy import special

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba about the kernels' helpers
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd import elementary
from fastmlp.kernels.simd.load_store import load, offset, store
from fastmlp.kernels.structs import aligned_zeros

N, LANES = 16_384, 16
REFERENCES = {"exp": np.exp, "tanh": np.tanh, "sigmoid": special.expit, "log1p": np.log1p}


def compiled(name):
    function = getattr(elementary, name)

    @numba.njit(nogil=True, **OPTIONS)
    def loop(x, out):
        p, q = offset(x, 0), offset(out, 0)
        for i in range(0, x.size, LANES):
            store(q, i, function(load(p, i, LANES)))

    return loop


@pytest.mark.parametrize("name", REFERENCES)
def test_elementary(benchmark, name):
    x, out = aligned_zeros((N,), np.float32), aligned_zeros((N,), np.float32)
    low, high = (0.0, 1.0) if name == "log1p" else (-5.0, 5.0)  # log1p is for softplus, whose argument is exp(-|z|)
    x[...] = np.random.default_rng(0).uniform(low, high, N)
    loop = compiled(name)
    loop(x, out)
    np.testing.assert_allclose(out, REFERENCES[name](x.astype(np.float64)), rtol=1e-6)
    benchmark(loop, x, out)
