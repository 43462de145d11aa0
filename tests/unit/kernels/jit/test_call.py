"""Calls of kernels from Python: arguments, type checks, and warm processes without Numba."""

import math
import weakref
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from numba.core.errors import TypingError

from fastmlp.kernels.jit import call
from fastmlp.kernels.jit.compiler import library
from fastmlp.kernels.jit.decorators import kernel
from fastmlp.kernels.simd.load_store import as_pointers


class Parts(NamedTuple):
    flag: bool
    n: int
    x: float
    numbers: np.ndarray
    table: np.ndarray


@kernel
def spread(first, parts, last, out):
    p = as_pointers(parts)
    out[0], out[1], out[2], out[3] = first, p.n, p.x, last
    out[4] = 1.0 if p.flag else 0.0
    out[5], out[6] = p.numbers[1], parts.numbers.size
    out[7], out[8], out[9] = parts.table[1, 2], parts.table.shape[0], parts.table.size


def test_arguments_reach_the_kernel():
    table = np.arange(12, dtype=np.int64).reshape(3, 4)
    for dtype, flag in product(("float32", "float64"), (True, False)):
        numbers, out = np.array([1.5, 2.5, 3.5], dtype), np.zeros(10)
        call.call(spread, dtype, -3, Parts(flag, 2**40, 0.25, numbers, table), np.float64(1e300), out)
        np.testing.assert_array_equal(out, [-3, 2**40, 0.25, 1e300, flag, 2.5, 3, 6, 3, 12])
    empty = np.zeros(4, np.float32)[1:1]
    empty.flags.writeable = False
    call.call(spread, "float32", 0, Parts(True, 1, 1.0, empty, table), 0.0, out)
    assert out[6] == 0


def test_prepared_call_replaces_its_first_and_last_array():
    x, table, out = np.array([1.0, 2.0]), np.arange(6).reshape(2, 3), np.zeros(10)
    parts = Parts(True, 1, 0.5, x, table)
    repeated = call.PreparedCall(spread, "repeated", (7, parts, 0.25, out), (x, out))
    for n in (1, 2, 3):
        numbers, out = np.array([1.0, 10.0 * n]), np.zeros(10)
        repeated(numbers, out)
        np.testing.assert_array_equal(out, [7, 1, 0.5, 0.25, 1, 10 * n, 2, 5, 2, 6])
    known = weakref.ref(numbers), weakref.ref(out)
    del numbers, out
    assert [ref() for ref in known] == [None, None], "arguments are kept alive"
    numbers, out = np.zeros(2), np.zeros(10)
    with pytest.raises(AssertionError, match="called again for"):
        repeated(numbers.astype(np.float32), out)


class Few(NamedTuple):
    x: float


@kernel
def take(few, out):
    out[0] = as_pointers(few).x


def test_struct_with_other_field_types_raises():
    """A kernel compiled for one set of field types must not be called with another."""
    call.call(take, "first", Few(0.5), np.zeros(1))
    with pytest.raises(TypeError, match=r"All Few must have real numbers in the same fields, but not Few"):
        call.call(take, "second", Few(1), np.zeros(1))


def test_wrong_argument_types_raise(monkeypatch):
    """FASTMLP_CHECK_TYPES checks that arguments have the types that a kernel was compiled for."""
    monkeypatch.setattr(call, "CHECK_TYPES", True)
    parts = Parts(True, 1, 1.0, np.zeros(2), np.zeros((2, 3), np.int64))
    out = np.zeros(10)
    call.call(spread, "checked", 0, parts, 0.0, out)
    for wrong in (parts._replace(x=1), parts._replace(numbers=np.zeros(2, np.float32)), parts._replace(n=1.0)):
        with pytest.raises(AssertionError, match="was compiled for"):
            call.call(spread, "checked", 0, wrong, 0.0, out)
    with pytest.raises(AssertionError, match="strided"):
        call.call(spread, "checked", 0, parts._replace(numbers=np.zeros(4)[::2]), 0.0, out)
    with pytest.raises(TypeError, match="named tuples of both, but not a str"):
        call.call(spread, "text", 0, parts, "last", out)


def test_kernels_with_library_calls_or_allocations_are_refused():
    """Code that calls a library might not load without Numba, and kernels must not allocate memory."""

    @kernel
    def calls(out):
        out[0] = math.tan(out[0])

    @kernel
    def allocates(out):
        out[0] = np.zeros(3)[1]

    with pytest.raises(AssertionError, match="tan, which is in no process by itself"):
        library(calls, (np.zeros(1),))
    with pytest.raises(TypingError):
        library(allocates, (np.zeros(1),))


PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np, fastmlp
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
net = fastmlp.MLP((2, 3, 1), hidden_activation="tanh", random_state=0, device="cpu")
net.fit(X, y, epochs=50, verbose=0)
pop = fastmlp.Population((2, 2, 1), 3, random_state=0, device="cpu")
pop.fit(X, y, epochs=5, verbose=0)
print(net.predict(X).ravel().tolist(), pop.params.sum(), "numba" in sys.modules, "scipy" in sys.modules)
"""


def test_warm_process_does_not_import_numba(fresh_python):
    """The first process may find its kernels in the cache as well, from other tests."""
    first, warm = fresh_python(PROGRAM), fresh_python(PROGRAM)
    assert (first.returncode, first.stderr, warm.stderr) == (0, "", "")
    assert warm.stdout.split()[-2:] == ["False", "False"]
    assert first.stdout.split()[:-2] == warm.stdout.split()[:-2]
