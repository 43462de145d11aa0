"""Lookup of unrolled code for one tiny net, compiled once an architecture has trained for long enough.

Compiling takes a few tenths of a second, and loading what another process has compiled some milliseconds, so the first
steps of an architecture run in the loops of single_net/batch_simd.py. Results have the same bits either way.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ...jit.call import load_function
from ...jit.object_cache import exists
from ...structs import HYPER, NO_UPDATE, NetSpec, Samples, TrainConfig
from ..workspace import LANES_SMALL, tile_size
from .architecture import SingleNetArchitecture

TRAIN = "cpu.unrolled.single_net_loop.train"
MOST_PARAMETERS = 256  # up to this size the loops take 1.5 to 3 times as long; bench/log/README.md#single-net-unrolled
MAKE_AFTER = 1_000_000  # steps of an architecture in this process before its code is compiled: about 0.1 s
LOAD_AFTER = 50_000  # steps before its code is loaded, if another process has compiled it
MOST_SAMPLES = 4096  # all samples are copied into tiles, a single sample to as many lanes as a batch has
CLIP_NORM, WEIGHT_DECAY = HYPER.index("clip_norm"), HYPER.index("weight_decay")

_steps_done: dict[tuple[SingleNetArchitecture, np.dtype], int] = {}


def _name(architecture: SingleNetArchitecture, dtype: np.dtype) -> str:
    return f"unrolled {architecture} {dtype}"


@cache
def address(architecture: SingleNetArchitecture, dtype: np.dtype) -> int:
    """Return the address of the C function of an architecture; load or compile it if needed."""

    def compiled():
        from ...jit.compiler import machine_code_of_c
        from .single_net_codegen import python_function, signature

        return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(_name(architecture, dtype), compiled)


@cache
def _is_on_disk(architecture: SingleNetArchitecture, dtype: np.dtype) -> bool:
    return exists(_name(architecture, dtype))


def is_tiny(n_params: int, batch_size: int) -> bool:
    """Return whether such a net can have unrolled code: a batch fits into one vector, and the code is not too long."""
    return n_params <= MOST_PARAMETERS and batch_size <= LANES_SMALL


def address_for(net: NetSpec, data: Samples, config: TrainConfig, dtype: np.dtype, n_steps: int) -> int:
    """Return the address of the function for the next n_steps steps, or 0 if the loops are to do these steps."""
    if not is_tiny(net.bias_offsets[-1] + net.sizes[-1], config.batch_size) or data.n_samples > MOST_SAMPLES:
        return 0
    if config.rule == NO_UPDATE or config.layered:
        return 0
    if net.l2 or config.hyper[WEIGHT_DECAY] or config.hyper[CLIP_NORM]:
        return 0
    sizes, activations = tuple(net.sizes.tolist()), tuple(net.activations.tolist())
    architecture = SingleNetArchitecture(sizes, activations, int(net.loss), int(config.rule), config.batch_size == 1)
    done = _steps_done.get((architecture, dtype), 0)
    _steps_done[architecture, dtype] = done + n_steps
    if done >= MAKE_AFTER or (done >= LOAD_AFTER and _is_on_disk(architecture, dtype)):
        return address(architecture, dtype)
    return 0


def make_tiles(net: NetSpec, data: Samples, config: TrainConfig, dtype: np.dtype) -> np.ndarray:
    """Return a buffer for the samples of an epoch: tile_size numbers for each batch, flat."""
    n_batches = -(-data.n_samples // config.batch_size)
    return np.zeros(n_batches * tile_size(int(net.sizes[0]), int(net.sizes[-1])), dtype)
