"""Activations and losses of a user: objects that MLP takes where it takes a name.

A formula is checked where it is defined, so that a wrong derivative never reaches a kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ..errors import checked_number, shown
from ..kernels.formulas.activations import CODES as ACTIVATION_CODES
from ..kernels.formulas.losses import CODES as LOSS_CODES
from ..kernels.formulas.own_rows import OwnActivation, OwnLoss, digest_of, function_of

STEP = 1e-5  # of central differences, times the size of the number
TOLERANCE = 1e-6  # of a derivative; central differences in float64 are ten times as exact
# Points of the check. No kink of a usual formula, such as 0, is within STEP of one.
POINTS = np.linspace(-8.0, 8.0, 400)
PAIRS = np.array([(a, y) for a in np.linspace(-3.1, 3.1, 60) for y in np.linspace(-3.0, 3.0, 25)]).T


class OwnFormula:
    """Base of Activation and Loss: plain data, so that equal definitions are equal, and can be sent to workers."""

    recipe: Any
    _constant = 0.0

    @property
    def name(self) -> str:
        """Name of the formula."""
        return self.recipe.name

    @property
    def digest(self) -> str:
        """Digest of the definition, by which `fastmlp.load` knows it."""
        return digest_of(self.recipe, self._constant)

    def _key(self) -> tuple:
        return type(self), self.recipe, self._constant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnFormula) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self._key()

    def __repr__(self) -> str:
        constant = f", constant={self._constant:g}" if self._constant else ""
        return f"{type(self).__name__}({self.name!r}{constant})"


class Activation(OwnFormula):
    """An activation of your own, for `hidden_activation` and `output_activation`.

    Both functions take and return numbers, and are written with NumPy: + - * / and whole powers; comparisons within
    `np.where(condition, a, b)`; np.exp, expm1, log, log1p, sqrt, tanh, abs, maximum, minimum, `np.logaddexp(0, z)`, and
    scipy.special's expit and ndtr. They are recorded once, and compiled and vectorised like the built-in activations,
    on the CPU and for CUDA.

    Parameters
    ----------
    name : str
        Name in messages and saved files: letters, digits and underscores, and not that of a built-in activation.
    value : function
        Of z, the pre-activation of a unit; returns the unit's output.
    derivative : function
        The derivative of `value`. Its parameter's name says what it is a function of: of `a`, the output, if it can be
        written so, else of `z`; with `z`, training stores one more number for each unit.
    low, high : float, default -inf and inf
        Bounds of the output, which decide how class labels are coded, and which targets it can reach.

    Attributes
    ----------
    name : str
        Name of the formula.
    digest : str
        Digest of the definition, by which `fastmlp.load` knows it.

    Raises
    ------
    ValueError
        If a function uses what cannot be compiled, or `derivative` differs from the central differences of `value`;
        the message shows the first point where it does.

    See Also
    --------
    Loss : A loss of your own.
    load : Reads nets with own formulas, which have to be passed.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> gauss = fastmlp.Activation(
    ...     "gauss", lambda z: np.exp(-z * z), lambda z: -2.0 * z * np.exp(-z * z), low=0.0, high=1.0
    ... )
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> net = fastmlp.MLP((2, 4, 1), hidden_activation=gauss, loss="binary_cross_entropy", random_state=0)
    >>> _ = net.fit(X, y, epochs=300, optimizer=fastmlp.Adam(0.05), verbose=0)
    >>> net.predict(X).ravel().round().astype(int).tolist()
    [0, 1, 1, 0]
    """

    def __init__(
        self,
        name: str,
        value: Callable[[Any], Any],
        derivative: Callable[[Any], Any],
        *,
        low: float = -inf,
        high: float = inf,
    ):
        from .recorded_formula import Formula

        titles = _titles("Activation", name, ACTIVATION_CODES)
        for bound in (low, high):
            if not isinstance(bound, (int, float, np.number)) or not low < high:
                raise ValueError(f"low must be a number below high, but they are {shown(low)} and {shown(high)}.")
        stored = [*inspect.signature(derivative).parameters] if inspect.isfunction(derivative) else []
        if stored not in (["a"], ["z"]):
            raise ValueError(
                f"{titles[1]} must be a function with the parameter `a`, the output, or `z`, the pre-activation, but "
                f"it is {shown(derivative)}."
            )
        self.recipe = OwnActivation(
            name,
            Formula(titles[0]).source(value, "value", ["z"], ["z"]),
            Formula(titles[1]).source(derivative, "derivative", stored, stored),
            float(low),
            float(high),
        )
        f, df = function_of(self.recipe.value), function_of(self.recipe.derivative)
        slope = (lambda z: df(f(z))) if stored == ["a"] else df
        _check_derivative(titles[1], f, slope, {"z": POINTS})
        _check_bounds(titles[0], f, self.recipe)


class Loss(OwnFormula):
    """A loss of your own, for `loss`.

    Its functions are written as those of Activation. The loss of a batch is the mean of `value` over outputs and
    samples, weighted by sample_weight. Any elementwise output activation may be used with it; the default is
    "identity".

    Parameters
    ----------
    name : str
        Name in messages and saved files: letters, digits and underscores, and not that of a built-in loss.
    value : function
        Of (a, y), an output and its target, or of (a, y, c) with the loss's constant c.
    derivative : function
        Of the same numbers: the derivative of `value` with respect to a.
    constant : float, optional
        The number c, positive. Losses that differ in it alone share their compiled code.

    Attributes
    ----------
    name : str
        Name of the formula.
    constant : float
        The loss's constant; 0 for a loss without one.
    digest : str
        Digest of the definition, by which `fastmlp.load` knows it.

    Raises
    ------
    ValueError
        If a function uses what cannot be compiled, or `derivative` differs from the central differences of `value`;
        the message shows the first point where it does.

    See Also
    --------
    Activation : An activation of your own, and what functions may use.
    load : Reads nets with own formulas, which have to be passed.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> pinball = fastmlp.Loss(
    ...     "pinball",
    ...     lambda a, y, c: np.maximum(c * (y - a), (c - 1.0) * (y - a)),
    ...     lambda a, y, c: np.where(y > a, -c, 1.0 - c),
    ...     constant=0.9,
    ... )
    >>> X = np.linspace(0.0, 1.0, 200)[:, None]
    >>> y = np.random.default_rng(0).uniform(0.0, 1.0, 200)
    >>> net = fastmlp.MLP((1, 1), loss=pinball, random_state=0)
    >>> _ = net.fit(X, y, epochs=300, optimizer=fastmlp.Adam(0.01), verbose=0)
    >>> round(float((net.predict(X).ravel() > y).mean()), 1)
    0.9
    """

    def __init__(
        self, name: str, value: Callable[..., Any], derivative: Callable[..., Any], *, constant: float | None = None
    ):
        from .recorded_formula import Formula

        titles = _titles("Loss", name, LOSS_CODES)
        used = ["a", "y"] if constant is None else ["a", "y", "c"]
        if constant is not None:
            checked_number("constant", constant, 0.0, open_low=True)
        self._constant = 0.0 if constant is None else float(constant)
        self.recipe = OwnLoss(
            name,
            Formula(titles[0]).source(value, "value", used, ["z", "a", "y", "c"]),
            Formula(titles[1]).source(derivative, "derivative", used, ["a", "y", "c"]),
        )
        f, df, c = function_of(self.recipe.value), function_of(self.recipe.derivative), self._constant
        points = {"a": PAIRS[0], "y": PAIRS[1]}
        _check_derivative(titles[1], lambda a, y: f(a, a, y, c), lambda a, y: df(a, y, c), points)

    @property
    def constant(self) -> float:
        """The loss's constant; 0 for a loss without one."""
        return self._constant


