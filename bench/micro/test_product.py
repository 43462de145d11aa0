"""Matrix products A B and A' B by the package's GEMM, float32, one thread. FLOP/s are 2 m n k by the time."""

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba about the kernels' helpers
from fastmlp.kernels.cpu.gemm.gemm import product, product_kind
from fastmlp.kernels.cpu.gemm.microkernel import Matrix
from fastmlp.kernels.cpu.workspace import scratch_size
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import offset
from fastmlp.kernels.structs import aligned_zeros

PLAIN = product_kind()
SHAPES = [(32, 64, 64), (128, 512, 784), (512, 512, 512)]  # m, n, k


@numba.njit(nogil=True, **OPTIONS)
def multiply(transposed, m, n, k, a, b, c, scratch):
    lda = m if transposed else k
    a, b, c = Matrix(offset(a, 0), 0, lda), Matrix(offset(b, 0), 0, n), Matrix(offset(c, 0), 0, n)
    product(PLAIN, transposed, m, n, k, a, b, False, c, offset(scratch, 0), 0)


@pytest.mark.parametrize("transposed", [False, True], ids=["AB", "AtB"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_product(benchmark, shape, transposed):
    m, n, k = shape
    rng = np.random.default_rng(0)
    A, B, C = (aligned_zeros(size, np.float32) for size in ((k, m) if transposed else (m, k), (k, n), (m, n)))
    A[...], B[...] = rng.standard_normal(A.shape), rng.standard_normal(B.shape)
    scratch = aligned_zeros(scratch_size(n, 4), np.float32)
    arguments = transposed, m, n, k, A.reshape(-1), B.reshape(-1), C.reshape(-1), scratch
    multiply(*arguments)
    np.testing.assert_allclose(C, (A.T if transposed else A) @ B, atol=1e-3)
    benchmark(multiply, *arguments)
