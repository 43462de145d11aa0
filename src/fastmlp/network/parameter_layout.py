"""Where each W and b lies in the flat parameter vector: per layer W (fan_in, fan_out) row by row, then b (fan_out,).

The only module that computes an offset. Kernels receive the arrays made here.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..kernels.structs import aligned_zeros

PADDING = 16  # elements: the widest vector of any kernel


class Layout:
    """Offsets of a net with these layer sizes.

    >>> layout = Layout((2, 3, 1))
    >>> layout.n_params, layout.weight_offsets, layout.bias_offsets
    (13, (0, 9), (6, 12))
    """

    def __init__(self, layer_sizes: tuple[int, ...]):
        self.layer_sizes = layer_sizes
        self.shapes = tuple(itertools.pairwise(layer_sizes))
        weights, biases, end = [], [], 0
        for fan_in, fan_out in self.shapes:
            weights.append(end)
            biases.append(end + fan_in * fan_out)
            end = biases[-1] + fan_out
        self.weight_offsets, self.bias_offsets, self.n_params = tuple(weights), tuple(biases), end

    @property
    def n_padded(self) -> int:
        """Length of the vectors that kernels work on: n_params rounded up to whole SIMD vectors."""
        return -(-self.n_params // PADDING) * PADDING

    def padded(self, dtype: np.dtype) -> np.ndarray:
        """Zeros (n_padded,), of which the first n_params are somebody's numbers."""
        return aligned_zeros(self.n_padded, dtype)

    @property
    def n_layers(self) -> int:
        return len(self.shapes)

    def weights(self, params: np.ndarray) -> list[np.ndarray]:
        """Views (fan_in, fan_out) into params (n_params,), one per layer."""
        return [params[o : o + i * j].reshape(i, j) for o, (i, j) in zip(self.weight_offsets, self.shapes, strict=True)]

    def biases(self, params: np.ndarray) -> list[np.ndarray]:
        """Views (fan_out,) into params (n_params,), one per layer."""
        return [params[o : o + j] for o, (_, j) in zip(self.bias_offsets, self.shapes, strict=True)]
