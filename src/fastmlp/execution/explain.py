"""Explanation of what dispatch chooses for a fit: kernel family, threads and rows, each with its reason.

The reasons are what the table of families (family_descriptions.py) says, and the numbers of the fit beside it.
"""

from __future__ import annotations

from math import inf

import numpy as np

from ..devices import Device
from ..errors import counted
from ..kernels.structs import Choice
from ..network.spec import Network
from ..runtime.thread_count import n_threads_available
from . import dispatch, gpu_costs, thresholds
from .family_descriptions import FAMILIES, KernelFamily
from .work import products

GPU_THREADS = "Threads: the GPU's own."


def explain_training(
    network: Network, device: Device, dtype: np.dtype, batch_size: int, precision: str = "exact"
) -> str:
    """Three lines: the kernel family with its reason, the number of threads with its reason, the rows in memory."""
    choice = dispatch.choose_training(network, device, dtype, batch_size, precision)
    work = f"{products(network, batch_size):,} multiply-adds in a step of {counted(batch_size, 'sample')}"
    if device.is_host:
        weights = counted(max(i * j for i, j in network.layout.shapes), "weight")
        why = f"up to {weights} in a layer and {work}"
    else:
        seconds = gpu_costs.device_step_seconds(network, batch_size, precision, dtype, device)
        steps = " and ".join(f"{1e6 * value:,.0f} us in {name}" for name, value in seconds.items())
        why = f"{work}, which takes {steps} by the cost model"
    why = f"the net has {counted(network.layout.n_params, 'parameter')}, {why}"
    return "\n".join((_family(choice.family, device, why), _threads(choice, device), _rows(choice, batch_size)))


def _row(family: str, device: Device) -> KernelFamily:
    """Return the row of the table of families."""
    kind = "cpu" if device.is_host else "cuda"
    return next(row for row in FAMILIES if row.name == family and kind in row.device)


def _family(family: str, device: Device, why: str) -> str:
    """The line on the kernel family."""
    row, kind = _row(family, device), "cpu" if device.is_host else "cuda"
    head = f"Kernel family: {family} on {kind} ({row.trains}; a lane holds {row.lanes})"
    return f"{head}, because {why}. It is chosen for: {row.chosen}."


def explain_nets_training(
    network: Network,
    n_nets: int,
    device: Device,
    dtype: np.dtype,
    n_samples: int,
    batch_size: int,
    epochs: int,
    precision: str,
) -> str:
    """Three lines: the kernel family with its reason, the number of threads with its reason, the nets at a time."""
    shuffles, available = batch_size < n_samples, n_threads_available()
    family = dispatch.choose_nets_family(
        network, n_nets, batch_size, device, dtype, shuffle=shuffles, precision=precision
    )
    lanes_from = dispatch.lanes_from(network, batch_size, shuffles)
    why = f"nets of {counted(network.layout.n_params, 'parameter')} in batches of {batch_size:,} "
    if not device.is_host:
        why += "take the least time in it by the cost model"
    elif lanes_from == inf:
        why += "are too large for a SIMD lane each"
    else:
        why += f"are trained in SIMD lanes from {lanes_from:.0f} nets on, and these are {n_nets:,}"
    if not device.is_host:
        threads, nets = GPU_THREADS, f"all {n_nets:,} on the GPU, or as many at a time as it has room for"
    elif family == "one_by_one":
        n_threads = dispatch.one_by_one_threads(device, n_nets)
        threads, nets = f"Threads: {n_threads} of {available}, each with a net of its own.", f"{n_threads} at a time"
    else:
        variant = dispatch.choose_nets_variant(network, device, n_nets, False, 0)
        n_threads = dispatch.lane_threads(network, n_nets, variant.lanes, epochs * n_samples)
        each = f"{thresholds.CALL_PER_THREAD:,} multiply-adds, and for each block of {variant.lanes} nets"
        threads = f"Threads: {n_threads} of {available} (a thread for each {each})."
        nets = f"{variant.lanes} in a block, one in each lane"
    return "\n".join((_family(family, device, why), threads, f"Nets: {nets}."))


def _threads(choice: Choice, device: Device) -> str:
    if not device.is_host:
        return GPU_THREADS
    tried = "; while training, one is tried and kept if faster" if choice.n_threads > 1 else ""
    has = _row(choice.family, device).threads
    has += "" if has == "1" else f"; each further one pays from {thresholds.STEP_PER_THREAD:,} multiply-adds on"
    return f"Threads: {choice.n_threads} of {n_threads_available()} (this family has {has}){tried}."


def _rows(choice: Choice, batch_size: int) -> str:
    if choice.rows >= batch_size:
        return f"Rows: the whole batch of {batch_size:,} at once."
    n = -(-batch_size // choice.rows)
    return f"Rows: {choice.rows:,} of {batch_size:,} at a time, so {n} micro-batches for each step, in bounded memory."
