"""NumPy with many nets: a structure of arrays, written by hand, every operation in place."""

from __future__ import annotations

import numpy as np
from suite.flat_params import offsets

from competitors import NetsImplementation
from competitors.numpy_competitor import adam

BLOCK = 8192  # nets of a block, whose numbers stay in a cache


class Buffers:
    """Arrays that the epochs of a block write to; outs, deltas : per layer (units, samples, nets)."""

    def __init__(self, layer_offsets, n_samples, n_nets):
        per_layer = lambda: [np.empty((j, n_samples, n_nets), np.float32) for *_, j in layer_offsets]
        self.outs, self.deltas = per_layer(), per_layer()
        self.product, self.derivative = (np.empty((n_samples, n_nets), np.float32) for _ in range(2))
        self.input_gradient = np.empty((layer_offsets[0][2], n_nets), np.float32)


class Blocked:
    """Trains one block of nets after another, each of which stays in a cache.

    Every parameter is a row over nets, every unit an array (samples, nets), every operation in place.
    """

    def __init__(self, case, threads):
        self.case, self.layer_offsets, self.is_tanh = case, offsets(case.layer_sizes), case.hidden_activation == "tanh"

    def run(self, n_epochs):
        out = np.empty_like(self.case.start)
        for first in range(0, len(out), BLOCK):
            p = self.case.start[first : first + BLOCK].T.copy()
            with np.errstate(over="ignore"):  # where exp overflows, the sigmoid is 0
                self.train(p, n_epochs)
            out[first : first + BLOCK] = p.T
        return out

    def train(self, p, n_epochs):
        g, m, v, scratch = (np.zeros_like(p) for _ in range(4))
        buffers, rate = Buffers(self.layer_offsets, len(self.case.X), p.shape[1]), self.case.learning_rate
        for t in range(1, n_epochs + 1):
            self.forward(p, buffers)
            self.output_delta(buffers)
            for k in range(len(self.layer_offsets) - 1, -1, -1):
                self.weight_gradient(k, g, buffers)
                if k:
                    self.delta_below(k, p, buffers)
            if self.case.optimizer == "adam":
                adam(p, g, m, v, scratch, t, rate)
            else:
                g *= rate
                p -= g

    def forward(self, p, buffers):
        outs, product = buffers.outs, buffers.product
        for k, (w, b, i, j) in enumerate(self.layer_offsets):
            for q in range(j):
                z = outs[k][q]
                if k == 0:
                    np.dot(self.case.X, p[w + q : b : j], out=z)
                else:
                    np.multiply(outs[k - 1][0], p[w + q], out=z)
                    for r in range(1, i):
                        np.multiply(outs[k - 1][r], p[w + r * j + q], out=product)
                        z += product
                z += p[b + q]
            if self.is_tanh and k < len(self.layer_offsets) - 1:
                np.tanh(outs[k], out=outs[k])
            else:
                np.negative(outs[k], out=outs[k])
                np.exp(outs[k], out=outs[k])
                outs[k] += 1
                np.reciprocal(outs[k], out=outs[k])

    def output_delta(self, buffers):
        a, d, derivative = buffers.outs[-1][0], buffers.deltas[-1][0], buffers.derivative
        np.subtract(a, self.case.y, out=d)
        d *= 2 / len(self.case.X)
        np.subtract(1, a, out=derivative)
        derivative *= a
        d *= derivative

    def weight_gradient(self, k, g, buffers):
        w, b, i, j = self.layer_offsets[k]
        outs, deltas, product = buffers.outs, buffers.deltas, buffers.product
        np.sum(deltas[k], axis=1, out=g[b : b + j])
        for q in range(j):
            d = deltas[k][q]
            if k == 0:
                np.dot(self.case.X.T, d, out=buffers.input_gradient)
                g[w + q : b : j] = buffers.input_gradient
                continue
            for r in range(i):
                np.multiply(outs[k - 1][r], d, out=product)
                np.sum(product, axis=0, out=g[w + r * j + q])

    def delta_below(self, k, p, buffers):
        w, _, i, j = self.layer_offsets[k]
        deltas, product, derivative = buffers.deltas, buffers.product, buffers.derivative
        for r in range(i):
            below, a = deltas[k - 1][r], buffers.outs[k - 1][r]
            np.multiply(deltas[k][0], p[w + r * j], out=below)
            for q in range(1, j):
                np.multiply(deltas[k][q], p[w + r * j + q], out=product)
                below += product
            if self.is_tanh:
                np.multiply(a, a, out=derivative)
                np.subtract(1, derivative, out=derivative)
            else:
                np.subtract(1, a, out=derivative)
                derivative *= a
            below *= derivative


class Implementation(NetsImplementation):
    forms = {"blocked": Blocked}  # noqa: RUF012  # read only
