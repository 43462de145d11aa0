"""Kernel families of one net on a CPU: which trains or evaluates a net, and the shards of its batches.

Neither depends on the number of threads, so that a fit has the same bits for any number of them.
"""

from __future__ import annotations

from ..network.spec import Network
from . import thresholds


def work_of_samples(network: Network, rows: int) -> int:
    """Return the work of one step with samples as SIMD lanes, in multiply-adds."""
    return rows * (network.layout.products + thresholds.ACTIVATION_WORK * sum(network.layer_sizes[1:]))


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
    return (
        "batch_simd_16" if work_of_samples(network, rows) < thresholds.SHARDS_FROM_STEP else "batch_simd_data_parallel"
    )


def _data_parallel_params(network: Network, rows: int) -> int:
    """Return the number of parameters up to which threads have a copy of the net each."""
    if max(network.layer_sizes[1:]) <= thresholds.NARROW_UNITS:
        return thresholds.NARROW_NET_PARAMS
    return (
        thresholds.CACHED_BATCH_PARAMS
        if rows * sum(network.layer_sizes[1:]) <= thresholds.L2_DELTAS
        else thresholds.DATA_PARALLEL_PARAMS
    )


def suits_lanes(fan_in: int, fan_out: int, rows: int) -> bool:
    """Whether a layer trains faster, or as fast, with samples as SIMD lanes.

    >>> suits_lanes(64, 64, 200), suits_lanes(64, 100, 200), suits_lanes(64, 100, 32), suits_lanes(784, 3, 32)
    (False, True, False, True)
    """
    _, max_weights, max_outputs = next(limit for limit in thresholds.BATCH_SIMD_LIMITS if rows <= limit[0])
    is_half_filled = fan_out < thresholds.TILE_FILL * (-(-fan_out // thresholds.TILE_COLUMNS) * thresholds.TILE_COLUMNS)
    if (
        is_half_filled
        and rows >= thresholds.HALF_FILLED_FROM_ROWS
        and rows * fan_in * fan_out <= thresholds.HALF_FILLED_UP_TO_PRODUCT
    ):
        max_weights = thresholds.HALF_FILLED_UP_TO_WEIGHTS
    return fan_in * fan_out <= max_weights or fan_out <= max_outputs


def choose_evaluation_family(network: Network, rows: int) -> str:
    """Choose the kernel family of a forward pass, which needs no dropout masks.

    The choice does not depend on the number of rows where bits would: both batch_simd families add in the same order,
    layerwise in another, so that a sample's output has the same bits whatever samples are evaluated with it.
    """
    largest = max(i * j for i, j in network.layout.shapes)
    if largest > thresholds.EVALUATION_UP_TO_WEIGHTS or network.n_features > thresholds.EVALUATION_UP_TO_INPUTS:
        return "layerwise"
    return "batch_simd_4" if rows <= 4 else "batch_simd_16"


def n_shards(rows: int) -> int:
    """Return the number of shards of a batch in `batch_simd_data_parallel`, the maximum number of threads.

    rows : number of samples in the batch

    Each shard has at least four vectors of samples, unless that would make fewer than two shards. The number is a power
    of two, so that two or four threads get equally many shards.
    """
    return next((n for n in (8, 4) if rows >= 64 * n), 2)
