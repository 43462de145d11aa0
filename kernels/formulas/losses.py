"""Losses: one table row each. The position of a row in LOSSES is its code; own_rows.py adds those of a program.

`value(z, a, y, c)` is the loss of one output, where z is the logit, a the output activation of z, y the target, c the
loss's own constant, which is 0 for losses without one. `delta(a, y, c)` is the derivative of `value`. If
`delta_is_wrt_logit`, it is the derivative with respect to z for the loss's own output activation, whose derivative has
cancelled. Otherwise it is the derivative with respect to a, and the kernel multiplies it by f'. So a wrong pair of loss
and output activation cannot be computed.

Sources: Huber 1964 (huber), Fahlman 1988 (atanh_error).

The loss of a batch is the mean over samples (weighted: the sum of w times loss over the number of samples, where w has
mean 1 over all training samples) and, except for softmax_cross_entropy, over outputs. There is no factor of one half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..jit.decorators import formula, selector
from .formula_table import FormulaTable
from .numpy_math import absolute, exp, log, log1p, where

ATANH_LIMIT = 0.999999  # limit of the error, in either dtype: its atanh is 7.25


@formula
def squared_error(z, a, y, c):
    return (a - y) * (a - y)


@formula
def squared_error_delta(a, y, c):
    return 2.0 * (a - y)


@formula
def binary_cross_entropy(z, a, y, c):
    """softplus(z) - z y, in an order in which nothing cancels, whatever the target."""
    return (where(z < 0.0, 0.0, z) - z * y) + log1p(exp(-absolute(z)))


@formula
def logit_delta(a, y, c):
    """The derivative by the logit of the losses that belong to sigmoid, softmax and exponential."""
    return a - y


@formula
def absolute_error(z, a, y, c):
    return absolute(a - y)


@formula
def absolute_error_delta(a, y, c):
    return where(a > y, 1.0, where(a < y, -1.0, 0.0))


@formula
def huber(z, a, y, c):
    """Quadratic within c of the target, linear beyond: r**2 up to c, then c * (2 |r| - c)."""
    r = absolute(a - y)
    return where(r > c, c * (2.0 * r - c), r * r)


@formula
def huber_delta(a, y, c):
    r = 2.0 * (a - y)
    return where(r > 2.0 * c, 2.0 * c, where(r < -2.0 * c, -2.0 * c, r))


@formula
def poisson(z, a, y, c):
    """Negative log-likelihood of a count y with mean a = exp(z), without log(y!)."""
    return a - y * z


@formula
def softmax_cross_entropy(z, a, y, c):
    """The term of one class; z is the logit minus the row's logsumexp, and y includes label smoothing."""
    return -z * y


@formula
def atanh_error(z, a, y, c):
    """The integral of the delta 2 atanh(a - y): squared_error for small errors, ever steeper towards 1."""
    e = a - y
    e = where(e > ATANH_LIMIT, ATANH_LIMIT, where(e < -ATANH_LIMIT, -ATANH_LIMIT, e))
    return (1.0 + e) * log(1.0 + e) + (1.0 - e) * log(1.0 - e)


@formula
def atanh_error_delta(a, y, c):
    e = a - y
    e = where(e > ATANH_LIMIT, ATANH_LIMIT, where(e < -ATANH_LIMIT, -ATANH_LIMIT, e))
    return log(1.0 + e) - log(1.0 - e)


@formula
def constant_curvature(z, a, y, c):
    return where(a > y, 2.0, 2.0)  # a vector, as those of other losses


@formula
def sigmoid_curvature(z, a, y, c):
    return a * (1.0 - a)


@formula
def output_curvature(z, a, y, c):
    """For poisson; for softmax_cross_entropy, the diagonal of diag(a) - a a^T, without the square."""
    return a


class LossRow(NamedTuple):
    name: str
    value: Callable
    delta: Callable
    outputs: tuple[str, ...]  # allowed output activations, the default first; () for any elementwise one
    delta_is_wrt_logit: bool  # whether `delta` is the derivative with respect to the logit
    constant: str = ""  # keyword of MLP that is c, a positive number
    default: float = 1.0  # of the keyword
    targets: tuple[float, float] = (float("-inf"), float("inf"))  # range of valid targets y
    # (z, a, y, c): derivative of `delta`, for Gauss-Newton steps; None if it may be 0 or less
    curvature: Callable | None = None
    digest: str = ""  # of an own formula
    own: Any = None  # what an own formula is made from (own_rows.py)

    @property
    def symbol(self) -> str:
        """The name in generated code: own formulas may have the same name."""
        return f"{self.name}_{self.digest}" if self.digest else self.name


UNIT = 0.0, 1.0
LOSSES = FormulaTable(
    LossRow("squared_error", squared_error, squared_error_delta, (), False, curvature=constant_curvature),
    LossRow(
        "binary_cross_entropy", binary_cross_entropy, logit_delta, ("sigmoid",), True, "", 1.0, UNIT, sigmoid_curvature
    ),
    LossRow(
        "softmax_cross_entropy", softmax_cross_entropy, logit_delta, ("softmax",), True, "", 1.0, UNIT, output_curvature
    ),
    LossRow("absolute_error", absolute_error, absolute_error_delta, (), False),
    LossRow("huber", huber, huber_delta, (), False, constant="huber_delta"),
    LossRow("atanh_error", atanh_error, atanh_error_delta, ("symmetric_sigmoid", "fahlman_sigmoid", "sigmoid"), False),
    LossRow("poisson", poisson, logit_delta, ("exponential",), True, "", 1.0, (0.0, float("inf")), output_curvature),
)
CODES = {row.name: code for code, row in enumerate(LOSSES)}
CONSTANTS: Mapping[str, Any] = {row.constant: row.default for row in LOSSES if row.constant}
SOFTMAX_CROSS_ENTROPY = CODES["softmax_cross_entropy"]

# loss_curvature(code, z, a, y, c), of losses that have one: one vector at a time
loss_curvature = selector([row.curvature or constant_curvature for row in LOSSES], 4)
