"""Layout of the flat parameter vector: per layer W (fan_in, fan_out) row by row, then b (fan_out,).

The only module that computes offsets of parameters. Kernels receive them as arrays.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..kernels.structs import LANES, aligned_zeros

PADDING = LANES  # elements to whole multiples of which parameter vectors are padded


class Layout:
    """Offsets of weights and biases in the flat parameter vector of a net, as `net.network.layout`.

    Parameters
    ----------
    layer_sizes : tuple of int
        Number of inputs, of units per hidden layer, and of outputs.

    Attributes
    ----------
    layer_sizes : tuple of int
        As given.
    shapes : tuple of (int, int)
        (fan_in, fan_out) of each layer.
    weight_offsets : tuple of int
        Offset of each layer's W, in elements.
    bias_offsets : tuple of int
        Offset of each layer's b, in elements.
    n_layers : int
        Number of layers of weights.
    n_params : int
        Number of parameters.
    products : int
        Multiply-adds of the matrix products of a training step, for each sample.
    n_padded : int
        Length of padded parameters, on which kernels work: n_params rounded up to whole SIMD vectors.

    Examples
    --------
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
        self.weight_offsets, self.bias_offsets = tuple(weights), tuple(biases)
        sizes = [fan_in * fan_out for fan_in, fan_out in self.shapes]
        self.products = 3 * sum(sizes) - sum(sizes[:1])
        self.n_layers, self.n_params, self.n_padded = len(self.shapes), end, -(-end // PADDING) * PADDING

    def padded(self, dtype: np.dtype) -> np.ndarray:
        """Return zeros for padded parameters or another vector of that length.

        Parameters
        ----------
        dtype : numpy.dtype
            Data type.

        Returns
        -------
        ndarray of shape (n_padded,)
            Aligned to a cache line.
        """
        return aligned_zeros(self.n_padded, dtype)

    def weights(self, params: np.ndarray) -> list[np.ndarray]:
        """Return the weight matrices, one per layer, as views of params.

        Parameters
        ----------
        params : ndarray of shape (n_params,) or (n_nets, n_params)
            Parameter vector, or one of each net.

        Returns
        -------
        list of ndarray of shape (fan_in, fan_out) or (n_nets, fan_in, fan_out)
        """
        return [
            params[..., o : o + i * j].reshape(*params.shape[:-1], i, j)
            for o, (i, j) in zip(self.weight_offsets, self.shapes, strict=True)
        ]

    def biases(self, params: np.ndarray) -> list[np.ndarray]:
        """Return the bias vectors, one per layer, as views of params.

        Parameters
        ----------
        params : ndarray of shape (n_params,) or (n_nets, n_params)
            Parameter vector, or one of each net.

        Returns
        -------
        list of ndarray of shape (fan_out,) or (n_nets, fan_out)
        """
        return [params[..., o : o + j] for o, (_, j) in zip(self.bias_offsets, self.shapes, strict=True)]
