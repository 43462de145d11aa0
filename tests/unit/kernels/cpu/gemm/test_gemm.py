"""Matrix products (GEMM) on parts of flat arrays, compared with NumPy in float64."""

import numba
import numpy as np
import pytest
from panels import panels_of
from tolerances import TOLERANCES

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.gemm.gemm import PLAIN, panel_sums, product, product_kind
from fastmlp.kernels.cpu.gemm.operands import Matrix, Prefetch
from fastmlp.kernels.cpu.gemm.skinny_gemm import DOTS, MOST_COLUMNS, SIDE, SUMS_OF_ROWS, suits_dots, suits_sums_of_rows
from fastmlp.kernels.cpu.single_net import elementwise
from fastmlp.kernels.cpu.workspace import K_BLOCK, PACK_FROM, PACK_ROWS, TILE_ROWS, scratch_size
from fastmlp.kernels.jit.decorators import OPTIONS, helper
from fastmlp.kernels.simd.load_store import offset

pytestmark = pytest.mark.thinned(3)

column_sums = helper(elementwise.column_sums.py_func)
FORWARD, TRANSPOSED = product_kind(skinny=DOTS), product_kind(skinny=SUMS_OF_ROWS)


@numba.njit(**OPTIONS)
def run_product(trans_a, m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch):
    """The products that layers use."""
    a, b, c = Matrix(offset(a, 0), a0, lda), Matrix(offset(b, 0), b0, ldb), Matrix(offset(c, 0), c0, ldc)
    if trans_a:
        product(TRANSPOSED, trans_a, m, n, k, a, b, adds, c, offset(scratch, 0), 0)
    else:
        product(FORWARD, trans_a, m, n, k, a, b, adds, c, offset(scratch, 0), 0)


@numba.njit(**OPTIONS)
def run_plain_product(trans_a, m, n, k, a, lda, b, ldb, c, scratch):
    a, b, c = Matrix(offset(a, 0), 0, lda), Matrix(offset(b, 0), 0, ldb), Matrix(offset(c, 0), 0, n)
    product(PLAIN, trans_a, m, n, k, a, b, False, c, offset(scratch, 0), 0)


@helper
def all_of_b_ahead(nowhere, i, tile, depth, extra):
    b, width = extra
    return Prefetch(offset(b, tile * depth * width), width) if i > 0 else nowhere


FETCHING = product_kind(ahead=all_of_b_ahead)


@numba.njit(**OPTIONS)
def run_fetching_product(m, n, k, a, lda, b, ldb, c, scratch):
    b0 = offset(b, 0)
    a, b, c = Matrix(offset(a, 0), 0, lda), Matrix(b0, 0, ldb), Matrix(offset(c, 0), 0, n)
    product(FETCHING, True, m, n, k, a, b, False, c, offset(scratch, 0), (b0, n))


@numba.njit(**OPTIONS)
def run_sums(b, panels, k, n, first, last, adds, sums, sums_of_panels):
    column_sums(offset(b, 0), 0, k, n, first, last, adds, offset(sums, 0), 1)
    panel_sums(offset(panels, 0), 0, k, n, first, last, adds, offset(sums_of_panels, 0), 1)


SHAPES = [
    (1, 1, 1),
    (1, 33, 5),
    (TILE_ROWS, 32, 7),
    (TILE_ROWS + 1, 31, 9),
    (3, 16, 2),
    (2 * TILE_ROWS - 1, 100, 40),
    (1, 300, 5),
    (1, 2 * PACK_FROM + 17, K_BLOCK + 1),
    (2, 2 * PACK_FROM, K_BLOCK + 1),
    (PACK_ROWS, PACK_FROM, K_BLOCK),
    (PACK_ROWS + 3, PACK_FROM + 5, K_BLOCK + 1),
    (40, PACK_FROM + 17, 2 * K_BLOCK + 3),
]

FEW_COLUMNS = [
    (1, 1, 300),
    (7, 1, 30),
    (7, 3, 100),
    (130, MOST_COLUMNS, 2 * K_BLOCK + 300),
    (37, 5, K_BLOCK + 3),
    (100, 2, 16),
]


@pytest.mark.thinned(144)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("m, n, k", SHAPES + FEW_COLUMNS)
def test_product_equals_numpy_and_writes_only_its_output(m, n, k, adds, trans_a, dtype, rng):
    """Matrices are parts of longer rows, at an offset, and memory around the output must stay unchanged."""
    a = rng.normal(size=(k, m + 3) if trans_a else (m, k + 3)).astype(dtype)
    b = rng.normal(size=(k, n + 2)).astype(dtype)
    c = np.full((m + 2, n + 5), 7.0, dtype)
    scratch = np.full(scratch_size(n, a.itemsize) + 64, np.nan, dtype)
    run_product(
        trans_a,
        m,
        n,
        k,
        a.reshape(-1),
        1,
        a.shape[1],
        b.reshape(-1),
        2,
        n + 2,
        adds,
        c.reshape(-1),
        c.shape[1] + 3,
        c.shape[1],
        scratch,
    )
    left = a[:, 1 : m + 1].T if trans_a else a[:, 1 : k + 1]
    right = b[:, 2 : n + 2]
    expected = left.astype(np.float64) @ right.astype(np.float64) + (7.0 if adds else 0.0)
    tolerance = TOLERANCES["value", dtype] * np.sqrt(k)
    np.testing.assert_allclose(c[1 : m + 1, 3 : n + 3], expected, rtol=tolerance, atol=tolerance)
    c[1 : m + 1, 3 : n + 3] = 7.0
    assert (c == 7.0).all(), "the product wrote outside its matrix"
    assert np.isnan(scratch[scratch_size(n, a.itemsize) :]).all(), "the product wrote outside its scratch"


