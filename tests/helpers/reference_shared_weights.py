"""Reference of nets with shared weights, in float64 NumPy: each is a ReferenceMLP, and gradients follow from theirs.

It has what reference_optimizers.train asks of a net, so that the reference optimisers train it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from reference_net import ReferenceMLP


class ReferenceSharedWeights:
    """Nets with the same hidden layers, a scale of the inputs each, and an output layer each.

    params : flat vector: the hidden layers, the scales (n_nets, n_scaled), the output layers' transposed W
        (n_nets, n_outputs, n_units) and b (n_nets, n_outputs)
    blocks : as for ReferenceMLP; the scales follow these layers
    """

    l2 = 0.0

    def __init__(self, layer_sizes, activations, loss, n_nets, params, huber_delta=1.0, blocks=()):
        self.sizes, self.activations, self.loss, self.n_nets = layer_sizes, activations, loss, n_nets
        self.huber_delta, self.params, self.blocks = huber_delta, np.array(params, np.float64), blocks

    def parts(self, flat):
        """Return ([(W, b) of each hidden layer], scales, output W, output b) as views into a flat vector."""
        hidden, start = [], 0
        for i, j in zip(self.sizes[:-2], self.sizes[1:-1], strict=True):
            hidden.append((flat[start : start + i * j].reshape(i, j), flat[start + i * j : start + i * j + j]))
            start += i * j + j
        n, inputs, units, outputs = self.n_nets, self.sizes[len(self.blocks)], self.sizes[-2], self.sizes[-1]
        ends = start + np.cumsum([0, n * inputs, n * units * outputs, n * outputs])
        scales, W, b = (flat[first:last] for first, last in pairwise(ends))
        return hidden, scales.reshape(n, inputs), W.reshape(n, outputs, units), b.reshape(n, outputs)

    def layers(self, flat):
        """Return pairs (what weight decay shrinks, what it leaves): scales are among the latter."""
        hidden, scales, W, b = self.parts(flat)
        return [*hidden, (W, b), (flat[:0], scales)]

    def net(self, k):
        """Return one net."""
        hidden, scales, W, b = self.parts(self.params)
        first, bias = hidden[len(self.blocks)]
        hidden[len(self.blocks)] = scales[k][:, None] * first, bias
        flat = np.concatenate([part.reshape(-1) for layer in (*hidden, (W[k].T, b[k])) for part in layer])
        settings = {"huber_delta": self.huber_delta, "blocks": self.blocks}
        return ReferenceMLP(self.sizes, self.activations, self.loss, flat, **settings)

    def predict(self, X):
        """Return the mean of the nets' outputs."""
        return np.mean([self.net(k).predict(X) for k in range(self.n_nets)], axis=0)

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        """Return (mean loss of the nets, flat gradient).

        masks : dropout, one array of factors (n_samples * n_nets, fan_out) per hidden layer; the nets of a sample are
            side by side
        """
        gradient, losses = np.zeros_like(self.params), []
        d_hidden, d_scales, d_W, d_b = self.parts(gradient)
        hidden, scales, _, _ = self.parts(self.params)
        for k in range(self.n_nets):
            net, own = self.net(k), None if masks is None else [mask[k :: self.n_nets] for mask in masks]
            loss, of_net = net.loss_and_gradient(X, y, weight, own)
            losses.append(loss)
            *below, (of_W, of_b) = net.layers(of_net / self.n_nets)
            d_W[k], d_b[k] = of_W.T, of_b
            of_scaled, scaled = below[len(self.blocks)][0], hidden[len(self.blocks)][0]
            d_scales[k] = np.sum(of_scaled * scaled, axis=1)
            of_scaled *= scales[k][:, None]
            for (to_W, to_b), (W, b) in zip(d_hidden, below, strict=True):
                to_W += W
                to_b += b
        return np.mean(losses), gradient
