"""Lookup of unrolled code for one tiny net, which is compiled once for each architecture.

execution/unrolled_code.py chooses from how many steps of an architecture on it replaces the loops of
single_net/batch_simd.py. Results have the same bits either way.
"""

from __future__ import annotations

from functools import cache
from time import monotonic

import numpy as np

from ...jit.call import load_function
from ...jit.object_cache import exists
from ...structs import CLIP_NORM, NO_UPDATE, WEIGHT_DECAY, NetSpec, Samples, TrainConfig
from ..workspace import tile_size
from .architecture import SingleNetArchitecture

TRAIN = "cpu.unrolled.single_net_loop.train"


def _name(architecture: SingleNetArchitecture, dtype: np.dtype) -> str:
    return f"unrolled {architecture} {dtype}"


@cache
def address(architecture: SingleNetArchitecture, dtype: np.dtype) -> int:
    """Return the address of the C function of an architecture; load or compile it if needed."""

    def compiled():
        from ...jit.compiler import machine_code_of_c
        from .single_net_codegen import python_function, signature

        return machine_code_of_c(python_function(architecture), *signature(dtype))

    return load_function(_name(architecture, dtype), compiled).address


ASK_EVERY = 1.0  # seconds
_found: set[tuple] = set()  # architectures whose code is on disk
_ask_again: dict[tuple, float] = {}  # times at which to look again for that of others


def _is_on_disk(architecture: SingleNetArchitecture, dtype: np.dtype) -> bool:
    """Whether this process or another one has compiled the code. Each kernel call asks, and each look takes 40 us."""
    key = architecture, dtype
    if key not in _found and (now := monotonic()) >= _ask_again.get(key, 0.0):
        if exists(_name(architecture, dtype)):
            _found.add(key)
        else:
            _ask_again[key] = now + ASK_EVERY
    return key in _found


def address_for(net: NetSpec, config: TrainConfig, dtype: np.dtype, compiles: bool) -> int:
    """Return the address of the unrolled steps of a tiny net; 0 if there is no such code for these settings.

    compiles : whether to compile the code if it is not on disk; otherwise 0 is returned then
    """
    if config.rule == NO_UPDATE or config.layered:
        return 0
    if net.l2 or config.hyper[WEIGHT_DECAY] or config.hyper[CLIP_NORM]:
        return 0
    sizes, activations = tuple(net.sizes.tolist()), tuple(net.activations.tolist())
    architecture = SingleNetArchitecture(sizes, activations, int(net.loss), int(config.rule), config.batch_size == 1)
    return address(architecture, dtype) if compiles or _is_on_disk(architecture, dtype) else 0


def make_tiles(net: NetSpec, data: Samples, config: TrainConfig, dtype: np.dtype) -> np.ndarray:
    """Return a buffer for the samples of an epoch: tile_size numbers for each batch, flat."""
    n_batches = -(-data.n_samples // config.batch_size)
    return np.zeros(n_batches * tile_size(int(net.sizes[0]), int(net.sizes[-1])), dtype)
