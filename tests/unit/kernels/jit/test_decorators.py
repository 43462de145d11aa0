"""Decorators of kernels, helpers and formulas: compiled code and Python functions."""

from functools import cache

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.jit.decorators import OPTIONS, Formulas, formula, helper, selector
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


@cache
def driver():
    @numba.njit(**OPTIONS)
    def run(code, x, out):
        store(out, 0, select(code, load(x, 0, 4)))

    return run


def test_formulas_remain_python_functions():
    assert double(3) == 6
    np.testing.assert_array_equal(halve(np.array([2.0, 4.0])), [1.0, 2.0])


@pytest.mark.parametrize("code, function", list(enumerate((double, halve, oppose))))
def test_selector_calls_the_formula_of_a_code(code, function):
    x, out = np.arange(4.0), np.zeros(4)
    driver()(code, x, out)
    np.testing.assert_array_equal(out, function(x))


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
