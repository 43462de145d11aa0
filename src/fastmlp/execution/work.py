"""Work of a training step, in multiply-adds of matrix products or as many as take the same time."""

from __future__ import annotations

from ..network.spec import Network
from .thresholds import ACTIVATION_WORK


def products(network: Network, rows: int) -> int:
    """Multiply-adds of the matrix products of one training step."""
    sizes = [i * j for i, j in network.layout.shapes]
    return rows * (3 * sum(sizes) - sizes[0])


def work_of_samples(network: Network, rows: int) -> int:
    """Return the work of one step with samples as SIMD lanes, in multiply-adds."""
    return products(network, rows) + ACTIVATION_WORK * rows * sum(network.layer_sizes[1:])