def product_of(trans_a, a, b):
    m, k = a.shape[::-1] if trans_a else a.shape
    n, c = b.shape[1], np.empty((m, b.shape[1]), a.dtype)
    scratch = np.empty(scratch_size(n, a.itemsize), a.dtype)
    run_product(
        trans_a, m, n, k, a.reshape(-1), 0, a.shape[1], b.reshape(-1), 0, n, False, c.reshape(-1), 0, n, scratch
    )
    return c


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", (1, 2, min(MOST_COLUMNS, SIDE - 1)))
def test_transposed_product_of_few_columns_equals_columns_of_a_wide_one(n, dtype, rng):
    """Equal to the bit, since the number of rows of a thread decides which code runs."""
    a, b = rng.normal(size=(K_BLOCK + 77, 203)).astype(dtype), np.zeros((K_BLOCK + 77, 40), dtype)
    b[:, :n] = rng.normal(size=(len(b), n))
    assert [suits_sums_of_rows.py_func(True, 203, columns, K_BLOCK) for columns in (n, 40)] == [True, False]
    np.testing.assert_array_equal(product_of(True, a, b[:, :n].copy()), product_of(True, a, b)[:, :n])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", (1, 3))
def test_row_of_a_product_is_independent_of_the_other_rows(n, dtype, rng):
    a, b = rng.normal(size=(9, K_BLOCK + 77)).astype(dtype), rng.normal(size=(K_BLOCK + 77, n)).astype(dtype)
    assert suits_dots.py_func(False, 9, n, K_BLOCK)
    whole = product_of(False, a, b)
    for first, last in ((0, 1), (1, 9), (3, 8)):
        np.testing.assert_array_equal(product_of(False, a[first:last].copy(), b), whole[first:last])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_packed_panels_change_no_bit_of_a_product(m, n, k, dtype, rng):
    """A product that reads packed panels gives the same bits as one that reads the matrix."""
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    found, expected = np.full((2, m, n + 3), 7.0, dtype)
    scratch = np.empty(scratch_size(n, a.itemsize), dtype)
    for right, ldb, c in ((b.reshape(-1), n, expected), (panels_of(b), 0, found)):
        run_product(False, m, n, k, a.reshape(-1), 0, k, right, 0, ldb, False, c.reshape(-1), 0, n + 3, scratch)
    np.testing.assert_array_equal(found, expected)
    tolerance = TOLERANCES["value", dtype] * np.sqrt(k)
    np.testing.assert_allclose(found[:, :n], a.astype(float) @ b.astype(float), rtol=tolerance, atol=tolerance)


@pytest.mark.full
@pytest.mark.thinned(32)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("in_panels", [False, True])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_prefetching_changes_no_bit_of_a_product(m, n, k, in_panels, dtype, rng):
    """Prefetched lines may lie anywhere, past the ends of arrays too."""
    a, b = rng.normal(size=(k, m)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    found, expected = np.full((2, m, n), 7.0, dtype)
    scratch = np.empty(scratch_size(n, a.itemsize), dtype)
    right, ldb = (panels_of(b), 0) if in_panels else (b.reshape(-1), n)
    run_plain_product(True, m, n, k, a.reshape(-1), m, right, ldb, expected.reshape(-1), scratch)
    run_fetching_product(m, n, k, a.reshape(-1), m, right, ldb, found.reshape(-1), scratch)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.thinned(24)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize(
    "k, n, first, last",
    [
        (1, 1, 0, 1),
        (7, 40, 16, 40),
        (K_BLOCK, 100, 0, 100),
        (2 * K_BLOCK + 3, 70, 32, 64),
        (3 * K_BLOCK, 70, 48, 70),
        (5, 33, 32, 32),
    ],
)
def test_column_sums_of_matrix_and_panels_equal_numpy(k, n, first, last, adds, dtype, rng):
    """Sums from panels have the same bits as sums from the matrix."""
    b, sums = rng.normal(size=(k, n)).astype(dtype), rng.normal(size=n + 2).astype(dtype)
    found, expected = sums.copy(), sums.copy()
    run_sums(b.reshape(-1), panels_of(b), k, n, first, last, adds, expected, found)
    np.testing.assert_array_equal(found, expected)
    total = b[:, first:last].sum(axis=0, dtype=np.float64) + (sums[first + 1 : last + 1] if adds else 0.0)
    np.testing.assert_allclose(found[first + 1 : last + 1], total, rtol=1e-4, atol=1e-4)
