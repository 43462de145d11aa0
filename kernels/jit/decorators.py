"""The house decorators. They only take note: Numba is imported when a kernel has to be compiled (compiler.py), not
when its machine code is on disk already (call.py).

formula   a scalar formula, written as mathematics; plain Python outside kernels, compiled for SIMD vectors inside
inner     a helper that only kernels call; compiled into its callers
inlined   an inner helper that is called from one place only
kernel    called from Python, through call.py: it releases the GIL, takes numbers, arrays and named tuples of both, and
          returns nothing
selector  an if chain over a table of functions, one integer comparison per row; loop_selector of loops around them
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

# error_model="numpy": the default leaves an exception exit at every division, which stops LLVM from vectorising.
# No "nnan", no "ninf": divergence must stay visible. No "reassoc": elementary.py's two-step range reduction needs
# its order of operations, and every sum over lanes is written out with vectors.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "afn"}}
ENTRY = "fastmlp_entry"  # the C function of a compiled kernel


class Formulas:
    """Formulas so far, and what is to be done with each, once there is a compiler."""

    def __init__(self) -> None:
        self._waiting: list[Callable] = []
        self._take: Callable = self._waiting.append

    def add(self, function: Callable) -> None:
        self._take(function)

    def hand_to(self, compile_formula: Callable) -> None:
        self._take = compile_formula
        for function in self._waiting:
            compile_formula(function)


FORMULAS = Formulas()


class Helper:
    """What kernels call; compiler.py tells Numba how. The function itself is `py_func`."""

    def __init__(self, function: Callable, is_inlined: bool = False):
        self.py_func, self.is_inlined = function, is_inlined
        self.dispatcher: Any = None  # Numba's, once there is one


class Kernel:
    """A function that call.py calls in its compiled form."""

    def __init__(self, function: Callable):
        self.py_func = function
        self.__name__ = function.__name__


def formula(function: Callable) -> Callable:
    """Compile `function` for SIMD vectors where a kernel calls it, and leave it a plain Python function elsewhere."""
    FORMULAS.add(function)
    return function


def helper(function: Callable) -> Helper:
    """A helper of kernels. It is compiled into its callers and never cached by itself."""
    return Helper(function)


def inline_helper(function: Callable) -> Helper:
    """An inner helper that disappears into its caller: for those called from one place with named tuples, whose fields
    would be copied one by one at each call (measured: 80 ns of an epoch of 220)."""
    return Helper(function, is_inlined=True)


def kernel(function: Callable) -> Kernel:
    """What Python calls of a kernel family; its machine code is kept on disk, where a folder can be written."""
    return Kernel(function)


def selector(functions: Sequence[Any], n_arguments: int) -> Helper:
    """`select(code, *arguments)` returns functions[code](*arguments); a row in a table is all it takes to add one."""
    names = ", ".join(f"x{k}" for k in range(n_arguments))
    lines = [f"def select(code, {names}):"]
    lines += [f"    if code == {code}:\n        return f{code}({names})" for code in range(len(functions) - 1)]
    lines += [f"    return f{len(functions) - 1}({names})"]
    scope: dict[str, Any] = {f"f{code}": f for code, f in enumerate(functions)}
    exec("\n".join(lines), scope)
    return helper(scope["select"])


def loop_selector(functions: Sequence[Any], arguments: str, body: str, **names: Any) -> Helper:
    """`select(code, *arguments)` runs `body`, where FORMULA is functions[code] and `names` are what they say: a code
    chooses a loop, never an operation inside one. All of them are one function, which takes less to compile than one
    each.
    """
    lines = [f"def select(code, {arguments}):"]
    for code in range(len(functions)):
        lines += [f"    if code == {code}:"]
        lines += [f"        {line}" for line in inspect.cleandoc(body).replace("FORMULA", f"f{code}").splitlines()]
    scope = names | {f"f{code}": f for code, f in enumerate(functions)}
    exec("\n".join(lines), scope)
    return helper(scope["select"])
