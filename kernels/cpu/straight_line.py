"""Tiny nets on the CPU: the straight-line program of an architecture, compiled as a C function that per_net.gradient
calls through its address.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..activations import SOFTMAX
from ..arguments import METRIC_ARGMAX
from .on_demand import c_function, source
from .straight_line_code import NAMES, make_train

MOST_PARAMETERS = 40  # of a net whose parameters and gradients can mostly stay in registers


@intrinsic
def call_straight_line(
    typing_context, address, p, g, a, y, weight, rate, loss, right, m, adds, judges, metric, n_steps, rows, width, c,
    bound, stop_loss, stop_right, state, betas, powers, last_loss,
):  # fmt: skip
    """Call the function at `address`; its arguments and result are those of straight_line_code.make_train."""

    def build(context, builder, sig, args):
        kind = ir.FunctionType(args[0].type, [value.type for value in args[1:]])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.intp(types.intp, *_kinds(p.dtype)), build


def _kinds(x):
    """Numba's types of NAMES, for numbers of type x."""
    number, double = types.CPointer(x), types.CPointer(types.float64)
    return (*[number] * 8, *[types.intp] * 5, *[x] * 6, number, double, double, number)


@cache
def compiled(layer_sizes, activations, loss, rule, dtype):
    """The C function of an architecture, for NumPy's dtype."""
    x = types.float32 if dtype.itemsize == 4 else types.float64
    text = source(f"{make_train.__module__}.make_train", NAMES, (layer_sizes, activations, loss, rule))
    return c_function(text, types.intp(*_kinds(x)))


def straight_line_address(layer_sizes, activations, loss, metric, rule, drops, dtype) -> int:
    """The address of an architecture's function, 0 where the general loops are to be used."""
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    general = n_params > MOST_PARAMETERS or drops or metric == METRIC_ARGMAX or activations[-1] == SOFTMAX
    return 0 if general else compiled(tuple(layer_sizes), tuple(activations), loss, rule, dtype).address
