"""The house decorators: what is compiled, and what stays Python."""

from functools import cache

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.jit.decorators import OPTIONS, Formulas, formula, helper, loop_selector, selector
from fastmlp.kernels.simd.load_store import load, store


@formula
def double(x):
    return x + x


@formula
def halve(x):
    return x / 2.0


@formula
def oppose(x):
    return 0.0 - x


select = selector((double, halve, oppose), 1)

select_loop = loop_selector(
    (double, halve, oppose),
    "x, out, n",
    """
    for i in range(0, n, 4):
        store(out, i, FORMULA(load(x, i, 4)))
    """,
    load=load,
    store=store,
)


@cache
def driver():
    @numba.njit(**OPTIONS)
    def run(code, x, out):
        store(out, 0, select(code, load(x, 0, 4)))

    return run


@cache
def loop_driver():
    @numba.njit(**OPTIONS)
    def run(code, x, out, n):
        select_loop(code, x, out, n)

    return run


def test_formulas_stay_python_functions():
    assert double(3) == 6
    np.testing.assert_array_equal(halve(np.array([2.0, 4.0])), [1.0, 2.0])


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_selector(code, function):
    x, out = np.arange(4.0), np.zeros(4)
    driver()(code, x, out)
    np.testing.assert_array_equal(out, function(x))


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_loop_selector(code, function):
    x, out = np.arange(12.0), np.full(12, 7.0)
    loop_driver()(code, x, out, 8)
    np.testing.assert_array_equal(out, [*function(x[:8]), *4 * [7.0]])
    loop_driver()(3, x, out, 12)  # no row has that code
    np.testing.assert_array_equal(out[8:], 7.0)


def test_helpers_are_not_for_python():
    """They are optimised inside their callers only; a call from Python fails instead of doing something else."""

    @helper
    def plus_one(x):
        return x + 1

    with pytest.raises(TypeError):
        plus_one(1)


def test_options():
    """No assumption that hides a NaN or an infinity, no reordering of sums, no exception exit at divisions."""
    assert OPTIONS["error_model"] == "numpy"
    assert not OPTIONS["fastmath"] & {"nnan", "ninf", "reassoc", "fast"}


def test_formulas_wait_for_a_compiler():
    """Whether they are written before Numba is loaded or after, each is handed over once."""
    formulas, compiled = Formulas(), []
    formulas.add(double)
    formulas.hand_to(compiled.append)
    formulas.add(halve)
    assert compiled == [double, halve]
