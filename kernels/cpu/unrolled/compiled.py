"""Lookup of unrolled code for tiny nets, which is compiled once for each architecture and dtype.

The code is a C function that kernels call through its address, so a new architecture compiles nothing else.
execution/unrolled_code.py chooses where it replaces the loops of single_net/batch_simd.py and of
population/gradient_loops.py; results have the same bits either way.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ...formulas.activations import ACTIVATIONS
from ...formulas.losses import LOSSES
from ...jit.call import load_function
from ...jit.object_cache import exists
from ...structs import CLIP_NORM, NO_UPDATE, WEIGHT_DECAY, NetSpec, Samples, TrainConfig
from ..workspace import INTERLEAVED_SAMPLES, tile_size

TRAIN = "cpu.unrolled.single_net_loop.train"


class Architecture(NamedTuple):
    """What a compiled function depends on besides the dtype."""

    layer_sizes: tuple[int, ...]
    activations: tuple[int, ...]  # codes
    loss: int  # code
    rule: int  # code of the update rule
    lanes: int  # nets of a block; 0 for one net, whose samples are lanes
    small_batch: bool  # whether a batch of one net has one sample, of a population at most INTERLEAVED_SAMPLES


def _name(architecture: Architecture, dtype: np.dtype) -> str:
    own = [ACTIVATIONS[code].digest for code in architecture.activations] + [LOSSES[architecture.loss].digest]
    return f"unrolled {architecture} {dtype}{''.join(own)}"


@cache
def address(architecture: Architecture, dtype: np.dtype) -> int:
    """Return the address of the C function of an architecture; load or compile it if needed."""

    def compiled():
        from ...jit.compile_process import work_shared

        # The code is compiled here, since it has no linked functions to share. work_shared only starts the compile
        # process, which imports Numba meanwhile, for the kernel that is compiled next.
        with work_shared(()):
            from ...jit.compiler import library_of_c
            from . import population_codegen, single_net_codegen

            code = (population_codegen if architecture.lanes else single_net_codegen).CODE
            return library_of_c(code.function(architecture), *code.signature(dtype)).object_code

    return load_function(_name(architecture, dtype), compiled).address


@cache
def _is_on_disk(architecture: Architecture, dtype: np.dtype) -> bool:
    """Whether the code was on disk when this process first asked. Each kernel call asks, and a look takes 40 us."""
    return exists(_name(architecture, dtype))


def address_of_net(net: NetSpec, config: TrainConfig, dtype: np.dtype, compiles: bool) -> int:
    """Return the address of the unrolled steps of a tiny net; 0 if there is no such code for these settings.

    compiles : whether to compile the code if it is not on disk; otherwise 0 is returned then
    """
    if config.rule == NO_UPDATE or config.layered:
        return 0
    if net.l2 or config.hyper[WEIGHT_DECAY] or config.hyper[CLIP_NORM]:
        return 0
    architecture = _architecture(net, int(config.rule), 0, config.batch_size == 1)
    return address(architecture, dtype) if compiles or _is_on_disk(architecture, dtype) else 0


def address_of_nets(net: NetSpec, rule: int, lanes: int, batch_rows: int, dtype: np.dtype, compiles: bool) -> int:
    """Return the address of the C function for blocks of `lanes` tiny nets, as address_of_net does for one.

    rule : code of the update rule
    batch_rows : samples of a batch: one function without a loop does all batches of up to INTERLEAVED_SAMPLES, and
        another, with a loop, all larger ones
    """
    architecture = _architecture(net, rule, lanes, batch_rows <= INTERLEAVED_SAMPLES)
    return address(architecture, dtype) if compiles or exists(_name(architecture, dtype)) else 0


def _architecture(net: NetSpec, rule: int, lanes: int, small_batch: bool) -> Architecture:
    codes = tuple(net.sizes.tolist()), tuple(net.activations.tolist()), int(net.loss)
    return Architecture(*codes, rule, lanes, small_batch)


def make_tiles(net: NetSpec, data: Samples, config: TrainConfig, dtype: np.dtype) -> np.ndarray:
    """Return a buffer for the samples of an epoch: tile_size numbers for each batch, flat."""
    n_batches = -(-data.n_samples // config.batch_size)
    return np.zeros(n_batches * tile_size(int(net.sizes[0]), int(net.sizes[-1])), dtype)
