"""Products on parts of flat arrays, against NumPy in float64."""

import numba
import numpy as np
import pytest
from panels import panels_of
from tolerances import TOLERANCES

import fastmlp.kernels.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.product import plain_product
from fastmlp.kernels.cpu.work import PACK_FROM, PACK_ROWS, ROWS, K, scratch_size
from fastmlp.kernels.jit import OPTIONS
from fastmlp.kernels.memory import offset


@numba.njit(**OPTIONS)
def run_product(trans_a, m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch):
    plain_product(
        trans_a, m, n, k, offset(a, 0), a0, lda, offset(b, 0), b0, ldb, adds, offset(c, 0), c0, ldc,
        offset(scratch, 0), 0,
    )  # fmt: skip


SHAPES = [
    (1, 1, 1), (1, 33, 5), (ROWS, 32, 7), (ROWS + 1, 31, 9), (3, 16, 2), (2 * ROWS - 1, 100, 40),
    (1, 300, 5), (1, 2 * PACK_FROM + 17, K + 1), (2, 2 * PACK_FROM, K + 1),
    (PACK_ROWS, PACK_FROM, K), (PACK_ROWS + 3, PACK_FROM + 5, K + 1), (40, PACK_FROM + 17, 2 * K + 3),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_product(m, n, k, adds, trans_a, dtype, rng):
    """Matrices that are parts of longer rows, at an offset, and an output whose surroundings must stay as they are."""
    a = rng.normal(size=(k, m + 3) if trans_a else (m, k + 3)).astype(dtype)
    b = rng.normal(size=(k, n + 2)).astype(dtype)
    c = np.full((m + 2, n + 5), 7.0, dtype)
    scratch = np.full(scratch_size(n, a.itemsize) + 64, np.nan, dtype)
    run_product(
        trans_a, m, n, k, a.reshape(-1), 1, a.shape[1], b.reshape(-1), 2, n + 2, adds,
        c.reshape(-1), c.shape[1] + 3, c.shape[1], scratch,
    )  # fmt: skip
    left = a[:, 1 : m + 1].T if trans_a else a[:, 1 : k + 1]
    right = b[:, 2 : n + 2]
    expected = left.astype(np.float64) @ right.astype(np.float64) + (7.0 if adds else 0.0)
    tolerance = TOLERANCES["value", dtype] * np.sqrt(k)
    np.testing.assert_allclose(c[1 : m + 1, 3 : n + 3], expected, rtol=tolerance, atol=tolerance)
    c[1 : m + 1, 3 : n + 3] = 7.0
    assert (c == 7.0).all(), "the product wrote outside its matrix"
    assert np.isnan(scratch[scratch_size(n, a.itemsize) :]).all(), "the product wrote outside its scratch"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_product_with_panels(m, n, k, dtype, rng):
    """The same bits as without."""
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    found, expected = np.full((2, m, n + 3), 7.0, dtype)
    scratch = np.empty(scratch_size(n, a.itemsize), dtype)
    for right, ldb, c in ((b.reshape(-1), n, expected), (panels_of(b), 0, found)):
        run_product(False, m, n, k, a.reshape(-1), 0, k, right, 0, ldb, False, c.reshape(-1), 0, n + 3, scratch)
    np.testing.assert_array_equal(found, expected)
    tolerance = TOLERANCES["value", dtype] * np.sqrt(k)
    np.testing.assert_allclose(found[:, :n], a.astype(float) @ b.astype(float), rtol=tolerance, atol=tolerance)
