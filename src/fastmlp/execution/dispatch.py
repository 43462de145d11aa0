"""Kernel dispatch: chooses kernel family, threads, rows, shards, copies, lanes and variant, by what thresholds.py says.

A Choice (kernels/structs.py) is what is chosen; allocation and backends take it as it is. docs/architecture.md has a
table of the families. On a GPU, gpu_costs.py estimates what a step takes in each family; unrolled_code.py counts how
much each tiny architecture has been trained, and says whether its unrolled code pays. No variant changes a bit of the
results. Work is counted in multiply-adds of matrix products.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ..devices import Device, backend
from ..kernels import structs
from ..kernels.formulas.update_rules import Rule
from ..kernels.structs import LANES, Choice, KernelVariant
from ..network.spec import Network
from ..runtime.memory_limits import memory_bytes
from ..runtime.thread_count import n_threads_available, threads_setting
from . import gpu_costs, thresholds, unrolled_code
from .cpu_families import choose_evaluation_family, choose_family, n_shards, work_of_samples


def choose_training(
    network: Network, device: Device, dtype: np.dtype, batch_size: int, precision: str, n_threads: int | None = None
) -> Choice:
    """Choose how one net is trained in batches of `batch_size` samples.

    n_threads : number of threads that the caller wants; None for as many as pay
    """
    if not device.is_host:
        threads_setting()  # an invalid value is an error in every fit, whether or not the fit needs it
        seconds = gpu_costs.device_step_seconds(network, batch_size, precision, dtype)
        return Choice(gpu_costs.fastest(seconds), 1, batch_size)
    return choose_on_cpu(network, batch_size, n_threads, n_threads_available())


@lru_cache(maxsize=256)  # choosing anew takes as long as some fits
def choose_on_cpu(network: Network, batch_size: int, n_threads: int | None, n_available: int) -> Choice:
    """Choose how a CPU trains one net, as choose_training does; n_available : threads that this fit may have at most"""
    family = choose_family(network, batch_size)
    if batch_size == 1 and family in ("layerwise", "layerwise_data_parallel"):
        family = "layerwise_batch1"
    return choose_shape(network, family, n_threads or choose_threads(network, family, batch_size), batch_size)


def choose_shape(network: Network, family: str, n_threads: int, batch_size: int) -> Choice:
    """Choose rows, shards and copies for training one net on a CPU in this family, on so many threads.

    A batch goes through the net in micro-batches, but the whole batch of a small net that one thread trains at once.
    """
    rows = batch_size if family == "batch_simd_16" else min(batch_size, thresholds.MICRO_BATCH_ROWS)
    shards = {"layerwise_data_parallel": structs.DATA_PARALLEL_THREADS, "batch_simd_data_parallel": n_shards(rows)}
    is_whole = family == "layerwise_data_parallel" and n_threads <= structs.DATA_PARALLEL_THREADS
    is_whole = is_whole and network.layout.n_padded <= thresholds.DATA_PARALLEL_PARAMS
    copies = n_weight_copies(network.layout.n_padded, n_threads)
    return Choice(family, n_threads, rows, shards.get(family, 1), copies, 0 if is_whole else n_threads)


def n_weight_copies(n_params: int, n_threads: int) -> int:
    """Return the number of packed copies of a net's weights in the layerwise families: 2 if two threads may need their
    own.
    """
    return 2 if n_threads == 2 and n_params <= structs.LARGE_NET_PARAMS else 1


def choose_evaluation(network: Network, device: Device, n_samples: int, n_threads: int | None = None) -> Choice:
    """Choose how the outputs of n_samples samples are computed; n_threads as in choose_training."""
    if not device.is_host:
        return Choice("layerwise", 1, min(n_samples, thresholds.DEVICE_EVALUATION_ROWS))
    has_large_layer = max(i * j for i, j in network.layout.shapes) >= thresholds.LARGE_LAYER_WEIGHTS
    most = thresholds.LARGE_LAYER_EVALUATION_ROWS if has_large_layer else thresholds.EVALUATION_ROWS
    rows = min(n_samples, most)  # that a thread takes through the layers at a time
    family = choose_evaluation_family(network, rows)
    if family != "layerwise":
        return Choice(family, 1, rows)
    n_threads = n_threads or choose_evaluation_threads(network, n_samples)
    if n_threads > 1:  # as many blocks for each thread, and equal ones: 1,797 rows are not 1,024 and 773
        n_blocks = -(-n_samples // (rows * n_threads))
        block_rows = -(-n_samples // (n_blocks * n_threads))
        rows = min(rows, -(-block_rows // thresholds.ROWS_PER_THREAD) * thresholds.ROWS_PER_THREAD)
    copies = n_weight_copies(network.layout.n_padded, n_threads)
    return Choice(family, n_threads, rows * n_threads, weight_copies=copies, sharing_threads=n_threads)


def evaluation_precision(network: Network, device: Device, dtype: np.dtype, precision: str) -> str:
    """Return the precision of a forward pass of one net.

    A net that a GPU's block trains in batches of one sample, and so in float32, is not rounded to bfloat16, whatever
    batches it is trained in.
    """
    if device.is_host or not structs.rounds_to_bfloat16(precision, dtype.itemsize):
        return precision
    seconds = gpu_costs.device_step_seconds(network, 1, "exact", dtype)
    return "exact" if seconds.get("small_net", inf) <= seconds["layerwise"] else precision


@lru_cache(maxsize=256)
def choose_nets_family(
    network: Network,
    n_nets: int,
    rows: int,
    device: Device,
    dtype: np.dtype,
    streams: bool = False,
    shuffle: bool = True,
    precision: str = "exact",
    rule: Rule | None = None,
) -> str:
    """Choose the family that trains the nets of a population.

    "population_simd": each net in a SIMD lane, or on a GPU in a thread or a block. "batched_gemm": on a GPU, all nets
    at the same step. "one_by_one": as many nets at a time as there are threads.

    rows : number of samples in a batch
    streams : whether the samples have no room on the device
    precision : a permission to round; nets in a thread or a block do not use it
    """
    if rule is not None and rule.is_second_order:
        from_nets, up_to_params = thresholds.SECOND_ORDER_LANES[rule.name]
        in_lanes = n_nets >= from_nets and network.layout.n_params <= up_to_params
        return "population_simd" if in_lanes else "one_by_one"
    if not device.is_host:
        if streams:
            return "one_by_one"
        return gpu_costs.fastest(gpu_costs.device_nets_step_seconds(network, n_nets, rows, precision, dtype))
    return "population_simd" if n_nets >= lanes_from(network, rows, shuffle) else "one_by_one"


def lanes_from(network: Network, rows: int, shuffle: bool) -> float:
    """Return the number of nets from which a CPU trains them in SIMD lanes, in batches of `rows` samples, or inf."""
    n_params = network.layout.n_params
    size = 0 if rows <= 4 else 1 if rows <= 16 else 2
    threshold = next((n_nets[size] for most, n_nets in thresholds.LANES_FROM if n_params <= most), inf)
    if not shuffle and n_params <= thresholds.LANES_FROM[0][0]:
        threshold = min(threshold, thresholds.LANES_FROM_UNSHUFFLED)
    return threshold


def one_by_one_threads(device: Device, n_nets: int) -> int:
    """Return the number of threads that train nets one by one, a net each; on a GPU one thread launches all."""
    return max(1, min(n_threads_available(), n_nets)) if device.is_host else 1


class FitsAtOnce(NamedTuple):
    """Several fits of single nets: how many run at the same time, and how many threads each of them has."""

    n_fits: int
    n_threads: int


IN_TURN = FitsAtOnce(1, 0)  # one after another, on this thread; each fit chooses its threads


def choose_fits_at_once(device: Device, n_fits: int, n_bytes: int) -> FitsAtOnce:
    """Choose how many of several fits, each with rows of its own, run at the same time, in equal turns.

    n_bytes : bytes of the rows that each fit copies
    """
    n_threads = n_threads_available()
    most = min(n_fits, n_threads, int(thresholds.COPIES_SHARE * memory_bytes()) // max(1, n_bytes))
    if most < 2 or not device.is_host:
        return IN_TURN
    n_turns = -(-n_fits // most)
    at_once = -(-n_fits // n_turns)
    return FitsAtOnce(at_once, n_threads // at_once)


def choose_nets(
    network: Network,
    device: Device,
    family: str,
    n_nets: int,
    n_members: int,
    fit: NetsFit,
    n_epochs: int,
    validates: bool,
    compiles: bool,
) -> Choice:
    """Choose how n_members of the n_nets nets of a population are trained together, in the family of the population.

    validates : whether the loss or accuracy on held-out samples is monitored
    compiles : whether code may be generated for the architecture (unrolled_code.pays_to_compile)
    """
    if not device.is_host:  # whose own threads are not counted
        return Choice(family, 1, fit.batch_size, variant=choose_gpu_nets_variant(network, n_nets, fit))
    samples = n_epochs * fit.n_samples
    if fit.is_second_order:
        variant = KernelVariant(lanes=LANES)
        work = samples * (network.layout.n_params if fit.needs_curvature else 1)
        n_threads = lane_threads(network, n_members, LANES, work)
        return Choice(family, n_threads, fit.batch_size, variant=variant)
    counted = samples if compiles else 0  # towards the work from which code is compiled
    variant = choose_nets_variant(network, device, n_members, validates, counted, compiles)
    return Choice(family, lane_threads(network, n_members, variant.lanes, samples), fit.batch_size, variant=variant)


def choose_nets_evaluation(
    network: Network, n_nets: int, n_members: int, n_samples: int, device: Device, streams: bool
) -> Choice:
    """Choose how the outputs of n_members of the n_nets nets of a population are computed.

    The number of samples does not count for the family, so that no output depends on it.
    """
    if device.is_host:
        is_small = network.layout.n_params <= thresholds.EVALUATION_LANES_UP_TO_PARAMS
        in_lanes = is_small and n_nets >= thresholds.EVALUATION_LANES_FROM_NETS
        family = "population_simd" if in_lanes else "one_by_one"
    else:
        family = "one_by_one" if n_nets == 1 or streams else "batched_gemm"
    n_threads = lane_threads(network, n_members, LANES, n_samples)
    return Choice(family, n_threads, min(n_samples, thresholds.EVALUATION_ROWS), variant=KernelVariant(lanes=LANES))


def lane_threads(network: Network, n_nets: int, lanes: int, samples: int) -> int:
    """Return the number of threads for n_nets nets in blocks of `lanes`, each of which sees `samples` samples in a fit.

    Starting a thread takes as long as training a small population.
    """
    work = n_nets * samples * (network.layout.products + thresholds.NET_STEP_WORK)
    n_threads = min(-(-n_nets // lanes), work // thresholds.CALL_PER_THREAD)
    return min(n_threads_available(), n_threads) if n_threads > 1 else 1


def choose_threads(network: Network, family: str, rows: int) -> int:
    """Return the number of threads that pay for training in batches of `rows` samples."""
    if family == "batch_simd_data_parallel":
        n_threads = max(2, work_of_samples(network, rows) // thresholds.STEP_PER_SHARD_THREAD)
        return min(n_threads_available(), n_shards(rows), n_threads)
    if family not in ("layerwise", "layerwise_data_parallel"):
        threads_setting()  # an invalid value is an error in every fit, whether or not the fit needs it
        return 1
    work = rows * network.layout.products
    n_threads = min(work // thresholds.STEP_PER_THREAD, rows // thresholds.ROWS_PER_THREAD)
    is_small = family == "layerwise_data_parallel" and network.layout.n_padded <= thresholds.DATA_PARALLEL_PARAMS
    # A second thread with a copy of the net pays earlier: the two exchange less than threads that share a net.
    if is_small and work >= thresholds.DATA_PARALLEL_FROM_STEP:
        n_threads = max(n_threads, 2)
    return max(1, min(n_threads_available(), n_threads))


def choose_evaluation_threads(network: Network, rows: int) -> int:
    """Return the number of threads for a forward pass layer by layer."""
    shapes = network.layout.shapes
    if rows == 1:  # threads divide the outputs of each layer that has enough of them
        n_shares = max(j for _, j in shapes) // structs.COLUMNS_PER_SHARE
        divided = sum(i * j for i, j in shapes if j >= 2 * structs.COLUMNS_PER_SHARE)
        n_threads = min(n_shares, divided // thresholds.WEIGHTS_PER_THREAD)
    else:
        work = rows * sum(i * j for i, j in shapes)
        n_threads = min(work // thresholds.PASS_PER_THREAD, rows // thresholds.ROWS_PER_THREAD)
    return max(1, min(n_threads_available(), n_threads))


class NetsFit(NamedTuple):
    """Facts of a fit on which kernels for small nets depend, besides the nets and their number."""

    itemsize: int  # bytes of a number
    n_state: int  # state vectors of the update rule
    n_samples: int
    batch_size: int
    is_second_order: bool = False
    needs_curvature: bool = False


def choose_gpu_nets_variant(network: Network, n_nets: int, fit: NetsFit) -> KernelVariant:
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
    unrolled = structs.UNROLLED_ALWAYS if is_short and fit.batch_size >= fit.n_samples else structs.UNROLLED_NEVER
    return KernelVariant(unrolled=unrolled, net_per_thread=True)


def choose_nets_variant(
    network: Network, device: Device, n_nets: int, validates: bool, samples: int, compiles: bool = True
) -> KernelVariant:
    """Choose the variant of the kernels that train a population's nets in lanes: unrolled code for nets of up to
    UNROLLED_NETS_UP_TO_PARAMS parameters without dropout, and the number of nets in a block.

    samples : number of samples that a net sees in the fit
    validates : whether the loss or accuracy on held-out samples is monitored, which only blocks of LANES nets can do
    compiles : whether code may be generated for the architecture (unrolled_code.pays_to_compile)
    """
    is_small = network.layout.n_params <= thresholds.UNROLLED_NETS_UP_TO_PARAMS
    if not (device.is_host and is_small) or any(network.dropout):
        return KernelVariant(lanes=LANES)
    lanes = LANES
    if not validates:  # unrolled code does all of the training
        lanes = max(8, backend(device).VECTOR_BYTES // 4)
        if network.layout.n_params <= thresholds.WIDE_UP_TO_PARAMS and n_nets >= 2 * lanes * n_threads_available():
            lanes *= 2
    return KernelVariant(unrolled=unrolled_code.choose_unrolled_nets(network, n_nets * samples, compiles), lanes=lanes)


def choose_own_copies(family: str, n_params: int, team: Any, n_threads: int) -> bool:
    """Choose whether threads have copies of their own, of the net or of its packed weights: each thread that takes
    shards of a small net in lanes; each of two threads layer by layer, of small nets always, and of larger nets if the
    threads run on cores that share no cache. That is measured for each call of kernels: a virtual processor may move to
    another core at any time.
    """
    if family == "batch_simd_data_parallel":
        return n_threads > 1
    if family not in ("layerwise", "layerwise_data_parallel") or n_weight_copies(n_params, n_threads) < 2:
        return False
    return n_params <= thresholds.DATA_PARALLEL_PARAMS or team.share_no_cache()
