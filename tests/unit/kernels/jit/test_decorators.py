"""Decorators of kernels, helpers and formulas: compiled code and Python functions."""

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


def test_formulas_remain_python_functions():
    assert double(3) == 6
    np.testing.assert_array_equal(halve(np.array([2.0, 4.0])), [1.0, 2.0])


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_selector_calls_the_formula_of_a_code(code, function):
    x, out = np.arange(4.0), np.zeros(4)
    driver()(code, x, out)
    np.testing.assert_array_equal(out, function(x))


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_loop_selector_runs_the_loop_of_a_code(code, function):
    x, out = np.arange(12.0), np.full(12, 7.0)
    loop_driver()(code, x, out, 8)
    np.testing.assert_array_equal(out, [*function(x[:8]), *4 * [7.0]])
    loop_driver()(3, x, out, 12)  # no row has that code
    np.testing.assert_array_equal(out[8:], 7.0)


def test_helpers_cannot_be_called_from_python():
    """Helpers are optimised only within their callers, so that a call from Python must fail."""

    @helper
    def plus_one(x):
        return x + 1

    with pytest.raises(TypeError):
        plus_one(1)


def test_compiler_options_preserve_nan_and_order_of_sums():
    """No option hides a NaN or an infinity, reorders sums, or raises at divisions."""
    assert OPTIONS["error_model"] == "numpy"
    assert not OPTIONS["fastmath"] & {"nnan", "ninf", "reassoc", "fast"}


def test_formulas_are_registered_once_before_or_after_the_compiler():
    """A formula defined before or after Numba is loaded is passed to the compiler once."""
    formulas, compiled = Formulas(), []
    formulas.add(double)
    formulas.hand_to(compiled.append)
    formulas.add(halve)
    assert compiled == [double, halve]
