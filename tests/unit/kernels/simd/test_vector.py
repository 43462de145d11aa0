"""SIMD vectors: each operation is compared with NumPy, and memory past a vector stays unchanged."""

import sys
from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import pytest

from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import (
    as_pointers,
    fill,
    load,
    load_partial,
    load_scalar,
    offset,
    scalar_like,
    store,
    store_partial,
    transpose_square,
)
from fastmlp.kernels.simd.reductions import largest, sum_lanes
from fastmlp.kernels.simd.vector import absolute, keep_first, multiply_add, ratio, sqrt, where

pytestmark = pytest.mark.thinned(3)

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


@pytest.mark.thinned(24)
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("lanes", (4, 16))
@pytest.mark.parametrize("row", range(len(ROWS)), ids=[name for name, _ in ROWS])
def test_vector_operations_equal_numpy(row, lanes, dtype, rng):
    a, b = rng.normal(size=(2, lanes)).astype(dtype)
    b[1] = a[1]  # so that "less" and "at most" differ
    for n in range(1, lanes + 1):
        expected = ROWS[row][1](a, b, n).astype(dtype)
        np.testing.assert_allclose(run(a, b, n)[row], expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("lanes", (4, 16))
def test_store_partial_leaves_the_rest(lanes, dtype, rng):
    a = rng.normal(size=lanes).astype(dtype)
    for n in range(lanes + 1):
        np.testing.assert_array_equal(run(a, a, n)[-1], [*a[:n], *[7.0] * (lanes - n)])


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_comparisons_with_nan_are_false(dtype):
    """Comparisons are ordered: NaN is neither less, greater nor equal."""
    a, b = np.array([np.nan, 1, np.nan, np.inf], dtype), np.array([1, np.nan, np.nan, -np.inf], dtype)
    rows = dict(zip([name for name, _ in ROWS], run(a, b, 4), strict=False))
    for comparison in ("less", "at most", "greater", "at least"):
        assert rows[comparison][:3].tolist() == [0, 0, 0]
    assert rows["greater"][3] == 1
    assert np.isnan(rows["add"]).tolist() == [True, True, True, True]  # inf - inf too
    assert np.isnan(rows["total"]).all()


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
@pytest.mark.parametrize("lanes", (4, 16))
def test_ratio_is_within_two_ulps_over_the_whole_range(lanes, dtype, rng):
    """Within 2 units in the last place for every size of divisor that leaves the quotient a normal number."""
    top = 0.9 * np.log10(np.finfo(dtype).max)
    for power in np.linspace(-top, top, 300):
        b = np.abs(rng.normal(size=lanes) * 10.0**power).astype(dtype)
        a = rng.normal(size=lanes).astype(dtype) * b
        exact = a.astype(np.longdouble) / b
        value = dict(zip([name for name, _ in ROWS], run(a, b, 1), strict=False))["ratio"]
        assert (np.abs(value - exact) <= 2 * np.finfo(dtype).eps * np.abs(exact)).all()
    zero = run(np.zeros(lanes, dtype), np.full(lanes, 1e-8, dtype), 1)
    assert not zero[[name for name, _ in ROWS].index("ratio")].any()


class Pair(NamedTuple):
    array: np.ndarray
    count: int


@numba.njit(**OPTIONS)
def through_pointers(pair, out):
    """out[k] = array[k + 1] + count, as kernels read arrays: bare pointers, no bounds, no reference counts."""
    pointers = as_pointers(pair)
    second = offset(pointers.array, 1)
    for k in range(3):
        out[k] = load_scalar(second, k) + scalar_like(second, pointers.count)


@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int64))
def test_struct_arrays_become_pointers(dtype):
    out = np.zeros(3, dtype)
    through_pointers(Pair(np.arange(4).astype(dtype), 10), out)
    assert out.tolist() == [11, 12, 13]


@numba.njit(**OPTIONS)
def run_transpose(a, a_row, out, out_row):
    transpose_square(a, 1, a_row, out, 2, out_row, 16)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_transpose_square_equals_numpy_and_writes_only_its_output(dtype):
    """A square within longer rows is transposed into another; memory around it stays unchanged."""
    a, out = np.arange(16 * 19).reshape(16, 19).astype(dtype), np.full((17, 20), -1, dtype)
    run_transpose(a.reshape(-1), 19, out.reshape(-1), 20)
    np.testing.assert_array_equal(out[:16, 2:18], a[:, 1:17].T)
    out[:16, 2:18] = -1
    assert (out == -1).all()


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

for dtype in (np.float32, np.float64):
    size = np.dtype(dtype).itemsize
    for n in range(1, 17):
        end = whole[page - n * size : page].view(dtype)
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
