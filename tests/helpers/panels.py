"""Packing of matrices into panels in plain NumPy, in the layout that kernels/cpu/gemm/gemm.py describes."""

from itertools import pairwise

import numpy as np

from fastmlp.kernels.cpu.gemm.gemm import SIDE
from fastmlp.kernels.cpu.workspace import K_BLOCK, VECTOR_BYTES


def panels_of(b):
    """Return the matrix b, (k, n), packed into panels, as a flat array."""
    k, n = b.shape
    width = 2 * VECTOR_BYTES // b.itemsize
    wide = np.zeros((k, -(-n // width) * width), b.dtype)
    wide[:, :n] = b
    n_blocks = -(-k // K_BLOCK)
    starts = [min(k, -(-(k * i // n_blocks) // SIDE) * SIDE) for i in range(n_blocks + 1)]
    return np.concatenate(
        [wide[start:end, j : j + width].ravel() for start, end in pairwise(starts) for j in range(0, n, width)]
    )
