"""Tiny nets on the CPU: the straight-line program of an architecture, compiled as a C function that per_net.gradient
calls through its address, so that a new architecture compiles nothing else.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from ...jit.call import load_function
from ..workspace import INTERLEAVED_SAMPLES

MOST_PARAMETERS = 40  # of nets side by side, whose loops leave little to gain above; bench/LOG.md


@cache
def address(layer_sizes, activations, loss, rule, lanes, loops, dtype) -> int:
    """Of the C function of an architecture, for NumPy's dtype."""
    architecture = layer_sizes, activations, loss, rule, lanes, loops

    def compiled():
        from ...jit.compiler import machine_code_of_c
        from .population_codegen import python_function, signature

        return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(f"straight line {architecture} {dtype}", compiled)


def has_straight_line(layer_sizes, drops) -> bool:
    """Whether a program is made for such nets; the others have general loops."""
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    return n_params <= MOST_PARAMETERS and not drops


def straight_line_address(layer_sizes, activations, loss, rule, lanes, n_samples, dtype) -> int:
    """The address of an architecture's function, for blocks of this many lanes and batches of n_samples or fewer."""
    return address(tuple(layer_sizes), tuple(activations), loss, rule, lanes, n_samples > INTERLEAVED_SAMPLES, dtype)
