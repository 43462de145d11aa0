"""Kernel dispatch: chooses kernel family, threads, lanes and rows, by thresholds that are measured or estimated.

The families are described in families.py.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np

from ..checks import HALF
from ..devices import Device, backend, n_threads_available
from ..kernels.structs import (
    DATA_PARALLEL_PARAMS,
    EVALUATION_CHUNK_ROWS,
    NO_UPDATE,
    UNROLLED_ALWAYS,
    UNROLLED_IF_ON_DISK,
    UNROLLED_NEVER,
    KernelVariant,
    TrainConfig,
    n_shards,
    n_weight_copies,
)
from ..network.spec import Network

# Thresholds of choose_family are measured by bench/studies/choose_family.py, those of choose_threads by
# bench/studies/choose_threads.py; bench/log/README.md#family-thresholds has the figures.
# Per largest number of rows in a batch, weights of the largest layer up to which samples-as-lanes wins. Layers with so
# few outputs do not count: a product takes 16 at a time, but for the product with one row.
LANES_UP_TO = ((1, 200, 0), (8, 200, 2), (31, 600, 4), (63, 2500, 4), (inf, 3500, 4))
# From so many rows on they win up to so many weights where a layer's outputs fill less than such a share of a product's
# tiles, which are so many wide; but samples as lanes have eight threads at the most (n_shards), so not beyond a product
# that would give more of them enough to do. (That last number is an estimate: two processors were at hand.)
OPEN_TILES_FROM, OPEN_TILES_UP_TO, OPEN, TILE, OPEN_PRODUCT = 64, 40_000, 0.8, 32, 16_000_000
EVALUATION_UP_TO, EVALUATION_INPUTS = 128, 32  # weights and inputs, where there is only the way forward
STEP_PER_THREAD = 1_500_000  # multiply-adds of a step that pay for one more thread's two meetings ...
CALL_PER_THREAD = 3_000_000  # ... and of a call that pay for waking it
PASS_PER_THREAD = 4_500_000  # the same of a forward pass, whose multiply-adds take less around them
ROWS_PER_THREAD = EVALUATION_CHUNK_ROWS
# Up to so many parameters two threads may have a net each and exchange a gradient in each step, if a batch has no more
# deltas than stay in a second-level cache: those that leave it cost another core little. Where they always have a net
# each they pay from so many multiply-adds of a step on: it is less than what they would otherwise write for each other.
REPLICAS_UP_TO_PARAMS, L2_DELTAS, REPLICAS_FROM = 200_000, 250_000, 900_000
# Deep nets of layers of up to so many units do so whatever the batch, up to so many parameters: threads that share one
# read more of what the other has written, and such layers' weights where they lie, with no copy of their own.
NARROW_REPLICAS = 160, 1_200_000
# The same with samples as lanes, where an activation takes as long as so many multiply-adds: two threads pay from so
# many of them on, each other one from so many more.
ACTIVATION, SAMPLE_REPLICAS_FROM, SAMPLES_PER_THREAD = 20, 300_000, 600_000
STEP_OF_NET = 50  # multiply-adds that activations and bookkeeping of a tiny net and sample take the time of
# From how many nets on a population trains in lanes: per largest number of parameters, in batches of up to 4 samples,
# up to 16, and more. Twice as many as make a block of lanes cheaper than nets alone, since two threads train two nets
# alone in the time of one. More threads would raise it further, but a population is to be the same bits for any number
# of them. (bench/studies/lanes_vs_one_by_one.py)
LANES_FROM = ((40, (6, 12, 20)), (1000, (8, 14, 24)), (4000, (12, 24, inf)))
LANES_FROM_UNSHUFFLED = 8  # for nets of the first row, whose samples stay in place
LANES = 16  # nets of a block that has loops
# A block of straight-line programs fills a register with float32. Up to so many parameters it fills two where each
# thread has enough nets: two chains of dependent operations fill each other's gaps. Larger nets would have too few
# registers. (bench/studies/lanes_per_block.py)
WIDE_UP_TO_PARAMS = 13
EVALUATION_LANES = 4000, 12  # a forward pass takes lanes up to so many parameters, from so many nets on
# A batch of more rows than that goes through a net in stages, so that it needs no more memory than one of them, and
# numbers stay in caches on their way. A multiple of what makes whole tiles, vectors and blocks of a product.
STAGE_ROWS = 4096
EVALUATION_ROWS = 256  # samples a thread takes through the layers at a time ...
EVALUATION_ROWS_FROM = 100_000, 1024  # ... or more, from so many weights of a layer on: it copies them each time
# On a GPU one block trains a net up to so many parameters by itself, if no step has more multiply-adds than a block
# does in the time that launching a step's kernels one by one takes. Estimates, not yet measured on a card.
BLOCK_UP_TO_PARAMS, BLOCK_UP_TO_STEP = 20_000, 4_000_000
# In a population a block's shared memory should hold parameters, gradient, two vectors of state and a tile of
# activations of its net: up to so many bytes of parameters, 10,000 in float32. Larger nets take each step together, but
# for those whose own step has so many multiply-adds that its products take longer than their launches: 1e9 are 66 us at
# half of an H100's rate, launching 15 kernels is about 45. Estimates too.
BLOCK_UP_TO_BYTES, ALONE_FROM_STEP = 40_000, 1_000_000_000
DEVICE_EVALUATION_ROWS = 16_384  # samples a GPU takes through the layers at a time
NARROW_UP_TO = 128  # width up to which all layers fit into one kernel with tensor cores

# Unrolled code of one net: parameters and samples of a batch up to which a net is tiny (for larger nets the loops take
# no more than 1.5 to 3 times as long, bench/log/README.md#single-net-unrolled); samples in the data, all of which are
# copied into tiles; steps of an architecture in this process before its code is compiled, which takes about as long as
# 0.1 s of training, and before it is loaded, if another process has compiled it.
UNROLLED_UP_TO_PARAMS, UNROLLED_UP_TO_ROWS, UNROLLED_UP_TO_SAMPLES = 256, 4, 4096
COMPILE_UNROLLED_AFTER, LOAD_UNROLLED_AFTER = 1_000_000, 50_000


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
    return TrainingChoice(family, n_threads, stage_rows(device, family, batch_size))


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
        share = -(-n_samples // (n_blocks * n_threads))
        rows = min(rows, -(-share // ROWS_PER_THREAD) * ROWS_PER_THREAD)
    return EvaluationChoice(family, n_threads, rows)


def choose_family(network: Network, rows: int) -> str:
    """Samples as lanes while layers are small; above, and wherever dropout needs masks, layer by layer. In
    "layerwise_data_parallel" of both, several threads have a net each. However many there are, so that a fit is the
    same bits for any number.
    """
    if any(network.dropout) or not all(suits_lanes(i, j, rows) for i, j in network.layout.shapes):
        widest, most = NARROW_REPLICAS
        is_narrow, stays = max(network.layer_sizes[1:]) <= widest, rows * sum(network.layer_sizes[1:]) <= L2_DELTAS
        up_to = most if is_narrow else REPLICAS_UP_TO_PARAMS if stays else DATA_PARALLEL_PARAMS
        return "layerwise_data_parallel" if network.layout.n_padded <= up_to else "layerwise"
    if rows <= 4:
        return "batch_simd_4"
    return "batch_simd_16" if work_of_samples(network, rows) < SAMPLE_REPLICAS_FROM else "batch_simd_data_parallel"


def suits_lanes(fan_in: int, fan_out: int, rows: int) -> bool:
    """Whether a layer trains faster, or as fast, with samples as SIMD lanes.

    >>> suits_lanes(64, 64, 200), suits_lanes(64, 100, 200), suits_lanes(64, 100, 32), suits_lanes(784, 3, 32)
    (False, True, False, True)
    """
    up_to, few = next(limits for most, *limits in LANES_UP_TO if rows <= most)
    is_open = fan_out < OPEN * (-(-fan_out // TILE) * TILE)
    if is_open and rows >= OPEN_TILES_FROM and rows * fan_in * fan_out <= OPEN_PRODUCT:
        up_to = OPEN_TILES_UP_TO
    return fan_in * fan_out <= up_to or fan_out <= few


def stage_rows(device: Device, family: str, rows: int) -> int:
    """Return how many rows of a batch of `rows` go through the net at once: a micro-batch, or the whole batch of a
    small net that one thread trains.
    """
    return min(rows, STAGE_ROWS) if device.is_host and family != "batch_simd_16" else rows


def work_of_samples(network: Network, rows: int) -> int:
    """Return the work of one step with samples as SIMD lanes, in multiply-adds."""
    return products(network, rows) + ACTIVATION * rows * sum(network.layer_sizes[1:])


def choose_evaluation_family(network: Network, rows: int) -> str:
    """Choose the kernel family of a forward pass, which needs no dropout masks.

    The choice does not depend on the number of rows where bits would: both batch_simd families add in the same order,
    layerwise in another, so that a sample's output has the same bits whatever samples are evaluated with it.
    """
    largest = max(i * j for i, j in network.layout.shapes)
    if largest > EVALUATION_UP_TO or network.n_features > EVALUATION_INPUTS:
        return "layerwise"
    return "batch_simd_4" if rows <= 4 else "batch_simd_16"


def choose_device_family(network: Network, rows: int, precision: str, dtype: np.dtype) -> str:
    """Choose the kernel family of one net on a GPU.

    One block trains a small net by itself, larger nets take a launch per layer, and narrow layers use tensor cores
    where the precision allows.

    precision : a permission to round where training is in float32
    """
    narrow = max(network.layer_sizes) <= NARROW_UP_TO and not any(network.dropout)
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
    """How the nets of a population are trained: "population_simd", each in a lane of its own, or on a GPU in a thread
    or a block; "batched_gemm", on a GPU, all in step; or "one_by_one", as many at a time as there are threads.

    rows : of a batch. streams : whether the samples have no room on the device
    """
    if not device.is_host:
        return _gpu_nets_family(network, n_nets, rows, dtype, precision, streams)
    n_params = network.layout.n_params
    least: float = next((by_rows[(rows > 4) + (rows > 16)] for most, by_rows in LANES_FROM if n_params <= most), inf)
    if not shuffle and n_params <= LANES_FROM[0][0]:
        least = min(least, LANES_FROM_UNSHUFFLED)
    return "population_simd" if n_nets >= least else "one_by_one"


def choose_nets_evaluation(network: Network, n_nets: int, device: Device, dtype: np.dtype, streams: bool) -> str:
    """Choose the family of a population's forward pass. The number of samples does not count, so that no output depends
    on it.
    """
    if not device.is_host:
        return _gpu_nets_family(network, n_nets, EVALUATION_ROWS, dtype, "exact", streams)
    most_params, fewest_nets = EVALUATION_LANES
    return "population_simd" if network.layout.n_params <= most_params and n_nets >= fewest_nets else "one_by_one"


def trains_in_one_launch(network: Network, dtype: np.dtype) -> bool:
    """Whether a GPU trains a population's nets in one launch, if their samples fit on it."""
    return network.layout.n_params * dtype.itemsize <= BLOCK_UP_TO_BYTES


