"""Lookup of unrolled code for populations of tiny nets, compiled once for each architecture.

The code is a C function that population/gradient.py calls through its address, so a new architecture compiles nothing
else. execution/unrolled_code.py chooses for which nets it replaces the loops; results have the same bits either way.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ...jit.call import load_function
from ...jit.object_cache import exists
from ..workspace import INTERLEAVED_SAMPLES
from .architecture import PopulationArchitecture


def _name(architecture: PopulationArchitecture, dtype: np.dtype) -> str:
    return f"unrolled {architecture} {dtype}"


@cache
def address(architecture: PopulationArchitecture, dtype: np.dtype) -> int:
    """Return the address of the C function of an architecture; load or compile it if needed."""

    def compiled():
        from ...jit.compile_process import work_shared

        # This code links with nothing. The helper process is started now because the kernel is compiled next.
        with work_shared(()):
            from ...jit.compiler import machine_code_of_c
            from .population_codegen import python_function, signature

            return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(_name(architecture, dtype), compiled).address


def unrolled_address(layer_sizes, activations, loss, rule, lanes, n_samples, dtype, compiles=True) -> int:
    """Return the address of the C function for blocks of `lanes` nets, for an architecture of tiny nets.

    n_samples : rows of a batch; up to INTERLEAVED_SAMPLES are interleaved; more are done in a loop
    compiles : whether to compile code that is not on disk; if not, 0 is returned for it
    """
    loops = n_samples > INTERLEAVED_SAMPLES
    architecture = PopulationArchitecture(tuple(layer_sizes), tuple(activations), loss, rule, lanes, loops)
    return address(architecture, dtype) if compiles or exists(_name(architecture, dtype)) else 0
