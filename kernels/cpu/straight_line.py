"""Tiny nets on the CPU: the straight-line program of an architecture, compiled as a C function that per_net.gradient
calls through its address, so that a new architecture compiles nothing else.

The module with that function is a file next to the on-disk cache: the next process finds it compiled.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..activations import SOFTMAX
from ..arguments import METRIC_ARGMAX
from ..jit import CACHE_FOLDER, compiled_c_function
from .straight_line_code import NAMES

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


def source(layer_sizes, activations, loss, rule, lanes) -> str:
    """A module with the function `train`."""
    names = ", ".join(NAMES)
    return (
        "from fastmlp.kernels.cpu.straight_line_code import make_train\n\n"
        f"compiled = make_train({layer_sizes}, {activations}, {loss}, {rule}, {lanes})\n\n\n"
        f"def train({names}):\n    return compiled({names})\n"
    )


def _module(layer_sizes, activations, loss, rule, lanes):
    """(module of the source, whether it is a file)"""
    text = source(layer_sizes, activations, loss, rule, lanes)
    name = f"fastmlp_net_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = Path(CACHE_FOLDER) / "straight_line" / f"{name}.py"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
                file.write(text)
            os.replace(file.name, path)  # another process may do the same at this moment
    except OSError:  # no writable cache folder: compile in every process
        module = type(sys)(name)
        exec(text, module.__dict__)
        return module, False
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, True


@cache
def compiled(layer_sizes, activations, loss, rule, lanes, dtype):
    """The C function of an architecture, for NumPy's dtype."""
    module, is_file = _module(layer_sizes, activations, loss, rule, lanes)
    x = types.float32 if dtype.itemsize == 4 else types.float64
    return compiled_c_function(module.train, types.intp(*_kinds(x)), is_file)


def has_straight_line(layer_sizes, activations, metric, drops) -> bool:
    """Whether a program is made for such nets; the others have general loops."""
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    return not (n_params > MOST_PARAMETERS or drops or metric == METRIC_ARGMAX or activations[-1] == SOFTMAX)


def straight_line_address(layer_sizes, activations, loss, rule, lanes, dtype) -> int:
    """The address of an architecture's function, for blocks of this many lanes."""
    return compiled(tuple(layer_sizes), tuple(activations), loss, rule, lanes, dtype).address
