"""Operands of matrix products: inputs, activations, deltas and weights, as they are or rounded to bfloat16.

Rounded weights are a copy: the update writes each weight to the parameters in full precision, and rounded to the copy.
Outputs of a net, gradients, biases and sums are never rounded.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

import cupy
import numpy as np

from ...structs import NetSpec, rounds_to_bfloat16
from .net_constants import by_layer

# CuPy has no dtype for bfloat16: gemm.py takes every array of this dtype as one of bfloat16.
BITS = np.dtype(np.uint16)
ALIGNED = 8  # numbers, 16 bytes: each layer's weights begin at a multiple, for which cuBLAS has faster products
MIN_CAPABILITY = 80  # 8.0, the first compute capability with bfloat16


def check_card(precision: str) -> None:
    """Raise a ValueError if the current device has no bfloat16."""
    capability = int(cupy.cuda.Device().compute_capability)
    if capability < MIN_CAPABILITY:
        raise ValueError(
            f"precision={precision!r} needs a GPU of compute capability {MIN_CAPABILITY / 10} or higher, but this one "
            f"has {capability / 10}. Use precision='exact'."
        )


class Operands(NamedTuple):
    """Format of the operands of a net's products.

    dtype : np.dtype     of the arrays that hold them: BITS, or the dtype of the net
    weights_at : tuple of int, (n_layers,)     start of each layer's weights, in elements of the copy
    offsets : tuple of int, (n_layers,)     index of a weight in the parameters, minus its index in the copy
    n_weights : int     elements of the copy, with those that align layers; 0 if products read the parameters themselves
    """

    dtype: np.dtype
    weights_at: tuple[int, ...]
    offsets: tuple[int, ...]
    n_weights: int

    @classmethod
    def of(cls, net: NetSpec, dtype: np.dtype, precision: str) -> Operands:
        """Return the format for a net's `precision`, which has no effect in float64.

        Raises
        ------
        ValueError
            If the current device has no bfloat16, before a kernel with its instructions is compiled.
        """
        in_params = tuple(map(int, net.weight_offsets))
        if not rounds_to_bfloat16(precision, np.dtype(dtype).itemsize):
            return cls(np.dtype(dtype), in_params, (0,) * len(in_params), 0)
        check_card(precision)
        sizes = [-(-int(i) * int(j) // ALIGNED) * ALIGNED for i, j in pairwise(net.sizes)]
        *starts, end = accumulate(sizes, initial=0)
        offsets = tuple(of_params - start for of_params, start in zip(in_params, starts, strict=True))
        return cls(BITS, tuple(starts), offsets, end)

    @property
    def are_rounded(self) -> bool:
        return self.n_weights > 0

    def source(self) -> str:
        """Return the C++ constants; they follow those of the architecture, which define T.

        before_operands(k) is offsets[k].
        """
        kind, switch = ("struct Bfloat16", ["#define ROUNDS_OPERANDS"]) if self.are_rounded else ("T", [])
        lines = [*switch, f"typedef {kind} Operand;", f"constexpr int N_OPERAND_WEIGHTS = {self.n_weights};"]
        return "\n".join([*lines, by_layer("before_operands", self.offsets)]) + "\n"
