"""Denormal numbers are flushed to zero inside kernels, and only there: tests/reliability/test_floating_point_mode.py
looks at the callers of fits.
"""

import numba
import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, Population, Quickprop
from fastmlp.kernels.cpu.threads.in_kernels import IS_X86, flush_denormals, restore_denormals
from fastmlp.kernels.jit.decorators import OPTIONS


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
