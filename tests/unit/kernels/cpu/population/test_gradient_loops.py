"""Layers of a block's nets against NumPy, lane by lane, for two numbers of lanes."""

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.population.gradient_loops import Units, Weights, dense, weight_gradients
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.lanes import Lanes
from fastmlp.kernels.simd.load_store import offset

FAN_IN, FAN_OUT = 5, 3
N_WEIGHTS = FAN_IN * FAN_OUT
TOLERANCE = 1e-5  # float32, sums of up to seven products of normal numbers


def runners(lanes):
    width = Lanes(lanes)

    @numba.njit(**OPTIONS)
    def run_dense(p, x, m, y, is_transposed):
        p, x, y = offset(p, 0), offset(x, 0), offset(y, 0)
        if is_transposed:
            dense(Weights(p, 0, FAN_OUT, 1, -1), Units(x, 0, FAN_OUT), Units(y, 0, FAN_IN), m, width)
        else:
            dense(Weights(p, 0, 1, FAN_OUT, N_WEIGHTS), Units(x, 0, FAN_IN), Units(y, 0, FAN_OUT), m, width)

    @numba.njit(**OPTIONS)
    def run_gradients(x, delta, m, g, adds):
        gradient = Weights(offset(g, 0), 0, 1, FAN_OUT, N_WEIGHTS)
        weight_gradients(Units(offset(x, 0), 0, FAN_IN), Units(offset(delta, 0), 0, FAN_OUT), m, gradient, adds, width)

    return run_dense, run_gradients


RUNNERS = {lanes: runners(lanes) for lanes in (4, 8)}


def block(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("m", (1, 4, 7))
@pytest.mark.parametrize("lanes", RUNNERS)
def test_dense(lanes, m, rng):
    p, x = block(rng, N_WEIGHTS + FAN_OUT, lanes), block(rng, FAN_IN, m, lanes)
    y, back = np.full((FAN_OUT, m, lanes), np.nan, np.float32), np.full((FAN_IN, m, lanes), np.nan, np.float32)
    run_dense, _ = RUNNERS[lanes]
    run_dense(p.reshape(-1), x.reshape(-1), m, y.reshape(-1), False)
    run_dense(p.reshape(-1), y.reshape(-1), m, back.reshape(-1), True)
    weights, bias = p[:N_WEIGHTS].reshape(FAN_IN, FAN_OUT, lanes).astype(float), p[N_WEIGHTS:]
    np.testing.assert_allclose(y, np.einsum("iol,isl->osl", weights, x) + bias[:, None], atol=TOLERANCE)
    np.testing.assert_allclose(back, np.einsum("iol,osl->isl", weights, y), atol=5 * TOLERANCE)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("m", (1, 6))
@pytest.mark.parametrize("lanes", RUNNERS)
def test_weight_gradients(lanes, m, rng):
    x, delta = block(rng, FAN_IN, m, lanes), block(rng, FAN_OUT, m, lanes)
    g = np.full((N_WEIGHTS + FAN_OUT, lanes), np.nan, np.float32)
    expected = np.concatenate(
        [np.einsum("isl,osl->iol", x.astype(float), delta).reshape(N_WEIGHTS, lanes), delta.sum(1)]
    )
    _, run_gradients = RUNNERS[lanes]
    run_gradients(x.reshape(-1), delta.reshape(-1), m, g.reshape(-1), False)
    np.testing.assert_allclose(g, expected, atol=TOLERANCE)
    run_gradients(x.reshape(-1), delta.reshape(-1), m, g.reshape(-1), True)
    np.testing.assert_allclose(g, 2 * expected, atol=2 * TOLERANCE)
