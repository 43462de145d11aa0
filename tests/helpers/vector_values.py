"""Activations as kernels compute them: on SIMD vectors, whose elementary functions are not NumPy's."""

import numba
import numpy as np

from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd import elementary  # noqa: F401 formulas of vectors
from fastmlp.kernels.simd.load_store import load, store

FAR = (-0.9, -1e-6, 1e-8, 0.9)  # of the largest number of a dtype


def far_from_zero(dtype):
    """Return 8 pre-activations far from 0, up to nearly the largest number."""
    return np.array([*(share * np.finfo(dtype).max for share in FAR), -1e4, -200.0, 200.0, 1e4], dtype)


def vector_values(row, z):
    """Return an activation's values and derivatives at z, an array of 8 numbers."""
    value_of, slope_of, needs_z = row.value, row.derivative, row.needs_z

    @numba.njit(**OPTIONS)
    def run(z, value, slope):
        v = load(z, 0, 8)
        a = value_of(v)
        store(value, 0, a)
        store(slope, 0, slope_of(v if needs_z else a))

    value, slope = np.empty_like(z), np.empty_like(z)
    run(z, value, slope)
    return value, slope
