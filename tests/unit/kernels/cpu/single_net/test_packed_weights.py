"""Packed weights: panels that products read, compared with the matrices they are copied from."""

import numba
import numpy as np
import pytest
from panels import panels_of

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.single_net.packed_weights import (
    copy_to_panels,
    copy_to_panels_past_caches,
    transpose_to_panels,
    transpose_to_panels_past_caches,
)
from fastmlp.kernels.cpu.workspace import (
    K_BLOCK,
    PACK_FOR_TWO,
    PACK_FROM,
    PACK_ROWS,
    VECTOR_BYTES,
    WEIGHT_CHUNK_ROWS,
    packed_starts,
)
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import offset
from fastmlp.kernels.structs import aligned_zeros

pytestmark = pytest.mark.thinned(3)


def compiled(copies):
    @numba.njit(**OPTIONS)
    def run(w, first, last, n, fan_in, out):
        copies(offset(w, 0), 0, first, last, n, fan_in, offset(out, 0), 0)

    return run


COPIES = [compiled(copies) for copies in (copy_to_panels, copy_to_panels_past_caches)]
TRANSPOSES = [compiled(copies) for copies in (transpose_to_panels, transpose_to_panels_past_caches)]
BOTH = pytest.mark.parametrize("past_caches", (0, 1))


def check(run, w, expected):
    """Pack in two parts, as two threads do; each part begins at a multiple of WEIGHT_CHUNK_ROWS."""
    rows, n = w.shape
    middle, out = rows // 2 // WEIGHT_CHUNK_ROWS * WEIGHT_CHUNK_ROWS, aligned_zeros(expected.size, w.dtype)
    for first, last in ((0, middle), (middle, rows)):
        run(w.reshape(-1), first, last, n, rows, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.full
@pytest.mark.thinned(28)
@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(1, 1), (5, 40), (16, 16), (33, 17), (70, 48), (97, 67), (40, 2 * K_BLOCK + 43)])
def test_transposed_panels_equal_numpy(rows, n, dtype, past_caches, rng):
    w = rng.normal(size=(rows, n)).astype(dtype)
    check(TRANSPOSES[past_caches], w, panels_of(w.T))


@pytest.mark.thinned(24)
@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows, n", [(1, 1), (5, 40), (33, 17), (70, 320), (97, 67), (2 * K_BLOCK + 43, 50)])
def test_panels_equal_numpy(rows, n, dtype, past_caches, rng):
    w = rng.normal(size=(rows, n)).astype(dtype)
    check(COPIES[past_caches], w, panels_of(w))


@pytest.mark.parametrize("itemsize", [4, 8])
def test_packed_starts_depend_on_layer_and_batch_size(itemsize):
    sizes, width = [5, PACK_FROM, 7, PACK_FROM + 1, PACK_FROM - 1], 2 * VECTOR_BYTES // itemsize
    lengths = [5 * -(-PACK_FROM // width) * width, 7 * -(-(PACK_FROM + 1) // width) * width]
    starts, end = packed_starts(sizes, PACK_ROWS, 1, itemsize)
    assert (starts.tolist(), end) == ([0, -1, lengths[0], -1], sum(lengths))
    starts, end = packed_starts(sizes, PACK_ROWS - 1, 1, itemsize)
    assert (starts.tolist(), end) == ([-1] * 4, 0)
    starts, end = packed_starts([300, PACK_FOR_TWO, PACK_FOR_TWO - 1], 1, 2, itemsize)
    assert (starts.tolist(), end) == ([0, -1], 300 * PACK_FOR_TWO)
