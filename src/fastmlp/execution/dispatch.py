"""Kernel dispatch: chooses kernel family, threads, lanes and rows, by thresholds that are measured or estimated.

The families are described in families.py. Work is counted in multiply-adds of matrix products. Comments name the study
that measured a constant and its entry in the log; constants for a GPU are estimates so far.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from ..checks import HALF
from ..devices import Device, backend, n_threads_available
from ..kernels.structs import DATA_PARALLEL_PARAMS, EVALUATION_CHUNK_ROWS, n_shards
from ..network.spec import Network

# ---- samples as SIMD lanes (batch_simd) or a product per layer (layerwise): bench/studies/choose_family.py,
# bench/log/README.md#family-thresholds


class BatchSimdLimit(NamedTuple):
    """Largest layer with which samples as lanes win, for batches of up to max_rows samples."""

    max_rows: float
    max_weights: int
    # A layer with so few outputs does not count, whatever its weights: a product takes 16 columns at a time, except the
    # product with one row.
    max_outputs: int


BATCH_SIMD_LIMITS = (
    BatchSimdLimit(1, 200, 0),
    BatchSimdLimit(8, 200, 2),
    BatchSimdLimit(31, 600, 4),
    BatchSimdLimit(63, 2500, 4),
    BatchSimdLimit(inf, 3500, 4),
)
# Where the outputs of a layer leave tiles of a product half empty, samples as lanes win with larger layers
# (bench/log/README.md#half-filled-tiles).
TILE_COLUMNS = 32  # columns of a product's tile
TILE_FILL = 0.8  # fraction of the tiles' columns that are outputs, below which they count as half empty
HALF_FILLED_FROM_ROWS = 64  # samples of a batch
HALF_FILLED_UP_TO_WEIGHTS = 40_000  # weights of the layer
# Multiply-adds of the layer's product. Samples as lanes have eight threads at the most (n_shards), a larger product
# would give more of them enough to do. Estimated: two CPUs were at hand.
HALF_FILLED_UP_TO_PRODUCT = 16_000_000
EVALUATION_UP_TO_WEIGHTS = 128  # weights of the largest layer up to which a forward pass has samples as lanes ...
EVALUATION_UP_TO_INPUTS = 32  # ... if the net has no more inputs

# ---- data-parallel training of one net: bench/log/README.md#data-parallel, bench/log/README.md#no-shared-cache.
# DATA_PARALLEL_PARAMS (kernels/structs.py) is the number of parameters up to which it always pays.

CACHED_BATCH_PARAMS = 200_000  # parameters up to which it pays if a batch's deltas stay in the second-level cache
L2_DELTAS = 250_000  # deltas of a batch that stay there. Those that leave the cache cost another core little.
# Deep nets of narrow layers train data-parallel whatever the batch: threads that share a net read more of what another
# thread has written, and the weights of such layers where they are, without a packed copy.
NARROW_UNITS = 160  # units of the largest layer
NARROW_NET_PARAMS = 1_200_000  # parameters of the net
DATA_PARALLEL_FROM_STEP = 900_000  # multiply-adds of a step from which a second thread with a copy of the net pays

# ---- threads of one net: bench/studies/choose_threads.py, bench/log/README.md#thread-thresholds

STEP_PER_THREAD = 1_500_000  # multiply-adds of a step that pay for one more thread at two barriers
CALL_PER_THREAD = 3_000_000  # multiply-adds of a kernel call that pay for waking one more thread
PASS_PER_THREAD = 4_500_000  # multiply-adds of a forward pass; they have less work around them than those of a step
ROWS_PER_THREAD = EVALUATION_CHUNK_ROWS  # fewest samples of a thread
ACTIVATION_WORK = 20  # multiply-adds that take as long as an activation with samples as lanes
SHARDS_FROM_STEP = 300_000  # work of a step with samples as lanes (multiply-adds) from which two threads pay
STEP_PER_SHARD_THREAD = 600_000  # the same for each further thread

# ---- populations in lanes or one by one: bench/studies/lanes_vs_one_by_one.py, bench/log/README.md#lanes-or-one-by-one

LANES = 16  # nets of a block whose code has loops


class LaneThreshold(NamedTuple):
    """Numbers of nets from which nets of up to max_params parameters train in lanes, by the samples of a batch.

    They are twice the number that makes a block of lanes cheaper than nets one by one, since two threads train two nets
    one by one in the time of one. More threads would raise it further, but a population has the same bits for any
    number of threads.
    """

    max_params: int
    batches_up_to_4: float
    batches_up_to_16: float
    larger_batches: float

    def n_nets(self, batch_size: int) -> float:
        if batch_size <= 4:
            return self.batches_up_to_4
        return self.batches_up_to_16 if batch_size <= 16 else self.larger_batches


LANES_FROM = (LaneThreshold(40, 6, 12, 20), LaneThreshold(1000, 8, 14, 24), LaneThreshold(4000, 12, 24, inf))
LANES_FROM_UNSHUFFLED = 8  # nets of up to LANES_FROM[0].max_params parameters, if their samples stay in place
EVALUATION_LANES_UP_TO_PARAMS = 4000  # parameters of a net up to which a forward pass is in lanes ...
EVALUATION_LANES_FROM_NETS = 12  # ... from so many nets on
NET_STEP_WORK = 50  # multiply-adds that take as long as activations and bookkeeping of a tiny net and sample
# A block of unrolled code fills a register with float32. Up to so many parameters it fills two where each thread has
# enough nets: two chains of dependent operations fill each other's gaps. Larger nets would have too few registers.
# (bench/studies/lanes_per_block.py, bench/log/README.md#lanes-per-block)
WIDE_UP_TO_PARAMS = 13

# ---- rows: samples that go through a net at once

# Samples of a micro-batch: a larger batch goes through the net in parts, so that it needs no more memory than one of
# them, and numbers stay in caches on their way. A multiple of whole tiles, vectors and blocks of a product.
# (bench/log/README.md#micro-batches)
MICRO_BATCH_ROWS = 4096
EVALUATION_ROWS = 256  # samples that a thread takes through the layers at a time in a forward pass ...
LARGE_LAYER_WEIGHTS = 100_000  # ... but for a layer of so many weights, which it copies each time,
LARGE_LAYER_EVALUATION_ROWS = 1024  # it takes so many (bench/log/2026-11-25-17-avx2.md)
DEVICE_EVALUATION_ROWS = 16_384  # samples that a GPU takes through the layers at a time

# ---- families on a GPU: estimates, bench/log/README.md#gpu-one-launch and bench/log/README.md#gpu-batched-population

# One block trains a net by itself, if no step has more multiply-adds than a block does in the time that launching a
# step's kernels one by one takes.
BLOCK_UP_TO_PARAMS = 20_000  # parameters of the net
BLOCK_UP_TO_STEP = 4_000_000  # multiply-adds of a step
# In a population a block's shared memory should hold parameters, gradient, two vectors of state and a tile of
# activations of its net.
BLOCK_UP_TO_BYTES = 40_000  # bytes of parameters: 10,000 in float32
# Larger nets take each step together, except those whose own step has so many multiply-adds that its products take
# longer than their launches: 1e9 are 66 us at half of an H100's rate, launching 15 kernels takes about 45.
ONE_BY_ONE_FROM_STEP = 1_000_000_000
FUSED_UP_TO_UNITS = 128  # largest layer up to which all layers fit into one kernel with tensor cores


def products(network: Network, rows: int) -> int:
    """Multiply-adds of the matrix products of one training step."""
    sizes = [i * j for i, j in network.layout.shapes]
    return rows * (3 * sum(sizes) - sizes[0])


class TrainingChoice(NamedTuple):
    """What dispatch chooses for a fit of one net."""

    family: str
    n_threads: int
    rows: int  # of a batch that go through the net at once


def choose_training(
    network: Network, device: Device, dtype: np.dtype, batch_size: int, precision: str, n_threads: int | None = None
) -> TrainingChoice:
    """Choose kernel family, threads and rows for training one net in batches of `batch_size` samples.

    n_threads : number of threads that the caller wants; None for as many as pay
    """
    if device.is_host:
        family = choose_family(network, batch_size)
        if batch_size == 1 and family in ("layerwise", "layerwise_data_parallel"):
            family = "layerwise_batch1"
    else:
        family = choose_device_family(network, batch_size, precision, dtype)
    n_threads = n_threads or choose_threads(network, family, batch_size)
    return TrainingChoice(family, n_threads, micro_batch_rows(device, family, batch_size))


class EvaluationChoice(NamedTuple):
    """What dispatch chooses for a forward pass of one net."""

    family: str
    n_threads: int
    rows: int  # samples that each thread takes through the net at once


def choose_evaluation(
    network: Network, device: Device, dtype: np.dtype, n_samples: int, precision: str, n_threads: int | None = None
) -> EvaluationChoice:
    """Choose kernel family, threads and rows for the outputs of n_samples samples; n_threads as in choose_training."""
    rows = min(n_samples, evaluation_rows(network, device))
    if not device.is_host:
        return EvaluationChoice(choose_device_family(network, EVALUATION_ROWS, precision, dtype), 1, rows)
    family = choose_evaluation_family(network, rows)
    if family != "layerwise":
        return EvaluationChoice(family, 1, rows)
    n_threads = n_threads or choose_evaluation_threads(network, n_samples)
    if n_threads > 1:  # as many blocks for each thread, and equal ones: 1,797 rows are not 1,024 and 773
        n_blocks = -(-n_samples // (rows * n_threads))
        block_rows = -(-n_samples // (n_blocks * n_threads))
        rows = min(rows, -(-block_rows // ROWS_PER_THREAD) * ROWS_PER_THREAD)
    return EvaluationChoice(family, n_threads, rows)


def choose_family(network: Network, rows: int) -> str:
    """Choose the kernel family that trains one net on a CPU in batches of `rows` samples.

    Samples are lanes while layers are small. Larger layers, and dropout, which needs masks, are trained layer by layer.
    Both have a data-parallel family. The choice does not depend on the number of threads, so that a fit has the same
    bits for any number of them.
    """
    if any(network.dropout) or not all(suits_lanes(i, j, rows) for i, j in network.layout.shapes):
        return (
            "layerwise_data_parallel"
            if network.layout.n_padded <= _data_parallel_params(network, rows)
            else "layerwise"
        )
    if rows <= 4:
        return "batch_simd_4"
    return "batch_simd_16" if work_of_samples(network, rows) < SHARDS_FROM_STEP else "batch_simd_data_parallel"


def _data_parallel_params(network: Network, rows: int) -> int:
    """Return the number of parameters up to which threads have a copy of the net each."""
    if max(network.layer_sizes[1:]) <= NARROW_UNITS:
        return NARROW_NET_PARAMS
    return CACHED_BATCH_PARAMS if rows * sum(network.layer_sizes[1:]) <= L2_DELTAS else DATA_PARALLEL_PARAMS


def suits_lanes(fan_in: int, fan_out: int, rows: int) -> bool:
    """Whether a layer trains faster, or as fast, with samples as SIMD lanes.

    >>> suits_lanes(64, 64, 200), suits_lanes(64, 100, 200), suits_lanes(64, 100, 32), suits_lanes(784, 3, 32)
    (False, True, False, True)
    """
    _, max_weights, max_outputs = next(limit for limit in BATCH_SIMD_LIMITS if rows <= limit.max_rows)
    is_half_filled = fan_out < TILE_FILL * (-(-fan_out // TILE_COLUMNS) * TILE_COLUMNS)
    if is_half_filled and rows >= HALF_FILLED_FROM_ROWS and rows * fan_in * fan_out <= HALF_FILLED_UP_TO_PRODUCT:
        max_weights = HALF_FILLED_UP_TO_WEIGHTS
    return fan_in * fan_out <= max_weights or fan_out <= max_outputs


def micro_batch_rows(device: Device, family: str, rows: int) -> int:
    """Return how many rows of a batch of `rows` go through the net at once: a micro-batch, or the whole batch of a
    small net that one thread trains.
    """
    return min(rows, MICRO_BATCH_ROWS) if device.is_host and family != "batch_simd_16" else rows


def work_of_samples(network: Network, rows: int) -> int:
    """Return the work of one step with samples as SIMD lanes, in multiply-adds."""
    return products(network, rows) + ACTIVATION_WORK * rows * sum(network.layer_sizes[1:])


def choose_evaluation_family(network: Network, rows: int) -> str:
    """Choose the kernel family of a forward pass, which needs no dropout masks.

    The choice does not depend on the number of rows where bits would: both batch_simd families add in the same order,
    layerwise in another, so that a sample's output has the same bits whatever samples are evaluated with it.
    """
    largest = max(i * j for i, j in network.layout.shapes)
    if largest > EVALUATION_UP_TO_WEIGHTS or network.n_features > EVALUATION_UP_TO_INPUTS:
        return "layerwise"
    return "batch_simd_4" if rows <= 4 else "batch_simd_16"


def choose_device_family(network: Network, rows: int, precision: str, dtype: np.dtype) -> str:
    """Choose the kernel family of one net on a GPU.

    One block trains a small net by itself, larger nets take a launch per layer, and narrow layers use tensor cores
    where the precision allows.

    precision : a permission to round where training is in float32
    """
    narrow = max(network.layer_sizes) <= FUSED_UP_TO_UNITS and not any(network.dropout)
    if precision in HALF and narrow and dtype.itemsize == 4:
        return "fused_tensor_core"
    small = network.layout.n_params <= BLOCK_UP_TO_PARAMS and products(network, rows) <= BLOCK_UP_TO_STEP
    return "small_net" if small else "layerwise"


def choose_nets_family(
    network: Network,
    n_nets: int,
    rows: int,
    device: Device,
    dtype: np.dtype,
    precision: str = "exact",
    streams: bool = False,
    shuffle: bool = True,
) -> str:
    """Choose the family that trains the nets of a population.

    "population_simd": each net in a SIMD lane, or on a GPU in a thread or a block. "batched_gemm": on a GPU, all nets
    at the same step. "one_by_one": as many nets at a time as there are threads.

    rows : number of samples in a batch
    streams : whether the samples have no room on the device
    """
    if not device.is_host:
        return _gpu_nets_family(network, n_nets, rows, dtype, precision, streams)
    n_params = network.layout.n_params
    threshold = next((row.n_nets(rows) for row in LANES_FROM if n_params <= row.max_params), inf)
    if not shuffle and n_params <= LANES_FROM[0].max_params:
        threshold = min(threshold, LANES_FROM_UNSHUFFLED)
    return "population_simd" if n_nets >= threshold else "one_by_one"


def choose_nets_evaluation(network: Network, n_nets: int, device: Device, dtype: np.dtype, streams: bool) -> str:
    """Choose the family of a population's forward pass. The number of samples does not count, so that no output depends
    on it.
    """
    if not device.is_host:
        return _gpu_nets_family(network, n_nets, EVALUATION_ROWS, dtype, "exact", streams)
    is_small = network.layout.n_params <= EVALUATION_LANES_UP_TO_PARAMS
    return "population_simd" if is_small and n_nets >= EVALUATION_LANES_FROM_NETS else "one_by_one"


def trains_in_one_launch(network: Network, dtype: np.dtype) -> bool:
    """Whether a GPU trains a population's nets in one launch, if their samples fit on it."""
    return network.layout.n_params * dtype.itemsize <= BLOCK_UP_TO_BYTES


