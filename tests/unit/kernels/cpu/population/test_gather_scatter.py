"""Gather and scatter of parameters into lanes and back, compared with NumPy; other memory stays unchanged."""

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.population.gather_scatter import (
    SIDES,
    load_block,
    load_lane,
    store_block,
    store_lane,
    transpose,
)
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.lanes import Lanes
from fastmlp.kernels.simd.load_store import offset
from fastmlp.kernels.structs import LANES

pytestmark = pytest.mark.thinned(3)

SIZES = sorted({2, 3, *SIDES, *(side + 1 for side in SIDES), 2 * max(SIDES) - 1, 41})
WIDTH = Lanes(LANES)


@numba.njit(**OPTIONS)
def run_transpose(a, a0, n_rows, n_columns, out, out0):
    transpose(offset(a, 0), a0, n_rows, n_columns, offset(out, 0), out0)


@numba.njit(**OPTIONS)
def run_block(params, start, n, p, back, other):
    load_block(offset(params, 0), start, n, offset(p, 0), WIDTH)
    store_block(offset(p, 0), n, offset(back, 0), start, WIDTH)
    for lane in range(LANES):
        load_lane(offset(params, 0), start + lane * n, n, offset(other, 0), lane, WIDTH)


@numba.njit(**OPTIONS)
def run_lane(p, lane, n, params, start):
    store_lane(offset(p, 0), lane, n, offset(params, 0), start, WIDTH)


@pytest.mark.thinned(24)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("n_columns", SIZES)
@pytest.mark.parametrize("n_rows", (2, 5, LANES))
def test_transpose_equals_numpy_and_writes_only_its_output(n_rows, n_columns, dtype, rng):
    a = rng.normal(size=n_rows * n_columns + 7).astype(dtype)
    out = np.full(a.size + 3, 7.0, dtype)
    run_transpose(a, 4, n_rows, n_columns, out, 5)
    expected = a[4 : 4 + n_rows * n_columns].reshape(n_rows, n_columns).T.ravel()
    np.testing.assert_array_equal(out[5 : 5 + expected.size], expected)
    np.testing.assert_array_equal(np.delete(out, slice(5, 5 + expected.size)), 7.0)


@pytest.mark.thinned(12)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("n", SIZES)
def test_block_of_lanes_round_trips(n, dtype, rng):
    start = 3 * n
    params = rng.normal(size=(LANES + 5, n)).astype(dtype)
    p, other, back = np.empty((n, LANES), dtype), np.empty((n, LANES), dtype), np.full_like(params, 7.0)
    run_block(params.reshape(-1), start, n, p.reshape(-1), back.reshape(-1), other.reshape(-1))
    np.testing.assert_array_equal(p, params[3 : 3 + LANES].T)
    np.testing.assert_array_equal(other, p)
    np.testing.assert_array_equal(back[3 : 3 + LANES], params[3 : 3 + LANES])
    np.testing.assert_array_equal(np.delete(back, slice(3, 3 + LANES), axis=0), 7.0)
    run_lane(p.reshape(-1), 2, n, back.reshape(-1), 0)
    np.testing.assert_array_equal(back[0], params[5])
