"""Products with samples in lanes, at sizes around their blocks, and sums over lanes, compared with NumPy."""

from functools import cache

import numba
import numpy as np
import pytest
from tolerances import TOLERANCES

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.gemm.operands import Matrix
from fastmlp.kernels.cpu.single_net import batch_simd_products, one_vector_products
from fastmlp.kernels.cpu.single_net.batch_simd_products import LayerWeights
from fastmlp.kernels.cpu.workspace import LANES_LARGE, LANES_SMALL
from fastmlp.kernels.jit.decorators import OPTIONS, helper
from fastmlp.kernels.simd.lanes import Lanes
from fastmlp.kernels.simd.load_store import load, offset, store
from fastmlp.kernels.simd.reductions import sum_lanes_4, sum_lanes_8

pytestmark = pytest.mark.thinned(3)


@helper
def doubled(y, start, size, extra):
    """The epilogue of a product; doubles each row, so that a row visited twice or never is noticed."""
    for i in range(start, start + size):
        y[i] = y[i] * extra


@cache
def compiled(lanes, products=batch_simd_products):
    width, dense, weight_gradients = Lanes(lanes), products.dense, products.weight_gradients

    @numba.njit(**OPTIONS)
    def run_dense(p, w0, out_step, in_step, biased, b0, x, x0, n_in, n_out, columns, y, y0):
        weights = LayerWeights(offset(p, 0), w0, b0)
        x, y = Matrix(offset(x, 0), x0, columns), Matrix(offset(y, 0), y0, columns)
        dense(weights, out_step, in_step, biased, n_in, n_out, x, y, doubled, 2.0, width)

    @numba.njit(**OPTIONS)
    def run_gradients(a, delta, n_in, n_out, columns, g, w0, b0):
        weight_gradients(offset(a, 0), 0, offset(delta, 0), 0, n_in, n_out, columns, offset(g, 0), w0, b0, width)

    @numba.njit(**OPTIONS)
    def run_totals(x, out):
        v0, v1, v2, v3 = load(x, 0, lanes), load(x, lanes, lanes), load(x, 2 * lanes, lanes), load(x, 3 * lanes, lanes)
        u, v = sum_lanes_8(v3, v2, v1, v0, v0, v1, v2, v3)
        store(out, 0, sum_lanes_4(v0, v1, v2, v3))
        store(out, 4, u)
        store(out, 8, v)

    return run_dense, run_gradients, run_totals


@pytest.mark.thinned(64)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("vectors", (1, 2, 3, 5))
@pytest.mark.parametrize("n_in, n_out", [(1, 1), (2, 3), (3, 4), (5, 5), (8, 7), (9, 8)])
@pytest.mark.parametrize("lanes", (LANES_SMALL, LANES_LARGE))
def test_products_of_batch_simd_equal_numpy(lanes, n_in, n_out, vectors, dtype, rng):
    check_products(batch_simd_products, lanes, n_in, n_out, vectors, dtype, rng)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("n_in, n_out", [(1, 1), (3, 4), (5, 5), (8, 7)])
def test_products_of_one_vector_equal_numpy(n_in, n_out, dtype, rng):
    check_products(one_vector_products, LANES_SMALL, n_in, n_out, 1, dtype, rng)


def check_products(products, lanes, n_in, n_out, vectors, dtype, rng):
    run_dense, run_gradients, _ = compiled(lanes, products)
    columns, times = vectors * lanes, 2 if products is batch_simd_products else 1  # products of one vector call nothing
    x, delta = (rng.normal(size=(n, columns)).astype(dtype) for n in (n_in, n_out))
    w, b = rng.normal(size=(n_in, n_out)).astype(dtype), rng.normal(size=n_out).astype(dtype)
    p = np.concatenate([np.zeros(3, dtype), w.ravel(), b])
    near = {"rtol": 0.0, "atol": 10 * columns * TOLERANCES["value", dtype]}

    y = np.full(n_out * columns + 9, 7.0, dtype)
    run_dense(p, 3, 1, n_out, True, 3 + w.size, x.ravel(), 0, n_in, n_out, columns, y, 5)
    np.testing.assert_allclose(y[5:-4].reshape(n_out, columns), times * (w.T @ x + b[:, None]), **near)
    assert (np.delete(y, slice(5, -4)) == 7.0).all()

    y = np.full(n_in * columns, 7.0, dtype)
    run_dense(p, 3, n_out, 1, False, 0, delta.ravel(), 0, n_out, n_in, columns, y, 0)
    np.testing.assert_allclose(y.reshape(n_in, columns), times * (w @ delta), **near)

    g = np.full(p.size + 2, 7.0, dtype)
    run_gradients(x.ravel(), delta.ravel(), n_in, n_out, columns, g, 3, 3 + w.size)
    np.testing.assert_allclose(g[3 : 3 + w.size].reshape(n_in, n_out), x @ delta.T, **near)
    np.testing.assert_allclose(g[3 + w.size : -2], delta.sum(axis=1), **near)
    assert (g[:3] == 7.0).all()
    assert (g[-2:] == 7.0).all()


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("lanes", (LANES_SMALL, LANES_LARGE))
def test_sum_lanes_equals_numpy(lanes, dtype, rng):
    x, out = rng.normal(size=(4, lanes)).astype(dtype), np.full(13, 7.0, dtype)
    compiled(lanes)[2](x.ravel(), out)
    sums = x.sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(out[:12], [*sums, *sums[::-1], *sums], rtol=100 * TOLERANCES["value", dtype])
    assert out[12] == 7.0