def _restored(kind: type[OwnFormula], recipe: Any, constant: float) -> OwnFormula:
    own = kind.__new__(kind)
    own.recipe, own._constant = recipe, constant
    return own


def _titles(kind: str, name: Any, built_in: dict[str, int]) -> tuple[str, str]:
    """Return the titles of a formula's value and derivative for errors, after a check of its name."""
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise ValueError(f"The name of an {kind} must be letters, digits and underscores, but it is {shown(name)}.")
    if name in built_in:
        raise ValueError(f"{name!r} is the name of a built-in formula: give this {kind} another one.")
    return f"value of {kind} {name!r}", f"derivative of {kind} {name!r}"


def _check_derivative(title: str, value: Callable, derivative: Callable, points: dict[str, np.ndarray]) -> None:
    """Compare a derivative with central differences at points, {name: numbers}, by the first of their numbers."""
    x, *others = points.values()
    step = STEP * np.maximum(1.0, np.abs(x))
    with np.errstate(all="ignore"):
        low, high, mine = value(x - step, *others), value(x + step, *others), derivative(x, *others)
        wanted, size = (high - low) / (2.0 * step), np.maximum(np.abs(low), np.abs(high))
        is_defined = np.isfinite(wanted)
        # differences of large values are rounded
        bound = TOLERANCE * np.maximum(1.0, np.abs(wanted)) + 1e-15 * size / step
        is_wrong = is_defined & ~(np.abs(mine - wanted) <= bound)
    if not is_defined.any():
        raise ValueError(f"{title}: its value is finite at no point from {x.min():g} to {x.max():g}.")
    if is_wrong.any():
        k = int(np.argmax(is_wrong))
        place = ", ".join(f"{name} = {numbers[k]:.4g}" for name, numbers in points.items())
        raise ValueError(
            f"{title} is {mine[k]:.6g} at {place}, where the central difference of its value is {wanted[k]:.6g}. "
            "Correct one of the two functions."
        )


def _check_bounds(title: str, value: Callable, own: OwnActivation) -> None:
    with np.errstate(all="ignore"):
        outputs = value(POINTS)
    is_outside = (outputs < own.low - 1e-9) | (outputs > own.high + 1e-9)
    if is_outside.any():
        k = int(np.argmax(is_outside))
        raise ValueError(
            f"{title} is {outputs[k]:.6g} at z = {POINTS[k]:.4g}, but low and high are {own.low:g} and {own.high:g}."
        )
