"""Work of a training step, in multiply-adds of matrix products or as many as take the same time."""

from __future__ import annotations

from ..network.spec import Network


def products(network: Network, rows: int) -> int:
    """Multiply-adds of the matrix products of one training step."""
    return rows * network.layout.products
