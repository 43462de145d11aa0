"""Nets with shared weights: the layout of what is trained, and its conversion to and from the parameters of each net.

All nets have the same hidden layers, but for a scale of the inputs, and an output layer each. So the first hidden layer
of net j has the weights diag(r_j) W, where r_j (n_scaled,) is its scale and W is the same for all nets. Layers of an
input embedding, which come before it, are the same for all nets, too.

Source: Gorishniy, Kotelnikov and Babenko 2024 (TabM-mini, arXiv:2410.24210). As in the authors' code, scales begin as
random signs or, of embedded inputs, as normal random numbers, one for all features of a column.
"""

from __future__ import annotations

import numpy as np

from .parameter_layout import PADDING, Layout
from .spec import Network

TOLERANCE = 1e-4  # relative, to which nets must agree: a file in float32 may have been made from float64


class SharedLayout:
    """Layout of the flat vector that is trained.

    First the layers in common as in one net, then the scales (n_nets, n_scaled), then the output layers: transposed
    weights (n_nets, n_outputs, n_units) and biases (n_nets, n_outputs).

    network : Network of one net; it has a hidden layer, beside those of an input embedding

    first : number of the layer whose inputs are scaled
    """

    def __init__(self, network: Network, n_nets: int):
        self.network, self.n_nets, self.first = network, n_nets, network.n_embedding_layers
        self.hidden = Layout(network.layer_sizes[:-1])
        n_units, n_outputs = network.layout.shapes[-1]
        self.scales = self.hidden.n_params
        self.output_weights = self.scales + n_nets * network.layout.shapes[self.first][0]
        self.output_biases = self.output_weights + n_nets * n_outputs * n_units
        self.n_params = self.output_biases + n_nets * n_outputs

    @property
    def n_padded(self) -> int:
        """Length of the vector on which kernels work."""
        return -(-self.n_params // PADDING) * PADDING

    def parts(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return views of the vector: layers in common, flat, scales, output weights and output biases."""
        n_units, n_outputs = self.network.layout.shapes[-1]
        return (
            vector[: self.scales],
            vector[self.scales : self.output_weights].reshape(self.n_nets, -1),
            vector[self.output_weights : self.output_biases].reshape(self.n_nets, n_outputs, n_units),
            vector[self.output_biases : self.n_params].reshape(self.n_nets, n_outputs),
        )

    def write_nets(self, vector: np.ndarray, params: np.ndarray) -> None:
        """Write the parameters of each net, (n_nets, n_params), from the vector."""
        hidden, scales, W, b = self.parts(vector)
        o = self.network.layout.bias_offsets[-1]
        params[:, : self.scales] = hidden
        for net, scale in zip(params, scales, strict=True):
            np.multiply(self.scaled_weights(hidden), scale[:, None], out=self.scaled_weights(net))
        params[:, self.scales : o] = W.transpose(0, 2, 1).reshape(self.n_nets, -1)
        params[:, o:] = b

    def scaled_weights(self, params: np.ndarray) -> np.ndarray:
        """Return the weights (n_scaled, n_units) of the layer whose inputs are scaled, a view of the layers, flat."""
        shape, start = self.network.layout.shapes[self.first], self.network.layout.weight_offsets[self.first]
        return params[start : start + shape[0] * shape[1]].reshape(shape)

    def read_nets(self, params: np.ndarray, vector: np.ndarray) -> None:
        """Write the vector from the parameters of each net, (n_nets, n_params).

        Scale and weights of an input are known up to a factor: the mean square of its scales becomes 1.

        Raises
        ------
        ValueError
            If the nets' hidden layers are not the same.
        """
        hidden, scales, W, b = self.parts(vector)
        o = self.network.layout.bias_offsets[-1]
        first = np.array([self.scaled_weights(net) for net in params])  # (n_nets, n_scaled, n_units)
        norms = np.array([np.einsum("ik,ik->i", W_j, W_j, dtype=np.float64) for W_j in first])
        largest = np.argmax(norms, axis=0), np.arange(first.shape[1])
        base = first[largest].astype(np.float64)  # (n_scaled, n_units): of each input, the weights that are largest
        square = np.where(norms[largest] > 0, norms[largest], 1.0)
        found = np.array([np.einsum("ik,ik->i", W_j, base) for W_j in first]) / square
        found[:, norms[largest] == 0] = 1.0
        size = np.sqrt(np.mean(found**2, axis=0))
        hidden[:] = params[0, : self.scales]
        scales[:], self.scaled_weights(hidden)[:] = found / size, base * size[:, None]
        W[:] = params[:, self.scales : o].reshape(self.n_nets, W.shape[2], W.shape[1]).transpose(0, 2, 1)
        b[:] = params[:, o:]
        close = lambda x, y: np.allclose(x, y, rtol=0, atol=TOLERANCE * float(np.max(np.abs(y), initial=1e-30)))
        are_scaled = (close(W_j, scale[:, None] * base) for W_j, scale in zip(first, found, strict=True))
        common = np.ones(self.scales, bool)
        self.scaled_weights(common)[:] = False
        if not all(are_scaled) or not close(params[:, : self.scales][:, common], hidden[common]):
            raise ValueError(
                "Nets with shared_weights=True must have the same hidden layers, but for a scale of each input, and "
                "these parameters differ further. Set those of all nets alike, or make the population without "
                "shared_weights."
            )

    def share(self, params: np.ndarray, seeds: np.ndarray, draw: int) -> None:
        """Make independent parameters those of nets with shared weights: with the layers of net 0, and random scales.

        params : (n_nets, n_params), written
        seeds : (n_nets,), seeds of the nets
        draw : number of the restart, 0 for the initial parameters, as for initialization.draw_params
        """
        params[1:, : self.scales] = params[0, : self.scales]
        for net, seed in zip(params, seeds.tolist(), strict=True):
            self.scaled_weights(net)[:] *= self._drawn_scales(np.random.default_rng([seed, draw]))[:, None]

    def _drawn_scales(self, rng: np.random.Generator) -> np.ndarray:
        """Return the initial scales of a net, (n_scaled,)."""
        if self.first == 0:
            return rng.integers(0, 2, self.network.n_features) * 2 - 1
        blocks = self.network.blocks[self.first - 1]
        assert blocks is not None, "the layers of an input embedding have blocks"
        return np.repeat(rng.standard_normal(len(blocks)), [n_outputs for _, n_outputs in blocks])
