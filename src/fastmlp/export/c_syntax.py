"""Pieces of C text: literals, arrays, comments, functions, and operands that write a formula as an expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..kernels.formulas.operands import Operand, with_composed

NUMBERS_A_LINE = 10


class Text(Operand):
    """An expression of C."""

    def __init__(self, text: str):
        self.text = text

    def __str__(self) -> str:
        return self.text

    def combined(self, symbol: str, left: Any, right: Any) -> Text:
        return Text(f"({expression(left)} {symbol} {expression(right)})")


def expression(operand: Any) -> str:
    return operand.text if isinstance(operand, Text) else literal(operand)


def functions(p: str) -> dict[str, Callable[..., Text]]:
    """Return the functions of numpy_math on expressions; p begins the names of functions in the file."""
    names = {"absolute": "fabsf", "sigmoid": f"{p}sigmoid", "softplus": f"{p}softplus"}
    names |= {name: f"{name}f" for name in ("sqrt", "exp", "expm1", "log", "log1p", "tanh")}
    calls: dict[str, Callable[..., Text]] = {
        name: lambda z, called=called: Text(f"{called}({expression(z)})") for name, called in names.items()
    }
    calls["where"] = lambda mask, a, b: Text(f"({expression(mask)} ? {expression(a)} : {expression(b)})")
    calls["normal_cdf"] = lambda z: Text(f"erfcf({expression(z * -(0.5**0.5))})") * 0.5
    return with_composed(calls)


def literal(number: float) -> str:
    """Return a number as a float of C, which is read back to the bit.

    >>> literal(0.1), literal(3), literal(1e30)
    ('0.100000001f', '3.0f', '1.00000002e+30f')
    """
    return _float_texts([float(np.float32(number))])[0]


def _float_texts(numbers: list[float]) -> list[str]:
    texts = [f"{number:.9g}" for number in numbers]
    return [f"{text}f" if "." in text or "e" in text else f"{text}.0f" for text in texts]


def array(kind: str, name: str, values: np.ndarray) -> str:
    """Return the definition of a constant array; kind is float or double."""
    flat = np.asarray(values).reshape(-1)
    texts = _float_texts(flat.astype(np.float32).tolist()) if kind == "float" else [repr(v) for v in flat.tolist()]
    lines = [", ".join(texts[k : k + NUMBERS_A_LINE]) for k in range(0, len(texts), NUMBERS_A_LINE)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n  " + ",\n  ".join(lines) + "\n};"


def comment(lines: Iterable[str]) -> str:
    """Return a comment, in which no name of a column or class can end it or cause a warning."""
    safe = [ascii(line)[1:-1] for line in lines]
    for part in ("*/", "/*", "??"):
        safe = [line.replace(part, f"{part[0]} {part[1]}") for line in safe]
    return "/* " + "\n   ".join(safe).replace("\n   \n", "\n\n") + " */"


def function(head: str, body: Sequence[str]) -> str:
    return "\n".join([f"static inline {head} {{", *[f"  {line}" for line in body], "}"])
