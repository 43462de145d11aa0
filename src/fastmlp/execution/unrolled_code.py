"""Unrolled code of tiny nets: whether a net has it, and from how much training on it is loaded or compiled.

kernels/cpu/unrolled/ generates the code. It changes no bit of the results.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..kernels.structs import NO_UPDATE, UNROLLED_ALWAYS, UNROLLED_IF_ON_DISK, UNROLLED_NEVER, TrainConfig
from ..network.spec import Network
from . import thresholds

_steps_done: dict[tuple, int] = {}  # of each architecture of tiny nets, in this process
_nets_work: dict[tuple, int] = {}  # of the fits of each architecture in this process
_compiles_at_once = False


def choose_unrolled(
    network: Network, dtype: np.dtype, config: TrainConfig, n_samples: int, n_steps: int, compiles: bool = True
) -> int:
    """Choose whether generated code does the next n_steps steps of a net: one of UNROLLED_*. Counts the steps.

    One net can have unrolled code if a batch fits into one vector, and the code is not too long. Settings for which
    there is none, such as l2, are found in kernels/cpu/unrolled/compiled.py. Compiling takes a few tenths of a second,
    the first time in a process some seconds more, in which Numba is loaded; loading what another process has compiled
    takes some milliseconds.
    """
    if (
        network.layout.n_params > thresholds.UNROLLED_UP_TO_PARAMS
        or config.batch_size > thresholds.UNROLLED_UP_TO_ROWS
        or n_samples > thresholds.UNROLLED_UP_TO_SAMPLES
        or config.rule == NO_UPDATE
    ):
        return UNROLLED_NEVER
    one_sample = config.batch_size == 1
    architecture = network.layer_sizes, network.activation_codes, network.loss, config.rule, one_sample, dtype
    done = max(_steps_done.get(architecture, 0), thresholds.COMPILE_UNROLLED_AFTER if _compiles_at_once else 0)
    _steps_done[architecture] = done + n_steps
    if compiles and done >= thresholds.COMPILE_UNROLLED_AFTER:
        return UNROLLED_ALWAYS
    return UNROLLED_IF_ON_DISK if done >= thresholds.LOAD_UNROLLED_AFTER else UNROLLED_NEVER


def choose_unrolled_nets(network: Network, samples: int, compiles: bool = True) -> int:
    """Choose whether unrolled code trains nets on so many samples in all: one of UNROLLED_*. Counts them."""
    architecture = network.layer_sizes, network.activation_codes, network.loss
    work = _nets_work.get(architecture, 0) + samples * (network.layout.products + thresholds.NET_STEP_WORK)
    _nets_work[architecture] = work
    is_much = _compiles_at_once or work >= thresholds.COMPILE_UNROLLED_NETS_FROM
    return UNROLLED_ALWAYS if compiles and is_much else UNROLLED_IF_ON_DISK


@contextmanager
def unrolled_at_once() -> Iterator[None]:
    """Context in which fits of an architecture compile its unrolled code, however small they are; later fits use it."""
    global _compiles_at_once
    before, _compiles_at_once = _compiles_at_once, True
    try:
        yield
    finally:
        _compiles_at_once = before


def pays_to_compile(time_limit: float | None) -> bool:
    """Whether generating code for an architecture pays in a fit that may take so many seconds, None without a limit."""
    return time_limit is None or time_limit >= thresholds.COMPILE_UNROLLED_FROM_SECONDS
