"""Unrolled program of a tiny net: the forward and backward pass of one sample as assignments, without loops or arrays.

A net of a few units spends more time on loops and indices than on arithmetic. Unrolled, its activations and gradients
are variables, which a compiler keeps in registers. The program is generated once and printed for each device: on the
CPU a number is a vector of nets or of samples (kernels/cpu/unrolled/emitter.py), on a GPU a number of one thread
(kernels/cuda/build/formula_printer.py).

Variables:
    x0 ..        inputs            y0 ..    targets          c        the loss's constant
    w            the sample's weight, divided by the number of terms of the loss
    p0 ..        parameters        g0 ..    gradients, which are accumulated
    z0_1 ..      pre-activation of unit 1 in layer 0         a0_1     its output          d0_1   its delta
    highest, total, shift, factor     variables of softmax, which turns z into log-probabilities

Functions: value_<activation>(z), derivative_<activation>(a or z), loss_delta(a, y, c); and for softmax
if_larger(a, b, x, y), which is x where a > b and else y, exp(v), log(v), inverse(v).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from .activations import ACTIVATIONS, IDENTITY, SOFTMAX
from .losses import LOSSES

SUM, DIFFERENCE, PRODUCT = "+", "-", "*"


class Operation(NamedTuple):
    """An operation and its operands: terms of a sum from left to right, two numbers, or arguments of a function.

    Terms of a sum are variables, calls and products; operands of any other operation are variables and calls.
    """

    name: str  # SUM, DIFFERENCE, PRODUCT, or the name of a function
    operands: tuple[Operand, ...]


Operand = str | Operation  # a variable's name, or an operation


class Assignment(NamedTuple):
    target: str  # name of a variable
    value: Operand


class Layer(NamedTuple):
    """A layer of the net, with the names of its variables."""

    index: int
    inputs: list[str]  # names of the outputs of the layer before it
    n_units: int
    activation: int  # code
    first_weight: int  # index of its first weight in the flat parameters
    first_bias: int

    def weight(self, i: int, j: int) -> int:
        """Return the index of the weight from input i to unit j in the flat parameters."""
        return self.first_weight + i * self.n_units + j

    def variables(self, letter: str) -> list[str]:
        """Return the names of a variable (z, a or d), one for each unit."""
        return [f"{letter}{self.index}_{j}" for j in range(self.n_units)]


def call(function: str, *arguments: str) -> Operation:
    return Operation(function, arguments)


def product(x: Operand, y: Operand) -> Operation:
    return Operation(PRODUCT, (x, y))


def difference(x: str, y: str) -> Operation:
    return Operation(DIFFERENCE, (x, y))


def sum_of(terms: Sequence[Operand]) -> Operand:
    """Return the sum of terms from left to right; of one term, the term itself."""
    return Operation(SUM, tuple(terms)) if len(terms) > 1 else terms[0]


def layers_of(layer_sizes: Sequence[int], activations: Sequence[int]) -> list[Layer]:
    layers, inputs, end = [], [f"x{i}" for i in range(layer_sizes[0])], 0
    for k, (fan_in, fan_out) in enumerate(pairwise(layer_sizes)):
        layers.append(Layer(k, inputs, fan_out, activations[k], end, end + fan_in * fan_out))
        inputs, end = layers[-1].variables("a"), end + (fan_in + 1) * fan_out
    return layers


def softmax(layer: Layer) -> Iterator[Assignment]:
    """Yield assignments for the softmax of a layer: z becomes log-probabilities, a their exponentials.

    The order of operations is that of column_passes.py.
    """
    outputs = layer.variables("a")
    pairs = list(zip(layer.variables("z"), outputs, strict=True))
    yield Assignment("highest", pairs[0][0])
    for z, _ in pairs[1:]:
        yield Assignment("highest", call("if_larger", z, "highest", z, "highest"))
    for z, a in pairs:
        yield Assignment(z, difference(z, "highest"))
        yield Assignment(a, call("exp", z))
    yield Assignment("total", sum_of(outputs))
    yield Assignment("shift", call("log", "total"))
    yield Assignment("factor", call("inverse", "total"))
    for z, a in pairs:
        yield Assignment(z, difference(z, "shift"))
        yield Assignment(a, product(a, "factor"))


def forward(layer: Layer) -> Iterator[Assignment]:
    """Yield the assignments of a layer's pre-activations z and outputs a."""
    for j, (z, a) in enumerate(zip(layer.variables("z"), layer.variables("a"), strict=True)):
        products = [product(f"p{layer.weight(i, j)}", x) for i, x in enumerate(layer.inputs)]
        yield Assignment(z, sum_of([f"p{layer.first_bias + j}", *products]))
        if layer.activation != SOFTMAX:
            yield Assignment(a, call(f"value_{ACTIVATIONS[layer.activation].symbol}", z))
    if layer.activation == SOFTMAX:
        yield from softmax(layer)


def backward(layer: Layer, delta_is_wrt_logit: bool) -> Iterator[Assignment]:
    """Yield the assignments of a layer's gradients and, but for the first layer, of the deltas before it.

    delta_is_wrt_logit : whether d is the layer's delta already, and not the derivative with respect to its outputs
    """
    row, deltas = ACTIVATIONS[layer.activation], layer.variables("d")
    for j, (d, stored) in enumerate(zip(deltas, layer.variables("z" if row.needs_z else "a"), strict=True)):
        if layer.activation != IDENTITY and not delta_is_wrt_logit:
            yield Assignment(d, product(d, call(f"derivative_{row.symbol}", stored)))
        g = f"g{layer.first_bias + j}"
        yield Assignment(g, sum_of([g, d]))
        for i, x in enumerate(layer.inputs):
            g = f"g{layer.weight(i, j)}"
            yield Assignment(g, sum_of([g, product(d, x)]))
    if layer.index > 0:
        for i in range(len(layer.inputs)):
            products = [product(d, f"p{layer.weight(i, j)}") for j, d in enumerate(deltas)]
            yield Assignment(f"d{layer.index - 1}_{i}", sum_of(products))


def program(layer_sizes: Sequence[int], activations: Sequence[int], loss: int) -> Iterator[Assignment]:
    """Yield the assignments of one sample's forward and backward pass.

    activations, loss : codes of the layers' activations and of the loss
    """
    layers = layers_of(layer_sizes, activations)
    for layer in layers:
        yield from forward(layer)
    top = layers[-1]
    for j, (d, a) in enumerate(zip(top.variables("d"), top.variables("a"), strict=True)):
        yield Assignment(d, product(call("loss_delta", a, f"y{j}", "c"), "w"))
    for layer in reversed(layers):
        yield from backward(layer, layer is top and LOSSES[loss].delta_is_wrt_logit)
