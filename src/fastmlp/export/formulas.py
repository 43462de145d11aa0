"""Formulas of activations in terms of other functions than NumPy's: C text, nodes of a graph, functions of PyTorch.

A formula is a Python function of one number whose globals name functions of kernels/formulas/numpy_math.py. Called with
an operand that has its own arithmetic, and with its globals exchanged, it writes itself in other terms.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any

from ..kernels.formulas import numpy_math

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


class Operand(ABC):
    """A number in a formula. Subclasses define what an operation of two operands is."""

    @abstractmethod
    def combined(self, symbol: str, left: Any, right: Any) -> Any:
        """Return the operand for `left symbol right`, of which one may be a number.

        symbol : "+", "-", "*", "/", "<", "<=", ">" or ">="
        """

    def __add__(self, other: Any) -> Any:
        return self.combined("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self.combined("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self.combined("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self.combined("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self.combined("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self.combined("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self.combined("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.combined("/", other, self)

    def __neg__(self) -> Any:
        return self.combined("*", -1.0, self)

    def __lt__(self, other: Any) -> Any:
        return self.combined("<", self, other)

    def __le__(self, other: Any) -> Any:
        return self.combined("<=", self, other)

    def __gt__(self, other: Any) -> Any:
        return self.combined(">", self, other)

    def __ge__(self, other: Any) -> Any:
        return self.combined(">=", self, other)
