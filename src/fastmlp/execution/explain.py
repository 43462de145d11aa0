"""Explanation of what dispatch chooses for a fit: kernel family, threads and rows, each with its reason."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from ..devices import Device
from ..errors import counted
from ..kernels.structs import Choice
from ..network.spec import Network
from ..runtime.thread_count import n_threads_available
from . import dispatch, gpu_costs, thresholds
from .cpu_families import suits_lanes, work_of_samples
from .family_descriptions import FAMILIES
from .work import products

GPU_THREADS = "Threads: the GPU's own."


def explain_training(
    network: Network, device: Device, dtype: np.dtype, batch_size: int, precision: str = "exact"
) -> str:
    """Three lines: the kernel family with its reason, the number of threads with its reason, the rows in memory."""
    choice = dispatch.choose_training(network, device, dtype, batch_size, precision)
    if device.is_host:
        why = _why_family(network, choice.family, batch_size)
    else:
        seconds = gpu_costs.device_step_seconds(network, batch_size, precision, dtype, device)
        why = _why_device_family(seconds, choice.family)
    threads = _threads(network, choice, batch_size) if device.is_host else GPU_THREADS
    return "\n".join((_family(choice.family, device, why), threads, _rows(choice, batch_size)))


def _family(family: str, device: Device, why: str) -> str:
    """The line on the kernel family."""
    kind = "cpu" if device.is_host else "cuda"
    row = next(row for row in FAMILIES if row.name == family and kind in row.device)
    return f"Kernel family: {family} on {kind} ({row.trains}; a lane holds {row.lanes}), because {why}."


class NetsFit(NamedTuple):
    """A fit of a population, as far as the choice of its kernels depends on it."""

    network: Network
    n_nets: int
    device: Device
    dtype: np.dtype
    n_samples: int
    batch_size: int
    epochs: int
    precision: str


def explain_nets_training(fit: NetsFit) -> str:
    """Three lines: the kernel family with its reason, the number of threads with its reason, the nets at a time."""
    shuffles = fit.batch_size < fit.n_samples
    family = dispatch.choose_nets_family(
        fit.network, fit.n_nets, fit.batch_size, fit.device, fit.dtype, shuffle=shuffles, precision=fit.precision
    )
    why = _why_nets_family(fit, dispatch.lanes_from(fit.network, fit.batch_size, shuffles))
    return "\n".join((_family(family, fit.device, why), *_nets_at_a_time(fit, family)))


def _why_nets_family(fit: NetsFit, lanes_from: float) -> str:
    if not fit.device.is_host:
        return "it is the fastest by the cost model of those that can train the nets"
    n = f"nets of {counted(fit.network.layout.n_params, 'parameter')} in batches of {fit.batch_size:,}"
    if lanes_from == inf:
        return f"{n} are too large for a SIMD lane each"
    return f"{n} are trained in SIMD lanes from {lanes_from:.0f} nets on, and these are {fit.n_nets:,}"


def _nets_at_a_time(fit: NetsFit, family: str) -> tuple[str, str]:
    """The lines on threads and on the nets that are trained at a time."""
    available = n_threads_available()
    if not fit.device.is_host:
        return GPU_THREADS, f"Nets: all {fit.n_nets:,} on the GPU, or as many at a time as it has room for."
    if family == "one_by_one":
        n_threads = dispatch.one_by_one_threads(fit.device, fit.n_nets)
        return f"Threads: {n_threads} of {available}, each with a net of its own.", f"Nets: {n_threads} at a time."
    samples = fit.epochs * fit.n_samples
    variant = dispatch.choose_nets_variant(fit.network, fit.device, fit.n_nets, False, 0)
    n_threads = dispatch.lane_threads(fit.network, fit.n_nets, variant.lanes, samples)
    why = f"a thread for each {thresholds.CALL_PER_THREAD:,} multiply-adds, and for each block of {variant.lanes} nets"
    return f"Threads: {n_threads} of {available} ({why}).", f"Nets: {variant.lanes} in a block, one in each lane."


def _why_device_family(seconds: dict[str, float], family: str) -> str:
    """seconds : of a step, by the families that can train the net"""
    found = f"a step takes about {1e6 * seconds[family]:,.0f} us by the cost model"
    others = [f"{1e6 * value:,.0f} in {name}" for name, value in seconds.items() if name != family]
    return f"{found}, {' and '.join(others)}" if others else f"{found}, and no other family can train this net"


def _why_family(network: Network, family: str, batch_size: int) -> str:
    n, largest = f"{network.layout.n_padded:,} parameters", max(i * j for i, j in network.layout.shapes)
    small = f"its layers are small (up to {counted(largest, 'weight')}) for batches of {batch_size:,}"
    step = f"{small}, and a step costs {work_of_samples(network, batch_size):,} multiply-adds"
    shards = f"{thresholds.SHARDS_FROM_STEP:,}, where shards begin to pay"
    if family.startswith("layerwise") and any(network.dropout):
        large = "dropout needs masks, which only matrix products layer by layer have"
    else:
        i, j = next((s for s in network.layout.shapes if not suits_lanes(*s, batch_size)), network.layout.shapes[0])
        large = f"the layer {i:,} x {j:,} has {i * j:,} weights, too many for lanes that hold samples"
    return {
        "batch_simd_4": f"{small}, and a batch fills no more than four lanes",
        "batch_simd_16": f"{step}: less than {shards}",
        "batch_simd_data_parallel": f"{step}: from {shards}",
        "layerwise_batch1": f"{large}; a batch of one sample needs no matrix product",
        "layerwise_data_parallel": f"{large}; {n} are few enough for a copy per thread",
        "layerwise": f"{large}; {n} are too many for a copy per thread",
    }[family]


def _threads(network: Network, choice: Choice, batch_size: int) -> str:
    work, available = products(network, batch_size), n_threads_available()
    if choice.family in ("batch_simd_4", "batch_simd_16", "layerwise_batch1"):
        why = "this family has one"
    elif choice.family == "batch_simd_data_parallel":
        why = f"one per {thresholds.STEP_PER_SHARD_THREAD:,} multiply-adds, two at least, a shard each"
    else:
        why = f"a step has {work:,} multiply-adds, and each thread should have {thresholds.STEP_PER_THREAD:,} and " + (
            f"{thresholds.ROWS_PER_THREAD:,} rows"
        )
    tried = "; while training, one is tried and kept if faster" if choice.n_threads > 1 else ""
    return f"Threads: {choice.n_threads} of {available} ({why}){tried}."


def _rows(choice: Choice, batch_size: int) -> str:
    if choice.rows >= batch_size:
        return f"Rows: the whole batch of {batch_size:,} at once."
    n = -(-batch_size // choice.rows)
    return f"Rows: {choice.rows:,} of {batch_size:,} at a time, so {n} micro-batches for each step, in bounded memory."
