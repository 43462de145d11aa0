"""Decorators of kernels, helpers and formulas: compiled code and Python functions."""

import pytest

from fastmlp.kernels.jit.decorators import OPTIONS, Formulas, formula, helper


@formula
def double(x):
    return x + x


@formula
def halve(x):
    return x / 2.0


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
    assert double(3) == 6, "a formula remains a Python function"
