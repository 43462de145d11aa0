"""Variants of a kernel family's training kernels: unrolled code, copies of the weights, nets in threads or blocks.

dispatch.py chooses the family, this module chooses its variant, by thresholds.py. No variant changes a bit of the
results. Work is counted in multiply-adds of matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..devices import Device, backend
from ..kernels.structs import (
    DATA_PARALLEL_PARAMS,
    LANES,
    NO_UPDATE,
    UNROLLED_ALWAYS,
    UNROLLED_IF_ON_DISK,
    UNROLLED_NEVER,
    KernelVariant,
    TrainConfig,
    n_weight_copies,
)
from ..network.spec import Network
from ..thread_count import n_threads_available
from . import thresholds
from .work import products


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


def choose_nets_variant(network: Network, device: Device, n_nets: int, validates: bool, samples: int) -> KernelVariant:
    """Choose the variant of the kernels that train a population's nets in lanes: unrolled code for tiny nets without
    dropout, and the number of nets in a block. It changes no bit of the results.

    samples : number of samples that a net sees in the fit
    validates : whether the loss or accuracy on held-out samples is monitored, which only blocks of LANES nets can
    """
    is_small = network.layout.n_params <= thresholds.UNROLLED_NETS_UP_TO_PARAMS
    if not (device.is_host and is_small) or any(network.dropout):
        return KernelVariant(lanes=LANES)
    return KernelVariant(
        unrolled=choose_unrolled_nets(network, n_nets * samples),
        lanes=LANES if validates else choose_unrolled_lanes(network, device, n_nets),
    )


_nets_work: dict[tuple, int] = {}  # of the fits of each architecture in this process


_compiles_at_once = False


def choose_unrolled_nets(network: Network, samples: int) -> int:
    """Choose whether unrolled code trains nets on so many samples in all: one of UNROLLED_*. Counts them."""
    architecture = network.layer_sizes, network.activation_codes, network.loss
    work = _nets_work.get(architecture, 0) + samples * (products(network, 1) + thresholds.NET_STEP_WORK)
    _nets_work[architecture] = work
    is_much = work >= thresholds.COMPILE_UNROLLED_NETS_FROM
    return UNROLLED_ALWAYS if is_much or _compiles_at_once else UNROLLED_IF_ON_DISK


@contextmanager
def unrolled_nets_at_once() -> Iterator[None]:
    """Context in which the first fit of a population's architecture compiles its unrolled code, however small it is."""
    global _compiles_at_once
    before, _compiles_at_once = _compiles_at_once, True
    try:
        yield
    finally:
        _compiles_at_once = before


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
    compiles : whether code may be generated for the architecture (pays_to_compile)
    """
    if not device.is_host:
        return KernelVariant()
    return KernelVariant(
        own_copies=choose_own_copies(family, network.layout.n_padded, team, n_threads),
        unrolled=choose_unrolled(network, dtype, config, n_samples, n_steps, compiles)
        if family == "batch_simd_4"
        else 0,
    )


def pays_to_compile(time_limit: float | None) -> bool:
    """Whether generating code for an architecture pays in a fit that may take so many seconds, None without a limit."""
    return time_limit is None or time_limit >= thresholds.COMPILE_UNROLLED_FROM_SECONDS


def choose_own_copies(family: str, n_params: int, team: Any, n_threads: int) -> bool:
    """Choose whether each of two threads has its own copies of the weights: of small nets always, of larger nets if the
    threads run on cores that share no cache.
    """
    if family not in ("layerwise", "layerwise_data_parallel") or n_threads != 2:
        return False
    return n_weight_copies(n_params, n_threads) == 2 and (n_params <= DATA_PARALLEL_PARAMS or team.share_no_cache())


_steps_done: dict[tuple, int] = {}  # of each architecture of tiny nets, in this process


def choose_unrolled(
    network: Network, dtype: np.dtype, config: TrainConfig, n_samples: int, n_steps: int, compiles: bool = True
) -> int:
    """Choose whether generated code does the next n_steps steps of a net: one of UNROLLED_*. Counts the steps.

    Compiling takes a few tenths of a second, and loading what another process has compiled some milliseconds.
    """
    if (
        not is_tiny(network, config.batch_size)
        or n_samples > thresholds.UNROLLED_UP_TO_SAMPLES
        or config.rule == NO_UPDATE
    ):
        return UNROLLED_NEVER
    one_sample = config.batch_size == 1
    architecture = network.layer_sizes, network.activation_codes, network.loss, config.rule, one_sample, dtype
    done = _steps_done.get(architecture, 0)
    _steps_done[architecture] = done + n_steps
    if compiles and done >= thresholds.COMPILE_UNROLLED_AFTER:
        return UNROLLED_ALWAYS
    return UNROLLED_IF_ON_DISK if done >= thresholds.LOAD_UNROLLED_AFTER else UNROLLED_NEVER


def steps_to_unrolled(network: Network, batch_size: int) -> int:
    """Return the number of steps of an architecture after which its generated code is compiled; 0 for nets that are not
    tiny.
    """
    return thresholds.COMPILE_UNROLLED_AFTER if is_tiny(network, batch_size) else 0


def is_tiny(network: Network, batch_size: int) -> bool:
    """Whether a net can have unrolled code: a batch fits into one vector, and the code is not too long."""
    is_small = network.layout.n_params <= thresholds.UNROLLED_UP_TO_PARAMS and not network.has_blocks
    return is_small and batch_size <= thresholds.UNROLLED_UP_TO_ROWS
