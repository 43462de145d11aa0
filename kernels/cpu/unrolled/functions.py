"""Functions that unrolled code calls, and those that score its outputs, for SIMD vectors.

`side_is_right`, `is_near` and `largest_is_right` count as single_net/elementwise.count_right does, unit by unit.
"""

from __future__ import annotations

from ...formulas.activations import ACTIVATIONS, SOFTMAX
from ...formulas.losses import LOSSES
from ...simd.elementary import exp, log
from ...simd.vector import absolute, where
from ..single_net.column_passes import still_right


def side_is_right(a, y, bound):
    return 1.0 - absolute(where(a > bound, 1.0, 0.0) - where(y > bound, 1.0, 0.0))


def is_near(a, y, bound):
    return where(absolute(a - y) <= bound, 1.0, 0.0)


def is_as_large(a, b):
    return where(a >= b, 1.0, 0.0)


def if_larger(a, b, x, y):
    return where(a > b, x, y)


def inverse(v):
    return 1.0 / v


def plain(formula, n_arguments):
    """Return a plain function of n_arguments that calls `formula`, for Numba's compile_internal.

    compile_internal does not take a formula, and tells functions apart by their code: each gets a name of its own.
    """
    names, name = ", ".join(f"x{k}" for k in range(n_arguments)), f"call_{formula.__name__}"
    scope = {"formula": formula}
    exec(f"def {name}({names}):\n    return formula({names})", scope)
    return scope[name]


def functions(make, vector, number, loss, activations):
    """Return {name in an unrolled program: make(function, *types of its arguments)}.

    vector, number : Numba's types of a SIMD vector and of a scalar
    loss, activations : codes of the loss and of the layers' activations
    """
    v, x = vector, number
    made = {
        "loss_delta": make(plain(LOSSES[loss].delta, 3), v, v, x),
        "loss_value": make(plain(LOSSES[loss].value, 4), v, v, v, x),
        "side_is_right": make(side_is_right, v, v, x),
        "is_near": make(is_near, v, v, x),
        "is_as_large": make(is_as_large, v, v),
        "if_larger": make(if_larger, v, v, v, v),
        "still_right": make(still_right, v, v, v, v, v),
    }
    for row in (ACTIVATIONS[code] for code in set(activations)):
        made[f"value_{row.name}"] = make(plain(row.value, 1), v)
        made[f"derivative_{row.name}"] = make(plain(row.derivative, 1), v)
    if SOFTMAX in activations:
        made |= {"exp": make(plain(exp, 1), v), "log": make(plain(log, 1), v), "inverse": make(inverse, v)}
    return made


def largest_is_right(names, a, y):
    """Return 1 where the first largest output is at the first largest target, else 0.

    names : functions, as `functions` returns them
    a, y : outputs and targets, one value per unit
    """
    if_larger, best, target = names["if_larger"], a[0], y[0]
    right = names["is_as_large"](target, target)
    for output, wanted in zip(a[1:], y[1:], strict=True):
        right = names["still_right"](right, output, best, wanted, target)
        best, target = if_larger(output, best, output, best), if_larger(wanted, target, wanted, target)
    return right
