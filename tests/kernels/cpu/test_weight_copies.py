"""The copies of weights that products read, against the matrices they are of."""

import numba
import numpy as np
import pytest
from panels import panels_of

import fastmlp.kernels.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.weight_copies import copy_to_panels, transpose_to_panels
from fastmlp.kernels.cpu.work import PACK_FOR_TWO, PACK_FROM, PACK_ROWS, UNIT, VECTOR_BYTES, K, packed_starts
from fastmlp.kernels.jit import OPTIONS
from fastmlp.kernels.memory import offset


@numba.njit(**OPTIONS)
def run_transpose_to_panels(w, w0, first, last, n, fan_in, out, out0):
    transpose_to_panels(offset(w, 0), w0, first, last, n, fan_in, offset(out, 0), out0)


@numba.njit(**OPTIONS)
def run_copy_to_panels(w, w0, first, last, n, fan_in, out, out0):
    copy_to_panels(offset(w, 0), w0, first, last, n, fan_in, offset(out, 0), out0)


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
    starts, end = packed_starts(sizes, PACK_ROWS, 1, itemsize)
    assert (starts.tolist(), end) == ([0, -1, lengths[0], -1], sum(lengths))
    starts, end = packed_starts(sizes, PACK_ROWS - 1, 1, itemsize)
    assert (starts.tolist(), end) == ([-1] * 4, 0)
    starts, end = packed_starts([300, PACK_FOR_TWO, PACK_FOR_TWO - 1], 1, 2, itemsize)
    assert (starts.tolist(), end) == ([0, -1], 300 * PACK_FOR_TWO)
