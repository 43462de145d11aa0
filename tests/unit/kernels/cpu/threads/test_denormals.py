"""Denormal numbers are flushed to zero inside kernels, and only there."""

import numba
import numpy as np
import pytest
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import MLP, Population
from fastmlp.kernels.cpu.threads.barrier import IS_X86
from fastmlp.kernels.cpu.threads.denormals import flush_denormals, restore_denormals
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
@pytest.mark.parametrize("dtype, small", [("float32", 1e-21), ("float64", 1e-158)])
def test_denormals_are_flushed_only_between_flush_and_restore(dtype, small):
    a = np.array([small, 1.0], dtype)
    flushed, kept = np.empty_like(a), np.empty_like(a)
    products(a, flushed, kept)
    assert flushed.tolist() == [0.0, 1.0]
    assert kept[0] > 0.0


def test_fits_restore_denormals_of_the_caller():
    fits = (
        (MLP((2, 3, 1), random_state=0), {}),
        (MLP((2, 40, 40, 1), random_state=0), {}),
        (Population((2, 3, 1), 40, random_state=0), {}),
        (MLP((2, 3, 1), random_state=0), {"early_stopping": 3}),
    )
    for net, options in fits:
        net.fit(XOR_X, XOR_Y, epochs=2, verbose=0, **options)
        assert np.float32(1e-30) * np.float32(1e-10) > 0.0


def test_quickprop_in_float32_learns_as_in_float64():
    """Nets whose gradients vanish must stop, since a comparison 0 >= 0 would let their steps grow for ever."""
    learned, start = [], np.random.default_rng(0).normal(size=(2000, 9))
    for dtype in ("float32", "float64"):
        pop = Population((2, 2, 1), 2000, hidden_activation="sigmoid", output_activation="sigmoid", dtype=dtype)
        pop.params = start
        result = pop.fit(XOR_X, XOR_Y, epochs=800, optimizer=fastmlp.Quickprop(0.5), verbose=0)
        assert np.isfinite(result.loss).all()
        learned.append((result.loss < 0.01).mean())
    assert abs(learned[0] - learned[1]) < 0.02


def test_quickprop_keeps_weights_of_dead_units():
    net = MLP((2, 4, 1), hidden_activation="relu", dtype="float64", random_state=0)
    start = net.params.copy()
    net.biases[0][:2] = -100.0
    dead = net.weights[0][:, :2].copy()
    net.fit(XOR_X, XOR_Y, epochs=200, optimizer=fastmlp.Quickprop(0.05), verbose=0)
    np.testing.assert_array_equal(net.weights[0][:, :2], dead)
    assert np.isfinite(net.params).all()
    assert (net.params != start).any()
