"""The number of lanes as a type: one function for vectors of several widths, against NumPy."""

from typing import NamedTuple

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.jit.decorators import OPTIONS, helper
from fastmlp.kernels.simd.lanes import Lanes, with_lanes
from fastmlp.kernels.simd.load_store import as_pointers, fill, load, offset, store

WIDTHS = {4: Lanes(4), 8: Lanes(8)}


class Rows(NamedTuple):
    p: np.ndarray
    lanes: int


@helper
def scale(p, n, factor, lanes):
    """Multiply n vectors by a number, and write the width to the first lane of each."""
    for i in range(0, n * lanes, lanes):
        store(p, i, load(p, i, lanes) * fill(p, factor, lanes))
    for row in range(n):
        p[row * lanes] = min(int(lanes), 100)


@pytest.mark.parametrize("lanes", WIDTHS)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_a_function_is_compiled_for_its_width(lanes, dtype, rng):
    width = WIDTHS[lanes]

    @numba.njit(**OPTIONS)
    def run(p, n):
        scale(offset(p, 0), n, 2.0, width)

    given = rng.normal(size=(3, lanes)).astype(dtype)
    found = given.copy()
    run(found.reshape(-1), 2)
    np.testing.assert_array_equal(found[:2, 1:], 2 * given[:2, 1:])
    np.testing.assert_array_equal(found[:2, 0], lanes)
    np.testing.assert_array_equal(found[2], given[2])


def test_a_struct_carries_its_width(rng):
    width = WIDTHS[4]

    @numba.njit(**OPTIONS)
    def run(rows, n):
        block = with_lanes(as_pointers(rows), width)
        scale(block.p, n, 3.0, block.lanes)

    p = np.ones(8, np.float32)
    run(Rows(p, 0), 2)
    np.testing.assert_array_equal(p, [4, 3, 3, 3] * 2)


def test_in_python_it_is_a_number():
    assert list(range(0, 8, Lanes(4))) == [0, 4]
    assert Lanes(4) * 2 == 8
