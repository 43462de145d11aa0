"""Measurement of the cost model's constants on a GPU (execution/gpu_costs.py), a part of `fastmlp devices --measure`.

Each constant comes from the time of a step that it dominates, in the kernel family that it belongs to.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np

from ..devices import devices
from ..execution import gpu_costs
from ..execution.gpu_costs import BY_LAYERS, IN_BLOCKS, GpuCosts, bytes_moved, costs_key, n_nodes
from ..mlp import MLP
from ..network.spec import Network
from ..population import Population
from ..runtime.auto_device import store_row
from .measure_gpu import Job, seconds_of_step, whole_fit

TINY, SMALL = (4, 4, 1), (64, 64, 32, 10)  # nets for one block
DEEP, LARGE = (8, 8, 8, 8, 8, 2), (1024, 2048, 2048, 10)  # whose steps are launches alone, and products alone
MIDDLE = (64, 128, 64, 10)  # of a batched population
MANY, SEVERAL = 1024, 512  # nets of a population in blocks, and of a batched one
N_BATCHES = 8


class Step(NamedTuple):
    """Measured step of a net, or of each net of a population."""

    network: Network
    rows: int
    seconds: float
    precision: str

    @property
    def work(self) -> int:
        return self.rows * self.network.layout.products

    @property
    def bytes_moved(self) -> int:
        return bytes_moved(self.network, self.rows, 4, self.precision)

    def besides_launches(self, node_seconds: float) -> float:
        """Seconds besides those of the launches of a step layer by layer."""
        return self.seconds - n_nodes(self.network) * node_seconds


def measure_costs(gpu: str) -> GpuCosts:
    """Measure and save the constants of dispatch's cost model for a GPU, and return them; takes about a minute.

    gpu : name of the device, such as "cuda:0"
    """
    of_launches = costs_of_launches(gpu)
    costs = GpuCosts(**of_launches, **costs_of_products(gpu, of_launches["node_seconds"]))
    store_row(costs_key(next(row.description for row in devices() if row.name == gpu)), costs)
    gpu_costs.forget_measured()
    return costs


def costs_of_launches(gpu: str) -> dict[str, float]:
    """Measure the constants of nets that are small: of launches, and of nets that a block trains."""
    with gpu_costs.using(BY_LAYERS):
        deep = step(gpu, DEEP, 8)
    with gpu_costs.using(IN_BLOCKS):
        tiny, small = step(gpu, TINY, 4), step(gpu, SMALL, 256)
        many = step(gpu, SMALL, 32, MANY)
    block_rate = rate(small.work - tiny.work, small.seconds - tiny.seconds)
    return {
        "node_seconds": deep.seconds / n_nodes(deep.network),
        "block_seconds": max(0.0, tiny.seconds - tiny.work / block_rate),
        "block_rate": block_rate,
        "n_blocks": max(1.0, MANY * many.work / (block_rate * many.seconds)),
    }


def costs_of_products(gpu: str, node_seconds: float) -> dict[str, float]:
    """Measure the constants of products and of memory; node_seconds are those of costs_of_launches."""
    with gpu_costs.using(BY_LAYERS):
        large, several = step(gpu, LARGE, 4096), step(gpu, MIDDLE, 32, SEVERAL)
        rounded = step(gpu, LARGE, 4096, precision="bfloat16")
    per_byte, per_product = np.linalg.solve(
        [[SEVERAL * several.bytes_moved, SEVERAL * several.work], [large.bytes_moved, large.work]],
        [several.besides_launches(node_seconds), large.besides_launches(node_seconds)],
    )
    seconds_of_rounded = rounded.besides_launches(node_seconds) - rounded.bytes_moved * float(per_byte)
    return {
        "product_rate": rate(1.0, per_product),
        "bandwidth": rate(1.0, per_byte),
        "bfloat16_rate": rate(rounded.work, seconds_of_rounded),
    }


def rate(amount: float, seconds: float) -> float:
    """Return amount per second; inf where rounding or noise has made the time 0 or negative."""
    return amount / seconds if seconds > 0.0 else inf


def step(gpu: str, sizes: tuple[int, ...], rows: int, n_nets: int | None = None, precision: str = "exact") -> Step:
    """Measure the step of one net or, with n_nets, of all nets of a population, in batches of `rows` samples."""
    make = MLP if n_nets is None else partial(Population, n_nets=n_nets)
    nets = make(sizes, device=gpu, random_state=0, precision=precision)
    n, rng = rows * N_BATCHES, np.random.default_rng(0)
    X, y = (rng.normal(size=(n, width)).astype(np.float32) for width in (sizes[0], sizes[-1]))
    fit = partial(whole_fit, nets, X, y, batch_size=rows, optimizer="adam", verbose=0)
    job = Job("-".join(map(str, sizes)), float(rows * nets.network.layout.products), N_BATCHES, fit)
    return Step(nets.network, rows, seconds_of_step(job), precision)
