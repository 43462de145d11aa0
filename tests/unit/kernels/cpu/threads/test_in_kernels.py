"""Inside kernels: work stealing, and denormal numbers flushed to zero, there only:
tests/reliability/test_floating_point_mode.py looks at the callers of fits.
"""

from __future__ import annotations

from itertools import product

import numba
import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp import MLP, Population, Quickprop
from fastmlp.kernels.cpu.threads.in_kernels import IS_X86, flush_denormals, next_chunk, restore_denormals
from fastmlp.kernels.cpu.workspace import LINE_OF_COUNTS
from fastmlp.kernels.jit.decorators import OPTIONS


@numba.njit(**OPTIONS)
def run_next_chunk(thread, n_threads, counts, n, tried):
    return next_chunk(thread, n_threads, counts, n, tried)


def test_every_chunk_is_taken_once(rng):
    """Threads ask in random order, the first of them far more often."""
    for n_threads, n in product((1, 2, 3, 5), (0, 1, 2, 7, 40)):
        counts = np.zeros(n_threads * LINE_OF_COUNTS, np.int64)
        tried, taken, busy = [0] * n_threads, [], set(range(n_threads))
        while busy:
            thread = int(min(rng.choice(sorted(busy), 3)))
            chunk, tried[thread] = run_next_chunk(thread, n_threads, counts, n, tried[thread])
            if chunk < 0:
                busy.remove(thread)
            else:
                taken.append(chunk)
        assert sorted(taken) == list(range(n))


@numba.njit(**OPTIONS)
def products(a, flushed, kept):
    """Write squares of a, first with denormals flushed, then with denormals kept."""
    before = flush_denormals()
    for i in range(len(a)):
        flushed[i] = a[i] * a[i]
    restore_denormals(before)
    for i in range(len(a)):
        kept[i] = a[i] * a[i]


@pytest.mark.skipif(not IS_X86, reason="only x86 processors take a detour for denormal numbers, and have this mode")
def test_denormals_are_flushed_only_between_flush_and_restore():
    a = np.array([1e-21, 1.0], np.float32)
    flushed, kept = np.empty_like(a), np.empty_like(a)
    products(a, flushed, kept)
    assert flushed.tolist() == [0.0, 1.0]
    assert kept[0] > 0.0


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_quickprop_keeps_weights_of_dead_units(dtype):
    """Where gradients vanish a comparison 0 >= 0 would let the steps grow for ever."""
    net = MLP((2, 4, 1), hidden_activation="relu", dtype=dtype, random_state=0)
    start = net.params.copy()
    net.biases[0][:2] = -100.0
    dead = net.weights[0][:, :2].copy()
    net.fit(XOR_X, XOR_Y, epochs=200, optimizer=Quickprop(0.05), verbose=0)
    np.testing.assert_array_equal(net.weights[0][:, :2], dead)
    assert np.isfinite(net.params).all()
    assert (net.params != start).any()


def test_quickprop_of_nets_in_lanes_stays_finite_where_gradients_vanish():
    pop = Population((2, 2, 1), 2000, hidden_activation="sigmoid", output_activation="sigmoid", random_state=0)
    result = pop.fit(XOR_X, XOR_Y, epochs=800, optimizer=Quickprop(0.5), verbose=0)
    assert np.isfinite(result.loss).all()
    assert (result.loss < 0.01).mean() > 0.1