def _gpu_nets_family(network: Network, n_nets: int, rows: int, dtype: np.dtype, precision: str, streams: bool) -> str:
    if trains_in_one_launch(network, dtype) and not streams:
        return "population_simd"
    narrow = choose_device_family(network, rows, precision, dtype) == "fused_tensor_core"
    alone = n_nets == 1 or streams or narrow or products(network, rows) >= ALONE_FROM_STEP
    return "one_by_one" if alone else "batched_gemm"


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
    work = n_nets * samples * (products(network, 1) + STEP_OF_NET)
    most = min(-(-n_nets // lanes), work // CALL_PER_THREAD)
    return min(n_threads_available(), most) if most > 1 else 1


def choose_threads(network: Network, family: str, rows: int) -> int:
    """Return the number of threads that pay for training in batches of `rows` samples."""
    if family == "batch_simd_data_parallel":
        most = max(2, work_of_samples(network, rows) // SAMPLES_PER_THREAD)
        return min(n_threads_available(), n_shards(rows), most)
    if family not in ("layerwise", "layerwise_data_parallel"):
        return 1
    work = products(network, rows)
    n = min(work // STEP_PER_THREAD, rows // ROWS_PER_THREAD)
    if (
        family == "layerwise_data_parallel"
        and network.layout.n_padded <= DATA_PARALLEL_PARAMS
        and work >= REPLICAS_FROM
    ):
        n = max(n, 2)
    return max(1, min(n_threads_available(), n))


def choose_evaluation_threads(network: Network, rows: int) -> int:
    """Return the number of threads for a forward pass layer by layer."""
    work = rows * sum(i * j for i, j in network.layout.shapes)
    return max(1, min(n_threads_available(), work // PASS_PER_THREAD, rows // ROWS_PER_THREAD))


def evaluation_rows(network: Network, device: Device) -> int:
    """Return how many samples a thread, or a GPU, takes through the layers at a time."""
    if not device.is_host:
        return DEVICE_EVALUATION_ROWS
    weights, rows = EVALUATION_ROWS_FROM
    return rows if max(i * j for i, j in network.layout.shapes) >= weights else EVALUATION_ROWS


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
) -> KernelVariant:
    """Choose the variant of a family's kernels for a call of n_steps steps on n_threads threads of the team.

    It changes no bit of the results. The threads' distance is measured for each call: a virtual processor may move to
    another core at any time.

    n_samples : number of samples in the data
    """
    if not device.is_host:
        return KernelVariant()
    return KernelVariant(
        own_copies=choose_own_copies(family, network.layout.n_padded, team, n_threads),
        unrolled=choose_unrolled(network, dtype, config, n_samples, n_steps) if family == "batch_simd_4" else 0,
    )


def choose_own_copies(family: str, n_params: int, team: Any, n_threads: int) -> bool:
    """Choose whether each of two threads has its own copies of the weights: of small nets always, of larger nets if the
    threads run on cores that share no cache.
    """
    if family not in ("layerwise", "layerwise_data_parallel") or n_threads != 2:
        return False
    return n_weight_copies(n_params, n_threads) == 2 and (n_params <= DATA_PARALLEL_PARAMS or team.share_no_cache())


_steps_done: dict[tuple, int] = {}  # of each architecture of tiny nets, in this process


def choose_unrolled(network: Network, dtype: np.dtype, config: TrainConfig, n_samples: int, n_steps: int) -> int:
    """Choose whether generated code does the next n_steps steps of a net: one of UNROLLED_*. Counts the steps.

    Compiling takes a few tenths of a second, and loading what another process has compiled some milliseconds.
    """
    if not is_tiny(network, config.batch_size) or n_samples > UNROLLED_UP_TO_SAMPLES or config.rule == NO_UPDATE:
        return UNROLLED_NEVER
    one_sample = config.batch_size == 1
    architecture = network.layer_sizes, network.activation_codes, network.loss, config.rule, one_sample, dtype
    done = _steps_done.get(architecture, 0)
    _steps_done[architecture] = done + n_steps
    if done >= COMPILE_UNROLLED_AFTER:
        return UNROLLED_ALWAYS
    return UNROLLED_IF_ON_DISK if done >= LOAD_UNROLLED_AFTER else UNROLLED_NEVER


def steps_to_unrolled(network: Network, batch_size: int) -> int:
    """Return the number of steps of an architecture after which its generated code is compiled; 0 for nets that are not
    tiny.
    """
    return COMPILE_UNROLLED_AFTER if is_tiny(network, batch_size) else 0


def is_tiny(network: Network, batch_size: int) -> bool:
    """Whether a net can have unrolled code: a batch fits into one vector, and the code is not too long."""
    return network.layout.n_params <= UNROLLED_UP_TO_PARAMS and batch_size <= UNROLLED_UP_TO_ROWS
