"""SIMD vectors: comparisons with NaN, ratios, and masked lanes. Other operations are compared in nets."""

import sys

import numba
import numpy as np
import pytest

from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import fill, load, store
from fastmlp.kernels.simd.reductions import sum_lanes
from fastmlp.kernels.simd.vector import ratio, where


@numba.njit(**OPTIONS)
def run(a, b, out):
    """Four vectors of comparisons, a sum, and the first vectors of a over those of b; a and b have 16 lanes."""
    v, w = load(a, 0, 16), load(b, 0, 16)
    store(out, 0, where(v < w, 1.0, 0.0))
    store(out, 16, where(v <= w, 1.0, 0.0))
    store(out, 32, where(v > w, 1.0, 0.0))
    store(out, 48, where(v >= w, 1.0, 0.0))
    store(out, 64, fill(a, sum_lanes(v), 16))
    store(out, 80, ratio(v, w))


def rows_of(a, b):
    out = np.full((6, 16), 7.0, a.dtype)
    run(a, b, out.reshape(-1))
    return out


def test_comparisons_with_nan_are_false():
    """Comparisons are ordered: NaN is neither less, greater nor equal. A sum with NaN is NaN."""
    nan, one = np.full(16, np.nan, np.float32), np.ones(16, np.float32)
    for a, b in ((nan, one), (one, nan), (nan, nan)):
        assert not rows_of(a, b)[:4].any()
    assert np.isnan(rows_of(nan, one)[4]).all()
    np.testing.assert_array_equal(rows_of(one, 2 * one)[:5, 0], [1, 1, 0, 0, 16])


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_ratio_is_within_two_ulps_over_the_whole_range(dtype, rng):
    """Within 2 units in the last place for every size of divisor that leaves the quotient a normal number."""
    top = 0.9 * np.log10(np.finfo(dtype).max)
    for power in np.linspace(-top, top, 300):
        b = np.abs(rng.normal(size=16) * 10.0**power).astype(dtype)
        a = rng.normal(size=16).astype(dtype) * b
        exact = a.astype(np.longdouble) / b
        assert (np.abs(rows_of(a, b)[5] - exact) <= 2 * np.finfo(dtype).eps * np.abs(exact)).all()
    assert not rows_of(np.zeros(16, dtype), np.full(16, 1e-8, dtype))[5].any()


GUARDED = """
import ctypes, mmap
import numba, numpy as np
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import load_partial, store_partial

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 2 * page)
whole = np.frombuffer(memory, np.uint8)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + page), ctypes.c_size_t(page), 0) == 0

@numba.njit(**OPTIONS)
def double(array, n):
    v = load_partial(array, 0, n, 16)
    store_partial(array, 0, n, v + v)

for n in range(1, 17):
    end = whole[page - n * 4 : page].view(np.float32)
    end[:] = np.arange(n) + 1
    double(end, n)
    assert (end == 2 * (np.arange(n) + 1)).all()
print("untouched", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="guard pages are made with mprotect")
def test_masked_lanes_touch_no_memory(fresh_python):
    """The array ends at a protected page, in a separate process, which an access would kill."""
    done = fresh_python(GUARDED)
    assert (done.returncode, done.stdout.strip()) == (0, "untouched"), done.stderr
