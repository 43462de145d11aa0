"""Cost model of a training step on a GPU: seconds by kernel family, of which dispatch takes the lowest.

One block of threads trains a small net without any launch, but alone; layer by layer the whole GPU trains it, by a
graph of some kernels per layer. Which is faster depends on the net, the rows of a batch and the number of nets.

ESTIMATED_COSTS are for an H100, from counts of the compiled kernels' instructions and memory accesses
(bench/log/gpu.md#gpu-cost-model), without a card; bench/gpu/constants.py measures the same constants.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np

from ..kernels.structs import rounds_to_bfloat16
from ..network.spec import Network
from . import thresholds

BFLOAT16_BYTES = 2  # of an operand that is rounded to bfloat16
# Bytes of shared memory that a block has at the most, on an H100; the vectors of its net's parameters that are there,
# two of state among them; and how much longer a block takes whose net is in global memory instead. The last one is an
# estimate: the second-level cache gives a multiprocessor half of the bytes in a cycle, at eight times the latency, and
# the first-level cache has some of them.
BLOCK_BYTES, VECTORS_OF_BLOCK, BEYOND_SHARED = 227 * 1024, 4, 4.0
# Passes over memory in a step layer by layer: parameters are read by products and by the update, with their gradient
# and two vectors of state; outputs and deltas of each layer are written and read by products and passes. With operands
# in bfloat16, the update also writes a copy of the weights, which products read: as many bytes in all.
PASSES_OF_PARAMS, PASSES_OF_UNITS = 10, 8


class GpuCosts(NamedTuple):
    """Constants of the cost model for one GPU."""

    node_seconds: float  # from one kernel of a graph to the next
    block_seconds: float  # of a step in one block, besides its products
    block_rate: float  # multiply-adds per second of one block
    n_blocks: float  # blocks that work at a time without slowing each other down
    product_rate: float  # multiply-adds per second of a large product
    bandwidth: float  # bytes per second of the GPU's memory
    bfloat16_rate: float  # multiply-adds per second of a large product of operands in bfloat16


ESTIMATED_COSTS = GpuCosts(2.2e-6, 3e-6, 7e10, 132, 1.6e13, 3e12, 2e14)
# In place of ESTIMATED_COSTS, in measurements and tests, these choose one family wherever it can train the net: blocks,
# or layer by layer.
IN_BLOCKS = GpuCosts(1.0, 0.0, inf, inf, inf, inf, inf)
BY_LAYERS = IN_BLOCKS._replace(node_seconds=0.0, block_seconds=inf)


def block_step_seconds(costs: GpuCosts, network: Network, rows: int, itemsize: int, n_nets: int = 1) -> float:
    """Return the seconds of a step of n_nets nets with a block each.

    A block is slower if its shared memory does not hold its net with the gradient, two vectors of state and four
    samples.
    """
    numbers = VECTORS_OF_BLOCK * network.layout.n_params + 3 * 4 * sum(network.layer_sizes)
    work = rows * network.layout.products * (1.0 if itemsize * numbers <= BLOCK_BYTES else BEYOND_SHARED)
    at_once = costs.block_seconds + work / costs.block_rate
    return max(at_once, n_nets * work / (costs.block_rate * costs.n_blocks))


def n_nodes(network: Network) -> int:
    """Return the number of kernels of a step layer by layer: products, activations, loss, backward passes, update."""
    return 5 * len(network.layout.shapes) + 1


def bytes_moved(network: Network, rows: int, itemsize: int, precision: str) -> int:
    """Return the bytes of memory that a step of one net reads and writes layer by layer."""
    unit_bytes = BFLOAT16_BYTES if rounds_to_bfloat16(precision, itemsize) else itemsize
    units = rows * sum(network.layer_sizes)
    return PASSES_OF_PARAMS * itemsize * network.layout.n_params + PASSES_OF_UNITS * unit_bytes * units


def layers_step_seconds(
    costs: GpuCosts, network: Network, rows: int, itemsize: int, precision: str, n_nets: int = 1
) -> float:
    """Return the seconds of a step layer by layer, of n_nets nets at a time."""
    rate = costs.bfloat16_rate if rounds_to_bfloat16(precision, itemsize) else costs.product_rate
    each = bytes_moved(network, rows, itemsize, precision) / costs.bandwidth + rows * network.layout.products / rate
    return n_nodes(network) * costs.node_seconds + n_nets * each


def fastest(seconds: dict[str, float]) -> str:
    """Return the kernel family whose step takes the fewest seconds."""
    return min(seconds, key=seconds.__getitem__)


def device_step_seconds(network: Network, rows: int, precision: str, dtype: np.dtype) -> dict[str, float]:
    """Return the seconds of a step in the kernel families that can train one net on a GPU, by the cost model.

    One block can train a small net by itself.

    precision : a permission to round where training is in float32
    """
    seconds = {"layerwise": layers_step_seconds(ESTIMATED_COSTS, network, rows, dtype.itemsize, precision)}
    if network.layout.n_params <= thresholds.BLOCK_UP_TO_PARAMS:
        seconds["small_net"] = block_step_seconds(ESTIMATED_COSTS, network, rows, dtype.itemsize)
    return seconds


def device_nets_step_seconds(
    network: Network, n_nets: int, rows: int, precision: str, dtype: np.dtype
) -> dict[str, float]:
    """Return the seconds of a step of all nets in the families that can train a population on a GPU, by the cost model.

    The nets one by one take as long as each in its fastest family, one after the other. Of families that take equally
    long, `fastest` takes the first one.
    """
    costs, seconds = ESTIMATED_COSTS, dict[str, float]()
    if trains_in_one_launch(network, dtype):
        seconds["population_simd"] = block_step_seconds(costs, network, rows, dtype.itemsize, n_nets)
    if n_nets > 1:
        seconds["batched_gemm"] = layers_step_seconds(costs, network, rows, dtype.itemsize, precision, n_nets)
    alone = device_step_seconds(network, rows, precision, dtype)
    seconds["one_by_one"] = n_nets * min(alone.values())
    return seconds


def trains_in_one_launch(network: Network, dtype: np.dtype) -> bool:
    """Whether a GPU trains a population's nets in one launch, if their samples fit on it."""
    return network.layout.n_params * dtype.itemsize <= thresholds.BLOCK_UP_TO_BYTES
