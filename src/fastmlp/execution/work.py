"""Work of a training step, counted in multiply-adds of matrix products."""

from __future__ import annotations

from ..network.spec import Network


def products(network: Network, rows: int) -> int:
    """Multiply-adds of the matrix products of one training step."""
    sizes = [i * j for i, j in network.layout.shapes]
    return rows * (3 * sum(sizes) - sizes[0])
