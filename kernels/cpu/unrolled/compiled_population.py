"""Lookup of unrolled code for populations of tiny nets, compiled once for each architecture and dtype.

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

        # The code is compiled here, since it has no linked functions to share. work_shared only starts the compile
        # process, which imports Numba meanwhile, for the kernel that is compiled next.
        with work_shared(()):
            from ...jit.compiler import machine_code_of_c
            from .population_codegen import python_function, signature

            return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(_name(architecture, dtype), compiled).address


def unrolled_address(layer_sizes, activations, loss, rule, lanes, batch_rows, dtype, compiles=True) -> int:
    """Return the address of the C function for blocks of `lanes` nets, for an architecture of tiny nets.

    activations, loss, rule : codes of the layers' activations, the loss and the update rule
    lanes : nets of a block
    batch_rows : samples of a batch: one function without a loop does all batches of up to INTERLEAVED_SAMPLES, and
        another, with a loop, all larger ones
    compiles : whether to compile code that is not on disk; if not, 0 is returned for it
    """
    loops = batch_rows > INTERLEAVED_SAMPLES
    architecture = PopulationArchitecture(tuple(layer_sizes), tuple(activations), loss, rule, lanes, loops)
    return address(architecture, dtype) if compiles or exists(_name(architecture, dtype)) else 0
