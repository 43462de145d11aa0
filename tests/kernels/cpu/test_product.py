"""Products and transposes on parts of flat arrays, against NumPy in float64."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from tolerances import TOLERANCES

import fastmlp.kernels.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.product import SIDE, plain_product
from fastmlp.kernels.cpu.weight_copies import copy_to_panels, transpose_to_panels
from fastmlp.kernels.cpu.work import PACK_FROM, PACK_ROWS, ROWS, UNIT, VECTOR_BYTES, K, packed_starts, scratch_size
from fastmlp.kernels.jit import OPTIONS
from fastmlp.kernels.memory import offset


@numba.njit(**OPTIONS)
def run_product(trans_a, m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch):
    plain_product(
        trans_a, m, n, k, offset(a, 0), a0, lda, offset(b, 0), b0, ldb, adds, offset(c, 0), c0, ldc,
        offset(scratch, 0), 0,
    )  # fmt: skip


@numba.njit(**OPTIONS)
def run_transpose_to_panels(w, w0, first, last, n, fan_in, out, out0):
    transpose_to_panels(offset(w, 0), w0, first, last, n, fan_in, offset(out, 0), out0)


@numba.njit(**OPTIONS)
def run_copy_to_panels(w, w0, first, last, n, fan_in, out, out0):
    copy_to_panels(offset(w, 0), w0, first, last, n, fan_in, offset(out, 0), out0)


def panels_of(b):
    """B (k, n) in panels, flat, as product.py describes it."""
    k, n = b.shape
    width = 2 * VECTOR_BYTES // b.itemsize
    wide = np.zeros((k, -(-n // width) * width), b.dtype)
    wide[:, :n] = b
    n_blocks = -(-k // K)
    starts = [min(k, -(-(k * i // n_blocks) // SIDE) * SIDE) for i in range(n_blocks + 1)]
    return np.concatenate(
        [wide[start:end, j : j + width].ravel() for start, end in pairwise(starts) for j in range(0, n, width)]
    )


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(1, 1), (5, 40), (16, 16), (33, 17), (70, 48), (97, 67), (40, 2 * K + 43)])
def test_transpose_to_panels(rows, n, dtype, rng):
    """In two parts, as two ranks make them; a rank's part begins at a multiple of UNIT."""
    w, middle = rng.normal(size=(rows, n)).astype(dtype), rows // 2 // UNIT * UNIT
    expected = panels_of(w.T)
    out = np.zeros_like(expected)
    for first, last in ((0, middle), (middle, rows)):
        run_transpose_to_panels(w.reshape(-1), 0, first, last, n, rows, out, 0)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(1, 1), (5, 40), (33, 17), (70, 320), (97, 67), (2 * K + 43, 50)])
def test_copy_to_panels(rows, n, dtype, rng):
    """As above."""
    w, middle = rng.normal(size=(rows, n)).astype(dtype), rows // 2 // UNIT * UNIT
    expected = panels_of(w)
    out = np.zeros_like(expected)
    for first, last in ((0, middle), (middle, rows)):
        run_copy_to_panels(w.reshape(-1), 0, first, last, n, rows, out, 0)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_where_packed_weights_start(itemsize):
    sizes, width = [5, PACK_FROM, 7, PACK_FROM + 1, PACK_FROM - 1], 2 * VECTOR_BYTES // itemsize
    lengths = [5 * -(-PACK_FROM // width) * width, 7 * -(-(PACK_FROM + 1) // width) * width]
    starts, end = packed_starts(sizes, PACK_ROWS, itemsize)
    assert starts.tolist() == [0, -1, lengths[0], -1] and end == sum(lengths)
    starts, end = packed_starts(sizes, PACK_ROWS - 1, itemsize)
    assert (starts == -1).all() and end == 0
