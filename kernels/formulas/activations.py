"""Activations: one row each. A row's place in ACTIVATIONS is its code; kernels, CUDA text and tests follow from the
table.

`value(z)` maps a unit's input to its output. The parameter of `derivative` says what must be stored until the backward
pass: `derivative(a)` is written in the output alone, `derivative(z)` makes the plan keep the input too.
`low, high` bound the output: which targets it can reach, and how class labels are coded for it.
Sources: Clevert et al. 2016 (elu), Klambauer et al. 2017 (selu), Hendrycks and Gimpel 2016 (gelu, silu), Fahlman 1988
(symmetric_sigmoid, and fahlman_sigmoid, whose slope is 0.1 steeper on the way back than it is).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from ..jit.decorators import formula, selector
from . import numpy_math
from .numpy_math import absolute, exp, expm1, normal_cdf, normal_density, where

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, equation 14
PRIME_OFFSET = 0.1  # Fahlman 1988, section 3.2: with it, a unit that is saturated still learns
# Beyond these, sigmoid and the normal density are 0 in float64 too. For vectors they are the smallest normal number
# there, which times a large one is no longer small.
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


class Activation(NamedTuple):
    name: str
    value: Callable
    derivative: Callable
    low: float
    high: float
    init: str = "glorot_uniform"  # the initialiser that init="auto" takes for layers that feed this activation
    hidden: bool = True  # False: an output activation only
    offset: float = 0.0  # by which `derivative` is more than the derivative, on purpose

    @property
    def needs_z(self) -> bool:
        return "z" in inspect.signature(self.derivative).parameters


ACTIVATIONS = (
    Activation("identity", identity, identity_derivative, -inf, inf),
    Activation("sigmoid", sigmoid, sigmoid_derivative, 0.0, 1.0),
    Activation("tanh", tanh, tanh_derivative, -1.0, 1.0),
    Activation("relu", relu, relu_derivative, 0.0, inf, init="he_uniform"),
    Activation("leaky_relu", leaky_relu, leaky_relu_derivative, -inf, inf, init="he_uniform"),
    Activation("elu", elu, elu_derivative, -1.0, inf, init="he_uniform"),
    Activation("selu", selu, selu_derivative, -SELU_SCALE * SELU_ALPHA, inf, init="lecun_normal"),
    Activation("gelu", gelu, gelu_derivative, -0.17, inf, init="he_uniform"),
    Activation("silu", silu, silu_derivative, -0.2785, inf, init="he_uniform"),
    Activation("softplus", softplus, softplus_derivative, 0.0, inf, init="he_uniform"),
    Activation("softsign", softsign, softsign_derivative, -1.0, 1.0),
    Activation("symmetric_sigmoid", symmetric_sigmoid, symmetric_sigmoid_derivative, -0.5, 0.5),
    Activation("fahlman_sigmoid", symmetric_sigmoid, fahlman_sigmoid_derivative, -0.5, 0.5, offset=PRIME_OFFSET),
    Activation("exponential", exponential, exponential_derivative, 0.0, inf, hidden=False),
    # The value of softmax needs its whole row: written by hand in each device's loss loop, which starts from logits.
    Activation("softmax", identity, identity_derivative, 0.0, 1.0, hidden=False),
)
CODES = {row.name: code for code, row in enumerate(ACTIVATIONS)}
SOFTMAX = CODES["softmax"]
IDENTITY = CODES["identity"]

# activation_value(code, z), activation_derivative(code, kept): one vector at a time, for kernels whose loops are short
activation_value = selector([row.value for row in ACTIVATIONS], 1)
activation_derivative = selector([row.derivative for row in ACTIVATIONS], 1)
