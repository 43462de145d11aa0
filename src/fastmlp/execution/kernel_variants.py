"""Variants of a kernel family's training kernels: unrolled code, copies of the weights, nets in threads or blocks.

dispatch.py chooses the family, this module chooses its variant, by thresholds.py; unrolled_code.py has the rules of
unrolled code. No variant changes a bit of the results.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..devices import Device, backend
from ..kernels.structs import (
    DATA_PARALLEL_PARAMS,
    LANES,
    UNROLLED_ALWAYS,
    UNROLLED_NEVER,
    KernelVariant,
    TrainConfig,
    n_weight_copies,
)
from ..network.spec import Network
from ..thread_count import n_threads_available
from . import thresholds, unrolled_code


class GpuNetsFit(NamedTuple):
    """Facts of a fit on which a GPU's kernel for small nets depends, besides the nets and their number."""

    itemsize: int  # bytes of a number
    n_state: int  # state vectors of the update rule
    n_samples: int
    batch_size: int


def choose_gpu_nets_variant(network: Network, n_nets: int, fit: GpuNetsFit) -> KernelVariant:
    """Choose whether a GPU's thread trains a net of a population, or a block of threads does.

    A net in a thread needs enough nets to fill a block, and registers for its parameters, gradients and state; dropout
    masks are drawn by blocks only. The loop over few samples is unrolled where counting them takes a noticeable part of
    a step.
    """
    numbers = network.layout.n_params * (2 + fit.n_state)
    has_room = numbers <= thresholds.THREAD_UP_TO_NUMBERS[fit.itemsize] and not any(network.dropout)
    if not (has_room and n_nets >= thresholds.THREADS_FROM_NETS):
        return KernelVariant()
    is_short = network.layout.n_params * fit.n_samples <= thresholds.THREAD_UNROLLED_UP_TO
    unrolled = UNROLLED_ALWAYS if is_short and fit.batch_size >= fit.n_samples else UNROLLED_NEVER
    return KernelVariant(unrolled=unrolled, net_per_thread=True)


def choose_nets_variant(
    network: Network, device: Device, n_nets: int, validates: bool, samples: int, compiles: bool = True
) -> KernelVariant:
    """Choose the variant of the kernels that train a population's nets in lanes: unrolled code for nets of up to
    UNROLLED_NETS_UP_TO_PARAMS parameters without dropout, and the number of nets in a block. It changes no bit of the
    results.

    samples : number of samples that a net sees in the fit
    validates : whether the loss or accuracy on held-out samples is monitored, which only blocks of LANES nets can do
    compiles : whether code may be generated for the architecture (unrolled_code.pays_to_compile)
    """
    is_small = network.layout.n_params <= thresholds.UNROLLED_NETS_UP_TO_PARAMS
    if not (device.is_host and is_small) or any(network.dropout):
        return KernelVariant(lanes=LANES)
    return KernelVariant(
        unrolled=unrolled_code.choose_unrolled_nets(network, n_nets * samples, compiles),
        lanes=LANES if validates else choose_unrolled_lanes(network, device, n_nets),
    )


def choose_unrolled_lanes(network: Network, device: Device, n_nets: int) -> int:
    """Return the number of nets in a block where unrolled code does all of the training."""
    lanes = max(8, backend(device).VECTOR_BYTES // 4)
    wide = network.layout.n_params <= thresholds.WIDE_UP_TO_PARAMS and n_nets >= 2 * lanes
    return 2 * lanes if wide and n_nets >= 2 * lanes * n_threads_available() else lanes


def choose_variant(
    network: Network,
    device: Device,
    family: str,
    team: Any,
    n_threads: int,
    dtype: np.dtype,
    config: TrainConfig,
    n_samples: int,
    n_steps: int,
    compiles: bool = True,
) -> KernelVariant:
    """Choose the variant of a family's kernels for a call of n_steps steps on n_threads threads of the team.

    It changes no bit of the results. The threads' distance is measured for each call: a virtual processor may move to
    another core at any time.

    n_samples : number of samples in the data
    compiles : whether code may be generated for the architecture (unrolled_code.pays_to_compile)
    """
    if not device.is_host:
        return KernelVariant()
    return KernelVariant(
        own_copies=choose_own_copies(family, network.layout.n_padded, team, n_threads),
        unrolled=unrolled_code.choose_unrolled(network, dtype, config, n_samples, n_steps, compiles)
        if family == "batch_simd_4"
        else UNROLLED_NEVER,
    )


def choose_own_copies(family: str, n_params: int, team: Any, n_threads: int) -> bool:
    """Choose whether each of two threads has its own copies of the weights: of small nets always, of larger nets if the
    threads run on cores that share no cache.
    """
    if family not in ("layerwise", "layerwise_data_parallel") or n_threads != 2:
        return False
    return n_weight_copies(n_params, n_threads) == 2 and (n_params <= DATA_PARALLEL_PARAMS or team.share_no_cache())