def _gpu_nets_family(network: Network, n_nets: int, rows: int, dtype: np.dtype, precision: str, streams: bool) -> str:
    if trains_in_one_launch(network, dtype) and not streams:
        return "population_simd"
    fused = choose_device_family(network, rows, precision, dtype) == "fused_tensor_core"
    one_by_one = n_nets == 1 or streams or fused or products(network, rows) >= ONE_BY_ONE_FROM_STEP
    return "one_by_one" if one_by_one else "batched_gemm"


def choose_lanes(network: Network, device: Device, n_nets: int, validates: bool) -> int:
    """Return the number of nets in a block that has unrolled code. It changes no bit of the results."""
    if validates or not device.is_host:
        return LANES
    lanes = max(8, backend(device).VECTOR_BYTES // 4)
    wide = network.layout.n_params <= WIDE_UP_TO_PARAMS and n_nets >= 2 * lanes
    return 2 * lanes if wide and n_nets >= 2 * lanes * n_threads_available() else lanes


def lane_threads(network: Network, n_nets: int, lanes: int, samples: int) -> int:
    """Return the number of threads for n_nets nets in blocks of `lanes`, each of which sees `samples` samples in a fit.

    Starting a thread takes as long as training a small population.
    """
    work = n_nets * samples * (products(network, 1) + NET_STEP_WORK)
    n_threads = min(-(-n_nets // lanes), work // CALL_PER_THREAD)
    return min(n_threads_available(), n_threads) if n_threads > 1 else 1


def choose_threads(network: Network, family: str, rows: int) -> int:
    """Return the number of threads that pay for training in batches of `rows` samples."""
    if family == "batch_simd_data_parallel":
        n_threads = max(2, work_of_samples(network, rows) // STEP_PER_SHARD_THREAD)
        return min(n_threads_available(), n_shards(rows), n_threads)
    if family not in ("layerwise", "layerwise_data_parallel"):
        return 1
    work = products(network, rows)
    n_threads = min(work // STEP_PER_THREAD, rows // ROWS_PER_THREAD)
    is_small = family == "layerwise_data_parallel" and network.layout.n_padded <= DATA_PARALLEL_PARAMS
    if is_small and work >= DATA_PARALLEL_FROM_STEP:  # less than what threads would otherwise write for each other
        n_threads = max(n_threads, 2)
    return max(1, min(n_threads_available(), n_threads))


def choose_evaluation_threads(network: Network, rows: int) -> int:
    """Return the number of threads for a forward pass layer by layer."""
    work = rows * sum(i * j for i, j in network.layout.shapes)
    return max(1, min(n_threads_available(), work // PASS_PER_THREAD, rows // ROWS_PER_THREAD))


def evaluation_rows(network: Network, device: Device) -> int:
    """Return how many samples a thread, or a GPU, takes through the layers at a time."""
    if not device.is_host:
        return DEVICE_EVALUATION_ROWS
    has_large_layer = max(i * j for i, j in network.layout.shapes) >= LARGE_LAYER_WEIGHTS
    return LARGE_LAYER_EVALUATION_ROWS if has_large_layer else EVALUATION_ROWS
