"""Decorators of formulas, helpers and kernels.

They only register functions: Numba is imported when a kernel has to be compiled (compiler.py), not when its machine
code is on disk (call.py).

formula        a scalar formula, written as mathematics; plain Python outside kernels, compiled for SIMD vectors inside
helper         a function that only kernels call; compiled into its callers
inline_helper  a helper that LLVM must inline
kernel         called from Python through call.py: releases the GIL, takes numbers, arrays and named tuples of both, and
               returns nothing
linked_helper  a helper that is compiled once, to an object file of its own, which kernels are linked with
linked_table   a table of such helpers, of which the rows in use are compiled
selector       an if chain over a table of functions, one integer comparison per row
expression     an expression that is written out from a table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# error_model="numpy": the default leaves an exception exit at every division, which stops LLVM from vectorising. No
# "nnan", no "ninf": divergence must stay visible. No "reassoc": the two-step range reduction in simd/elementary.py
# needs its order of operations, and sums over lanes are written out with vectors.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "afn"}}
ENTRY = "fastmlp_entry"  # name of a compiled kernel's C function


early_formulas: list[Callable] = []  # those that were defined before the compiler was loaded
register_formula: Callable = early_formulas.append  # the compiler puts its own function here


class Helper:
    """A function that kernels call; compiler.py registers it with Numba. The plain function is `py_func`."""

    def __init__(self, function: Callable, is_inlined: bool = False):
        self.py_func, self.is_inlined = function, is_inlined
        self.dispatcher: Any = None  # Numba's dispatcher, created on first use


MOST_ROWS = 64  # of a LinkedTable
# {(codes of a LinkedTable, code): digest} of rows that a program has added, whose codes differ from process to process
own_digests: dict[tuple[str, int], str] = {}
LANES_OF = "lanes of"  # what a function returns: a vector like those of the first field of its first argument


class LinkedHelper:
    """A helper with an object file of its own (linker.py). It must be an attribute of its module."""

    def __init__(self, function: Callable, returns: type | None):
        self.py_func, self.returns = function, returns
        self.name = f"{function.__module__}.{function.__name__}"


class LinkedTable:
    """A function (code, *arguments) that calls functions[code] by its address, one of the functions in use.

    A function is in use, and is compiled, to an object file of its own (linker.py), when a kernel that calls the table
    is called with its code. The table must be an attribute of its module.

    name : dotted name of the table: that of its module, and its own
    make : function that makes a function of the table from a row
    rows : table of formulas, at most MOST_ROWS, with the codes of own formulas after its length
    codes : where a kernel's arguments have the codes: a class of named tuples and its field, "NetSpec.activations"
    returns : what the functions return: float, int, bool, None or LANES_OF
    """

    def __init__(self, name: str, make: Callable[[Any], Helper], rows: Sequence[Any], codes: str, returns: Any = None):
        self.name, self.rows, self.codes, self.returns = name, rows, codes, returns
        self._make, self._functions = make, dict[int, Helper]()

    def function(self, code: int) -> Helper:
        if code not in self._functions:
            self._functions[code] = self._make(self.rows[code])
        return self._functions[code]


class Kernel:
    """A function that Python calls through call.py; its machine code is stored on disk if a folder is writable."""

    def __init__(self, function: Callable):
        self.py_func = function
        self.__name__ = function.__name__


linked_table, kernel = LinkedTable, Kernel


def formula(function: Callable) -> Callable:
    """Compile `function` for SIMD vectors where a kernel calls it, and leave it a plain Python function elsewhere."""
    register_formula(function)
    return function


def helper(function: Callable) -> Helper:
    """Mark a function as a helper of kernels. It is compiled into its callers and never cached separately."""
    return Helper(function)


def inline_helper(function: Callable) -> Helper:
    """Mark a function as a helper that is always inlined.

    For helpers with one caller and named tuples as arguments, whose fields would otherwise be copied one by one at each
    call (measured: 80 ns of an epoch of 220).
    """
    return Helper(function, is_inlined=True)


def linked_helper(returns: type | None = None) -> Callable[[Callable], LinkedHelper]:
    """Mark a function as a helper that is compiled once, to an object file of its own, and linked with its callers.

    For passes over many numbers that several kernels have in common: a kernel is compiled faster then, and the pass not
    again. A call is not inlined, and constants among its arguments are not known to the pass.

    returns : what the function returns: float, int, bool or None
    """
    return lambda function: LinkedHelper(function, returns)


def selector(functions: Sequence[Any], n_arguments: int) -> Helper:
    """Return `select(code, *arguments)`, which calls functions[code]: a new function needs only a table row."""
    names = ", ".join(f"x{k}" for k in range(n_arguments))
    lines = [f"def select(code, {names}):"]
    lines += [f"    if code == {code}:\n        return f{code}({names})" for code in range(len(functions) - 1)]
    lines += [f"    return f{len(functions) - 1}({names})"]
    scope: dict[str, Any] = {f"f{code}": f for code, f in enumerate(functions)}
    exec("\n".join(lines), scope)
    return helper(scope["select"])


def expression(arguments: str, text: str, **names: Any) -> Helper:
    """Return an inlined helper that returns the value of an expression, which its caller writes out from a table.

    arguments : names of the arguments, separated by commas
    text : source of the expression, such as "Pair(first=values[0], second=values[1])"
    names : further global names of the expression
    """
    exec(f"def evaluate({arguments}):\n    return {text}", names)
    return inline_helper(names["evaluate"])
