"""SIMD vectors: each operation is compared with NumPy, and memory past a vector stays unchanged."""

import sys
from functools import cache

import numba
import numpy as np
import pytest

from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import fill, load, load_partial, store, store_partial
from fastmlp.kernels.simd.reductions import largest, sum_lanes
from fastmlp.kernels.simd.vector import absolute, keep_first, multiply_add, ratio, sqrt, where

VECTORS = pytest.mark.parametrize("lanes, dtype", [(16, np.float32), (4, np.float64)])
ROWS = (  # what row k of the driver's output must be, in NumPy; n is a number of lanes
    ("load", lambda a, b, n: a),
    ("fill", lambda a, b, n: np.full_like(a, 3.0)),
    ("add", lambda a, b, n: a + b),
    ("sub", lambda a, b, n: a - b),
    ("mul", lambda a, b, n: a * b),
    ("div", lambda a, b, n: a / b),
    ("number on the left", lambda a, b, n: 1.0 - a),
    ("number on the right", lambda a, b, n: a / 3.0),
    ("whole number", lambda a, b, n: 2 * a),
    ("neg", lambda a, b, n: -a),
    ("in place", lambda a, b, n: ((a + b) * b - 1.0) / 2.0),
    ("less", lambda a, b, n: np.where(a < b, 1.0, 0.0)),
    ("at most", lambda a, b, n: np.where(a <= b, 1.0, 0.0)),
    ("greater", lambda a, b, n: np.where(a > b, 1.0, 0.0)),
    ("at least", lambda a, b, n: np.where(a >= b, 1.0, 0.0)),
    ("greater than a number", lambda a, b, n: np.where(a > 0.5, a, -1.0)),
    ("both", lambda a, b, n: np.where((a > 0.0) & (b > 0.0), a, b)),
    ("sqrt", lambda a, b, n: np.sqrt(np.abs(a))),
    ("absolute", lambda a, b, n: np.abs(a)),
    ("keep_first", lambda a, b, n: np.where(np.arange(len(a)) < n, a, b)),
    ("keep_first, a number", lambda a, b, n: np.where(np.arange(len(a)) < n, a, -np.inf)),
    ("load_partial", lambda a, b, n: np.where(np.arange(len(a)) < n, a, 0.0)),
    ("total", lambda a, b, n: np.full_like(a, np.sum(a, dtype=np.float64))),
    ("largest", lambda a, b, n: np.full_like(a, np.max(a))),
    ("ratio", lambda a, b, n: a / np.abs(b)),
    ("multiply_add", lambda a, b, n: a * b + a),
    ("multiply_add, a number", lambda a, b, n: 0.5 * a + b),
)


@cache
def driver(lanes):
    @numba.njit(**OPTIONS)
    def run(a, b, n, out):
        v, w = load(a, 0, lanes), load(b, 0, lanes)
        store(out, 0 * lanes, v)
        store(out, 1 * lanes, fill(a, 3.0, lanes))
        store(out, 2 * lanes, v + w)
        store(out, 3 * lanes, v - w)
        store(out, 4 * lanes, v * w)
        store(out, 5 * lanes, v / w)
        store(out, 6 * lanes, 1.0 - v)
        store(out, 7 * lanes, v / 3.0)
        store(out, 8 * lanes, 2 * v)
        store(out, 9 * lanes, -v)
        x = v
        x += w
        x *= w
        x -= 1.0
        x /= 2.0
        store(out, 10 * lanes, x)
        store(out, 11 * lanes, where(v < w, 1.0, 0.0))
        store(out, 12 * lanes, where(v <= w, 1.0, 0.0))
        store(out, 13 * lanes, where(v > w, 1.0, 0.0))
        store(out, 14 * lanes, where(v >= w, 1.0, 0.0))
        store(out, 15 * lanes, where(v > 0.5, v, -1.0))
        store(out, 16 * lanes, where((v > 0.0) & (w > 0.0), v, w))
        store(out, 17 * lanes, sqrt(absolute(v)))
        store(out, 18 * lanes, absolute(v))
        store(out, 19 * lanes, keep_first(v, n, w))
        store(out, 20 * lanes, keep_first(v, n, -np.inf))
        store(out, 21 * lanes, load_partial(a, 0, n, lanes))
        store(out, 22 * lanes, fill(a, sum_lanes(v), lanes))
        store(out, 23 * lanes, fill(a, largest(v), lanes))
        store(out, 24 * lanes, ratio(v, absolute(w)))
        store(out, 25 * lanes, multiply_add(v, w, v))
        store(out, 26 * lanes, multiply_add(0.5, v, w))
        store_partial(out, 27 * lanes, n, v)

    return run


def run(a, b, n):
    """(len(ROWS) + 1, lanes); the last row, first filled with 7, is what store_partial leaves."""
    lanes = len(a)
    out = np.full((len(ROWS) + 1, lanes), 7.0, a.dtype)
    driver(lanes)(a, b, n, out.reshape(-1))
    return out


@VECTORS
def test_vector_operations_equal_numpy(lanes, dtype, rng):
    a, b = rng.normal(size=(2, lanes)).astype(dtype)
    b[1] = a[1]  # so that "less" and "at most" differ
    for n in range(1, lanes + 1):
        *found, stored = run(a, b, n)
        for (name, operation), values in zip(ROWS, found, strict=True):
            expected = operation(a, b, n).astype(dtype)
            np.testing.assert_allclose(values, expected, rtol=4 * np.finfo(dtype).eps, err_msg=name)
        np.testing.assert_array_equal(stored, [*a[:n], *[7.0] * (lanes - n)])  # store_partial leaves the rest


def test_comparisons_with_nan_are_false():
    """Comparisons are ordered: NaN is neither less, greater nor equal."""
    a, b = np.array([np.nan, 1, np.nan, np.inf]), np.array([1, np.nan, np.nan, -np.inf])
    rows = dict(zip([name for name, _ in ROWS], run(a, b, 4), strict=False))
    for comparison in ("less", "at most", "greater", "at least"):
        assert rows[comparison][:3].tolist() == [0, 0, 0]
    assert rows["greater"][3] == 1
    assert np.isnan(rows["add"]).tolist() == [True, True, True, True]  # inf - inf too
    assert np.isnan(rows["total"]).all()


@VECTORS
def test_ratio_is_within_two_ulps_over_the_whole_range(lanes, dtype, rng):
    """Within 2 units in the last place for every size of divisor that leaves the quotient a normal number."""
    top, place = 0.9 * np.log10(np.finfo(dtype).max), [name for name, _ in ROWS].index("ratio")
    for power in np.linspace(-top, top, 300):
        b = np.abs(rng.normal(size=lanes) * 10.0**power).astype(dtype)
        a = rng.normal(size=lanes).astype(dtype) * b
        exact = a.astype(np.longdouble) / b
        assert (np.abs(run(a, b, 1)[place] - exact) <= 2 * np.finfo(dtype).eps * np.abs(exact)).all()
    assert not run(np.zeros(lanes, dtype), np.full(lanes, 1e-8, dtype), 1)[place].any()


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
