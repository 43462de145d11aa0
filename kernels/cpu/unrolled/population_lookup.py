"""Lookup of unrolled code for populations of tiny nets, compiled once for each architecture.

The code is a C function that population/gradient.py calls through its address, so a new architecture compiles nothing
else.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from ...jit.call import load_function
from ..workspace import INTERLEAVED_SAMPLES
from .architecture import PopulationArchitecture

# For larger nets unrolling gains little over population/gradient.py (bench/log/README.md#population-unrolled-limit).
MOST_PARAMETERS = 40


@cache
def address(architecture: PopulationArchitecture, dtype: np.dtype) -> int:
    """Return the address of the C function of an architecture; load or compile it if needed."""

    def compiled():
        from ...jit.compiler import machine_code_of_c
        from .population_codegen import python_function, signature

        return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(f"unrolled {architecture} {dtype}", compiled)


def has_unrolled_code(layer_sizes, drops) -> bool:
    """Return whether nets of these layer sizes have unrolled code; other nets are trained by loops.

    drops : whether a layer has dropout
    """
    n_params = sum((i + 1) * j for i, j in pairwise(layer_sizes))
    return n_params <= MOST_PARAMETERS and not drops


def unrolled_address(layer_sizes, activations, loss, rule, lanes, n_samples, dtype) -> int:
    """Return the address of the C function for blocks of this many lanes and batches of up to n_samples samples."""
    loops = n_samples > INTERLEAVED_SAMPLES
    return address(PopulationArchitecture(tuple(layer_sizes), tuple(activations), loss, rule, lanes, loops), dtype)
