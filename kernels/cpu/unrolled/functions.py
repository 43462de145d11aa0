"""Functions that unrolled code calls, for SIMD vectors: formulas of ACTIVATIONS and LOSSES, and scores of outputs.

`same_side` and `is_near` compare an output with its target. From `is_as_large`, `if_larger` and `still_correct` the
emitter makes the comparison of the largest output with the largest target, as column_passes.count_correct does.
"""

from __future__ import annotations

from ...formulas.activations import ACTIVATIONS, SOFTMAX
from ...formulas.losses import LOSSES
from ...simd.elementary import exp, log
from ...simd.vector import absolute, where
from ..single_net.column_passes import still_correct


def same_side(a, y, threshold):
    """Return 1 where a and y are on the same side of `threshold`, else 0."""
    return 1.0 - absolute(where(a > threshold, 1.0, 0.0) - where(y > threshold, 1.0, 0.0))


def is_near(a, y, margin):
    """Return 1 where a and y differ by at most `margin`, else 0."""
    return where(absolute(a - y) <= margin, 1.0, 0.0)


def is_as_large(a, b):
    """Return 1 where a >= b, else 0; is_as_large(a, a) is 0 where a is NaN."""
    return where(a >= b, 1.0, 0.0)


def if_larger(a, b, x, y):
    """Return x where a > b, else y."""
    return where(a > b, x, y)


def inverse(v):
    return 1.0 / v


# Numba's compile_internal takes plain functions, but no decorated formulas: each of the next three functions returns a
# plain function that calls a formula. Its arguments are a vector v; or the logit z, the output a, the target y and the
# loss's constant c.


def of_vector(formula):
    def call(v):
        return formula(v)

    return call


def loss_delta(formula):
    def call(a, y, c):
        return formula(a, y, c)

    return call


def loss_value(formula):
    def call(z, a, y, c):
        return formula(z, a, y, c)

    return call


def functions_of(loss, activations):
    """Return {name: function} of all functions that an unrolled program calls, also for the scores of its outputs.

    loss, activations : codes of the loss and of the layers' activations
    """
    found = {
        "loss_delta": loss_delta(LOSSES[loss].delta),
        "loss_value": loss_value(LOSSES[loss].value),
        "same_side": same_side,
        "is_near": is_near,
        "is_as_large": is_as_large,
        "if_larger": if_larger,
        "still_correct": still_correct,
    }
    for row in (ACTIVATIONS[code] for code in set(activations)):
        found[f"value_{row.name}"] = of_vector(row.value)
        found[f"derivative_{row.name}"] = of_vector(row.derivative)
    if SOFTMAX in activations:
        found |= {"exp": of_vector(exp), "log": of_vector(log), "inverse": inverse}
    return found
