"""Formulas of activations in terms of other functions than NumPy's: C text, nodes of a graph, functions of PyTorch.

A formula is a Python function of one number whose globals name functions of kernels/formulas/numpy_math.py. Called with
an operand that has its own arithmetic, and with its globals exchanged, it writes itself in other terms.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import pi
from types import FunctionType, SimpleNamespace
from typing import Any

from . import numpy_math

FUNCTIONS = tuple(name for name, value in vars(numpy_math).items() if inspect.isfunction(value))


def retargeted(formula: Callable, functions: Mapping[str, Callable]) -> Callable:
    """Return a formula that calls `functions` in place of the functions of numpy_math with the same names."""
    exchanged: dict[str, Any] = {}
    for name in formula.__code__.co_names:
        value = formula.__globals__.get(name)
        if value is numpy_math:
            exchanged[name] = SimpleNamespace(**functions)
        elif inspect.isfunction(value) and value.__module__ == numpy_math.__name__:
            exchanged[name] = functions[value.__name__]
    return FunctionType(formula.__code__, {**formula.__globals__, **exchanged})


def with_composed(functions: Mapping[str, Callable]) -> dict[str, Callable]:
    """Return functions on operands, and those of numpy_math that are made of them and of arithmetic."""
    exp = functions["exp"]
    return {
        "ratio": lambda a, b: a / b,
        "multiply_add": lambda a, b, c: a * b + c,
        "normal_density": lambda z: exp(z * z * -0.5) * (2.0 * pi) ** -0.5,
        **functions,
    }


def _operation(symbol: str, is_swapped: bool = False) -> Callable[[Any, Any], Any]:
    """Return the method of Operand for an operation; is_swapped : whether the operand stands on the right"""

    def combined(operand: Any, other: Any) -> Any:
        return operand.combined(symbol, other, operand) if is_swapped else operand.combined(symbol, operand, other)

    return combined


class Operand(ABC):
    """A number in a formula. Subclasses define what an operation of two operands is."""

    @abstractmethod
    def combined(self, symbol: str, left: Any, right: Any) -> Any:
        """Return the operand for `left symbol right`, of which one may be a number.

        symbol : "+", "-", "*", "/", "<", "<=", ">" or ">="
        """

    __add__, __radd__ = _operation("+"), _operation("+", is_swapped=True)
    __sub__, __rsub__ = _operation("-"), _operation("-", is_swapped=True)
    __mul__, __rmul__ = _operation("*"), _operation("*", is_swapped=True)
    __truediv__, __rtruediv__ = _operation("/"), _operation("/", is_swapped=True)
    __lt__, __le__, __gt__, __ge__ = (_operation(symbol) for symbol in ("<", "<=", ">", ">="))

    def __neg__(self) -> Any:
        return self.combined("*", -1.0, self)
