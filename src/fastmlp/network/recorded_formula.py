"""Recording of a user's formula, a Python function of numbers, in the grammar of this package's formulas.

The function is called once, with operands that write down what is done with them. So it may use names of its own,
closures and other functions, and NumPy's functions where FUNCTIONS has them; branches on a number are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from ..errors import shown
from ..kernels.formulas.operands import Operand

MASKS = "<", "<=", ">", ">="
MOST_POWER = 64  # whole exponents are products


class Recorded(Operand):
    """A number of a formula that is recorded: an argument or a result."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, formula: Formula, text: str, is_mask: bool = False):
        self.formula, self.text, self.is_mask = formula, text, is_mask

    def combined(self, symbol: str, left: Any, right: Any) -> Recorded:
        return self.formula.combined(symbol, left, right)

    def __pow__(self, exponent: Any) -> Any:
        return self.formula.power(self, exponent)

    def __abs__(self) -> Recorded:
        return self.formula.call("absolute", self)

    def __pos__(self) -> Recorded:
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        function = FUNCTIONS.get(ufunc.__name__)
        if function is None or method != "__call__" or options:
            raise self.formula.refusal(f"it calls {ufunc.__name__}")
        return function(self.formula, *inputs)

    def __array_function__(self, function: Callable, types: Any, inputs: Sequence[Any], options: Any) -> Any:
        if function is not np.where or options or len(inputs) != 3:
            raise self.formula.refusal(f"it calls {function.__name__}")
        return self.formula.where(*inputs)

    def __bool__(self) -> bool:
        raise self.formula.refusal("it branches on a number (use np.where(condition, a, b))")

    def __eq__(self, other: object) -> Any:
        raise self.formula.refusal("it compares numbers by == or != (use <, <=, > or >=)")

    __ne__ = __eq__

    def __float__(self) -> float:
        raise self.formula.refusal("it needs a plain number, as functions of `math` do (use those of NumPy)")

    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that NumPy and others ask for
            raise AttributeError(name)
        raise self.formula.refusal(f"it uses `.{name}` of a number")

    def __iter__(self) -> Any:
        raise self.formula.refusal("it takes a number for an array")


class Formula:
    """A recording.

    title : what the formula is, for errors, such as "value of Activation 'gauss'"
    """

    def __init__(self, title: str):
        self.title, self._names = title, dict[str, str]()  # {expression: variable}

    def refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"{self.title} cannot be compiled, since {reason}. A formula is made of + - * / **, comparisons within "
            f"np.where(condition, a, b), and these functions of NumPy and scipy.special: {', '.join(sorted(NAMED))}."
        )

    def source(self, function: Callable, name: str, used: Sequence[str], parameters: Sequence[str]) -> str:
        """Return the source of the function that a formula becomes.

        used : parameters that the user's function takes, among `parameters`
        """
        if not callable(function):
            raise ValueError(f"{self.title} must be a function, but it is {shown(function)}.")
        try:
            result = function(*[Recorded(self, parameter) for parameter in used])
        except (ArithmeticError, AttributeError, TypeError) as error:
            raise ValueError(f"{self.title} cannot be called with ({', '.join(used)}): {error}") from error
        if not isinstance(result, Recorded):  # a vector all the same, as other formulas return
            number = self.text(result)
            result = self.call("where", f"{used[0]} > 0.0", number, number)
        returned = self.text(result)  # which may be one more variable
        lines = [f"    {variable} = {expression}" for expression, variable in self._names.items()]
        return "\n".join([f"def {name}({', '.join(parameters)}):", *lines, f"    return {returned}", ""])

    def text(self, value: Any) -> str:
        """Return an operand as text; a truth value is 1 or 0."""
        if isinstance(value, Recorded):
            if value.formula is not self:
                raise self.refusal("it uses a number of another formula")
            return self.call("where", value.text, "1.0", "0.0").text if value.is_mask else value.text
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
            if not isfinite(value):
                raise self.refusal(f"it has the constant {value}")
            return f"({float(value)!r})" if value < 0 else repr(float(value))
        raise self.refusal(f"it computes with {shown(value)}")

    def _result(self, expression: str) -> Recorded:
        return Recorded(self, self._names.setdefault(expression, f"t{len(self._names)}"))

    def call(self, name: str, *operands: Any) -> Recorded:
        texts = [operand if isinstance(operand, str) else self.text(operand) for operand in operands]
        return self._result(f"{name}({', '.join(texts)})")

    def combined(self, symbol: str, left: Any, right: Any) -> Recorded:
        expression = f"{self.text(left)} {symbol} {self.text(right)}"
        return Recorded(self, expression, is_mask=True) if symbol in MASKS else self._result(expression)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        if not isinstance(condition, Recorded):
            raise self.refusal("the condition of np.where does not depend on its numbers")
        mask = condition.text if condition.is_mask else f"{condition.text} > 0.0"
        return self.call("where", mask, self.text(a), self.text(b))

    def power(self, base: Any, exponent: Any) -> Any:
        if exponent == 0.5:
            return self.call("sqrt", base)
        if not isinstance(exponent, (int, float)) or exponent != int(exponent) or not 0 < abs(exponent) <= MOST_POWER:
            raise self.refusal(f"it has the exponent {shown(exponent)}, which is no whole number up to {MOST_POWER}")
        result, square, rest = None, base, abs(int(exponent))
        while rest:
            if rest % 2:
                result = square if result is None else result * square
            square, rest = square * square if rest > 1 else square, rest // 2
        return result if exponent > 0 else 1.0 / result  # type: ignore[operator]

    def log1p(self, t: Any) -> Recorded:
        """The function of this package is for 0 <= t <= 1."""
        plain = self.call("log", 1.0 + t)
        return self.where(t < 0.0, plain, self.where(t > 1.0, plain, self.call("log1p", t)))

    def softplus(self, a: Any, b: Any) -> Any:
        if isinstance(a, Recorded):
            a, b = b, a
        if isinstance(a, Recorded) or a != 0:
            raise self.refusal("it calls logaddexp with other arguments than 0 and a number")
        return self.call("softplus", b)


def _call(name: str) -> Callable[..., Any]:
    return lambda formula, *operands: formula.call(name, *operands)


def _combined(symbol: str) -> Callable[..., Any]:
    return lambda formula, a, b: formula.combined(symbol, a, b)


# {name of NumPy's or scipy.special's function: function of the Formula and the operands}
NAMED: dict[str, Callable[..., Any]] = {
    **{name: _call(name) for name in ("exp", "expm1", "log", "sqrt", "tanh")},
    "abs": _call("absolute"),
    "expit": _call("sigmoid"),
    "ndtr": _call("normal_cdf"),
    "log1p": Formula.log1p,
    "logaddexp": Formula.softplus,
    "maximum": lambda formula, a, b: formula.where(formula.combined(">", a, b), a, b),
    "minimum": lambda formula, a, b: formula.where(formula.combined("<", a, b), a, b),
    "square": lambda formula, a: a * a,
    "power": Formula.power,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **NAMED,
    "absolute": NAMED["abs"],
    "fabs": NAMED["abs"],
    "add": _combined("+"),
    "subtract": _combined("-"),
    "multiply": _combined("*"),
    "divide": _combined("/"),
    "less": _combined("<"),
    "less_equal": _combined("<="),
    "greater": _combined(">"),
    "greater_equal": _combined(">="),
    "negative": lambda formula, a: -a,
}
