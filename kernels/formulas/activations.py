"""Activations: one table row each.

The position of a row in ACTIVATIONS is its code; kernels, CUDA source and tests are derived from the table. Own
formulas of a program have the codes after them (own_rows.py).

`value(z)` maps a unit's pre-activation to its output. The parameter of `derivative` says what must be stored until the
backward pass: `derivative(a)` uses the output alone; with `derivative(z)`, the pre-activation is stored too.
`low, high` bound the output: they decide which targets it can reach, and how class labels are coded for it.
Sources: Clevert et al. 2016 (elu), Klambauer et al. 2017 (selu), Hendrycks and Gimpel 2016 (gelu, silu), Fahlman 1988
(symmetric_sigmoid, and fahlman_sigmoid, whose derivative in the backward pass is 0.1 larger than the true one).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from ..jit.decorators import formula
from . import numpy_math
from .formula_table import FormulaTable
from .numpy_math import absolute, exp, expm1, normal_cdf, normal_density, where

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, equation 14
PRIME_OFFSET = 0.1  # Fahlman 1988, section 3.2: added to f', so that saturated units still learn
# Beyond these arguments, sigmoid and the normal density are 0 in float64 too. SIMD vectors return the smallest normal
# number instead, and its product with a large number is no longer small.
SIGMOID_END, GAUSS_END = -745.2, 38.6
LEAK = 0.01  # slope of leaky_relu below zero, as in Maas et al. 2013


@formula
def identity(z):
    return z


@formula
def identity_derivative(a):
    return 0.0 * a + 1.0


@formula
def sigmoid(z):
    return numpy_math.sigmoid(z)


@formula
def sigmoid_derivative(a):
    return a * (1.0 - a)


@formula
def tanh(z):
    return numpy_math.tanh(z)


@formula
def tanh_derivative(a):
    return 1.0 - a * a


@formula
def relu(z):
    return where(z < 0.0, 0.0, z)


@formula
def relu_derivative(a):
    return where(a > 0.0, 1.0, 0.0)


@formula
def leaky_relu(z):
    return where(z < 0.0, LEAK * z, z)


@formula
def leaky_relu_derivative(a):
    return where(a > 0.0, 1.0, LEAK)


@formula
def elu(z):
    return where(z < 0.0, expm1(z), z)


@formula
def elu_derivative(a):
    return where(a < 0.0, a + 1.0, 1.0)


@formula
def selu(z):
    return SELU_SCALE * where(z < 0.0, SELU_ALPHA * expm1(z), z)


@formula
def selu_derivative(a):
    return where(a < 0.0, a + SELU_SCALE * SELU_ALPHA, SELU_SCALE)


@formula
def gelu(z):
    return z * normal_cdf(z)


@formula
def gelu_derivative(z):
    return normal_cdf(z) + where(absolute(z) > GAUSS_END, 0.0, z * normal_density(z))


@formula
def silu(z):
    return where(z < SIGMOID_END, 0.0, z * numpy_math.sigmoid(z))


@formula
def silu_derivative(z):
    s = numpy_math.sigmoid(z)
    return s * (1.0 + where(absolute(z) > -SIGMOID_END, 0.0, z * (1.0 - s)))


@formula
def softplus(z):
    return numpy_math.softplus(z)


@formula
def softplus_derivative(z):
    return numpy_math.sigmoid(z)


@formula
def softsign(z):
    return z / (1.0 + absolute(z))


@formula
def softsign_derivative(a):
    slack = 1.0 - absolute(a)
    return slack * slack


@formula
def symmetric_sigmoid(z):
    return numpy_math.sigmoid(z) - 0.5


@formula
def symmetric_sigmoid_derivative(a):
    return 0.25 - a * a


@formula
def fahlman_sigmoid_derivative(a):
    return (0.25 + PRIME_OFFSET) - a * a


@formula
def exponential(z):
    return exp(z)


@formula
def exponential_derivative(a):
    return a


class ActivationRow(NamedTuple):
    name: str
    value: Callable
    derivative: Callable
    low: float
    high: float
    init: str = "glorot_uniform"  # the initialiser that init="auto" chooses for layers with this activation
    hidden: bool = True  # False: an output activation only
    offset: float = 0.0  # constant by which `derivative` deliberately exceeds the true derivative
    digest: str = ""  # of an own formula
    own: Any = None  # what an own formula is made from (own_rows.py)

    @property
    def needs_z(self) -> bool:
        return "z" in inspect.signature(self.derivative).parameters

    @property
    def symbol(self) -> str:
        """The name in generated code: own formulas may have the same name."""
        return f"{self.name}_{self.digest}" if self.digest else self.name


ACTIVATIONS = FormulaTable(
    ActivationRow("identity", identity, identity_derivative, -inf, inf),
    ActivationRow("sigmoid", sigmoid, sigmoid_derivative, 0.0, 1.0),
    ActivationRow("tanh", tanh, tanh_derivative, -1.0, 1.0),
    ActivationRow("relu", relu, relu_derivative, 0.0, inf, init="he_uniform"),
    ActivationRow("leaky_relu", leaky_relu, leaky_relu_derivative, -inf, inf, init="he_uniform"),
    ActivationRow("elu", elu, elu_derivative, -1.0, inf, init="he_uniform"),
    ActivationRow("selu", selu, selu_derivative, -SELU_SCALE * SELU_ALPHA, inf, init="lecun_normal"),
    ActivationRow("gelu", gelu, gelu_derivative, -0.17, inf, init="he_uniform"),
    ActivationRow("silu", silu, silu_derivative, -0.2785, inf, init="he_uniform"),
    ActivationRow("softplus", softplus, softplus_derivative, 0.0, inf, init="he_uniform"),
    ActivationRow("softsign", softsign, softsign_derivative, -1.0, 1.0),
    ActivationRow("symmetric_sigmoid", symmetric_sigmoid, symmetric_sigmoid_derivative, -0.5, 0.5),
    ActivationRow("fahlman_sigmoid", symmetric_sigmoid, fahlman_sigmoid_derivative, -0.5, 0.5, offset=PRIME_OFFSET),
    ActivationRow("exponential", exponential, exponential_derivative, 0.0, inf, hidden=False),
    # The value of softmax needs its whole row. Each device's loss loop computes it by hand, starting from logits.
    ActivationRow("softmax", identity, identity_derivative, 0.0, 1.0, hidden=False),
)
CODES = {row.name: code for code, row in enumerate(ACTIVATIONS)}
SOFTMAX = CODES["softmax"]
IDENTITY = CODES["identity"]
