"""Matrix products (GEMM) write their matrix and nothing else. tests/properties/test_gradients.py compares products of
all shapes in nets.
"""

from itertools import product as combinations

import numba
import numpy as np
from tolerances import TOLERANCES

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.gemm.gemm import product, product_kind
from fastmlp.kernels.cpu.gemm.microkernel import Matrix
from fastmlp.kernels.cpu.gemm.skinny_gemm import DOTS, MOST_COLUMNS, SUMS_OF_ROWS
from fastmlp.kernels.cpu.workspace import K_BLOCK, PACK_FROM, PACK_ROWS, TILE_ROWS, scratch_size
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import offset

FORWARD, TRANSPOSED = product_kind(skinny=DOTS), product_kind(skinny=SUMS_OF_ROWS)
SHAPES = [  # m, n, k: around tiles, panels and blocks, and few columns
    (1, 1, 1),
    (1, 33, 5),
    (TILE_ROWS, 32, 7),
    (1, 2 * PACK_FROM + 17, K_BLOCK + 1),
    (PACK_ROWS, PACK_FROM, K_BLOCK),
    (40, PACK_FROM + 17, 2 * K_BLOCK + 3),
    (7, 1, 30),
    (130, MOST_COLUMNS, 2 * K_BLOCK + 300),
    (37, 5, K_BLOCK + 3),
]


@numba.njit(**OPTIONS)
def run_product(trans_a, shape, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch):
    """The products that layers use."""
    m, n, k = shape
    a, b, c = Matrix(offset(a, 0), a0, lda), Matrix(offset(b, 0), b0, ldb), Matrix(offset(c, 0), c0, ldc)
    if trans_a:
        product(TRANSPOSED, trans_a, m, n, k, a, b, adds, c, offset(scratch, 0), 0)
    else:
        product(FORWARD, trans_a, m, n, k, a, b, adds, c, offset(scratch, 0), 0)


def test_products_write_only_their_output(rng):
    """Matrices are parts of longer rows, at an offset, and memory around the output must stay unchanged."""
    for (m, n, k), trans_a, adds in combinations(SHAPES, (False, True), (False, True)):
        a = rng.normal(size=(k, m + 3) if trans_a else (m, k + 3)).astype(np.float32)
        b, c = rng.normal(size=(k, n + 2)).astype(np.float32), np.full((m + 2, n + 5), 7.0, np.float32)
        scratch = np.full(scratch_size(n, a.itemsize) + 64, np.nan, np.float32)
        left, right = (a[:, 1 : m + 1].T if trans_a else a[:, 1 : k + 1]), b[:, 2 : n + 2]
        matrices = (a.ravel(), 1, m + 3 if trans_a else k + 3, b.ravel(), 2, n + 2)
        run_product(trans_a, (m, n, k), *matrices, adds, c.reshape(-1), n + 5 + 3, n + 5, scratch)
        expected = left.astype(float) @ right.astype(float) + 7.0 * adds
        tolerance = TOLERANCES["value", "float32"] * np.sqrt(k)
        np.testing.assert_allclose(c[1 : m + 1, 3 : n + 3], expected, rtol=tolerance, atol=tolerance)
        c[1 : m + 1, 3 : n + 3] = 7.0
        assert (c == 7.0).all(), "the product wrote outside its matrix"
        assert np.isnan(scratch[scratch_size(n, a.itemsize) :]).all(), "the product wrote outside its scratch"
