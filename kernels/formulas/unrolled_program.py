"""Unrolled program of a tiny net: the forward and backward pass of one sample as assignments, without loops or arrays.

A net of a few units spends more time on loops and indices than on arithmetic. Unrolled, its activations and gradients
are variables, which a compiler keeps in registers. The program is generated once and printed for each device: on the
CPU a number is a vector of nets (population_lookup.py), on a GPU a number of one thread.

    for target, expression in program(...): one assignment; names are
    x0 ..        inputs            y0 ..    targets          w        the sample's weight / the number of terms of the
    loss
    p0 ..        parameters        g0 ..    gradients, which are accumulated
    z0_1 ..      pre-activation of unit 1 in layer 0         a0_1     its output          d0_1   its delta
    highest, total, shift, factor     variables of softmax, which turns z into log-probabilities
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from .activations import ACTIVATIONS, IDENTITY, SOFTMAX
from .losses import LOSSES


def sum_of(terms: Sequence[str]) -> str:
    """Return the sum of terms from left to right, in the form that compiles to multiply-adds."""
    return " + ".join(terms)


def softmax(k: int, size: int) -> Iterator[tuple[str, str]]:
    """Yield assignments for the softmax of layer k: z becomes log-probabilities, a their exponentials.

    size : number of units in the layer

    The order of operations is that of column_passes.py.
    """
    pairs = [(f"z{k}_{j}", f"a{k}_{j}") for j in range(size)]
    yield "highest", pairs[0][0]
    for z, _ in pairs[1:]:
        yield "highest", f"if_larger({z}, highest, {z}, highest)"
    for z, a in pairs:
        yield z, f"{z} - highest"
        yield a, f"exp({z})"
    yield "total", sum_of([a for _, a in pairs])
    yield "shift", "log(total)"
    yield "factor", "inverse(total)"
    for z, a in pairs:
        yield z, f"{z} - shift"
        yield a, f"{a} * factor"


def program(layer_sizes: Sequence[int], activations: Sequence[int], loss: int) -> Iterator[tuple[str, str]]:
    """Yield the assignments (target, expression) of one sample's forward and backward pass.

    Functions in expressions: value_<activation>(z), derivative_<activation>(a or z), loss_delta(a, y, c); and for
    softmax if_larger(a, b, x, y), which is x where a > b and else y, exp(v), log(v), inverse(v).
    """
    n_layers, offsets, end = len(activations), [], 0
    for fan_in, fan_out in pairwise(layer_sizes):
        offsets.append((end, end + fan_in * fan_out))
        end += (fan_in + 1) * fan_out
    inputs = [f"x{i}" for i in range(layer_sizes[0])]
    layers = [inputs] + [[f"a{k}_{j}" for j in range(size)] for k, size in enumerate(layer_sizes[1:])]
    for k, code in enumerate(activations):
        w, b = offsets[k]
        for j in range(layer_sizes[k + 1]):
            products = [f"p{w + i * layer_sizes[k + 1] + j} * {a}" for i, a in enumerate(layers[k])]
            yield f"z{k}_{j}", sum_of([f"p{b + j}", *products])
            if code != SOFTMAX:
                yield f"a{k}_{j}", f"value_{ACTIVATIONS[code].name}(z{k}_{j})"
        if code == SOFTMAX:
            yield from softmax(k, layer_sizes[k + 1])
    top = n_layers - 1
    for j, a in enumerate(layers[-1]):
        yield f"d{top}_{j}", f"loss_delta({a}, y{j}, c) * w"
    for k in range(top, -1, -1):
        (w, b), fan_out = offsets[k], layer_sizes[k + 1]
        row = ACTIVATIONS[activations[k]]
        cancelled = k == top and LOSSES[loss].delta_is_wrt_logit
        for j in range(fan_out):
            if activations[k] != IDENTITY and not cancelled:
                kept = f"z{k}_{j}" if row.needs_z else f"a{k}_{j}"
                yield f"d{k}_{j}", f"d{k}_{j} * derivative_{row.name}({kept})"
            yield f"g{b + j}", f"g{b + j} + d{k}_{j}"
            for i, a in enumerate(layers[k]):
                q = w + i * fan_out + j
                yield f"g{q}", f"g{q} + d{k}_{j} * {a}"
        if k > 0:
            for i in range(layer_sizes[k]):
                yield f"d{k - 1}_{i}", sum_of([f"d{k}_{j} * p{w + i * fan_out + j}" for j in range(fan_out)])
