"""NumPy with many nets: a structure of arrays, written by hand, every operation in place."""

from __future__ import annotations

import numpy as np
from suite.cases.populations import BIGGEST, GROWTH, RATES, SHRINK, SMALLEST, X, Y
from suite.flat_params import offsets

from competitors.numpy_adam import adam

BLOCK = 8192  # nets of a block, whose numbers stay in a cache


class Rule:
    """An update rule: move(p, g, errors, t) makes step t, counted from 1, of the parameters p (n_params, n_nets).

    g may be overwritten. errors (n_nets,) are each net's loss at p, if the rule compares them.
    """

    compares = False

    def __init__(self, p):
        self.scratch = np.empty_like(p)


class Sgd(Rule):
    def move(self, p, g, errors, t):
        g *= RATES["sgd"]
        p -= g


class Adam(Rule):
    def __init__(self, p):
        super().__init__(p)
        self.m, self.v = np.zeros_like(p), np.zeros_like(p)

    def move(self, p, g, errors, t):
        adam(p, g, self.m, self.v, self.scratch, t, RATES["adam"])


class Quickprop(Rule):
    def __init__(self, p):
        super().__init__(p)
        self.step, self.last_slope, self.jump = np.zeros_like(p), np.zeros_like(p), np.empty_like(p)
        self.mask = np.empty(p.shape, bool)

    def move(self, p, g, errors, t):
        step, last_slope, jump, scratch, mask = self.step, self.last_slope, self.jump, self.scratch, self.mask
        growth = GROWTH["quickprop"]
        np.subtract(last_slope, g, out=scratch)
        np.equal(scratch, 0, out=mask)
        np.copyto(scratch, np.inf, where=mask)  # no step then
        np.divide(g, scratch, out=jump)
        jump *= step
        last_slope *= growth / (1 + growth)
        last_slope -= g
        last_slope *= step  # > 0 where the slope still falls too fast for a parabola
        np.greater(last_slope, 0, out=mask)
        np.multiply(step, growth, out=scratch)
        np.copyto(jump, scratch, where=mask)
        np.multiply(g, -RATES["quickprop"], out=scratch)
        np.multiply(step, g, out=last_slope)
        np.less(last_slope, 0, out=mask)
        np.multiply(scratch, mask, out=last_slope)
        jump += last_slope
        np.equal(step, 0, out=mask)
        np.copyto(jump, scratch, where=mask)
        p += jump
        last_slope[:] = g
        self.step, self.jump = jump, step


class Rprop(Rule):
    compares = True

    def __init__(self, p):
        super().__init__(p)
        self.size, self.step, self.last_slope = np.full_like(p, RATES["rprop"]), np.zeros_like(p), np.zeros_like(p)
        self.last_errors, self.backtracks = np.zeros_like(p[0]), np.empty_like(p[0])
        self.mask = np.empty(p.shape, bool)

    def move(self, p, g, errors, t):
        size, step, last_slope, scratch, mask = self.size, self.step, self.last_slope, self.scratch, self.mask
        last_slope *= g
        np.greater(last_slope, 0, out=mask)
        scratch[:] = 1
        np.copyto(scratch, GROWTH["rprop"], where=mask)
        np.less(last_slope, 0, out=mask)
        np.copyto(scratch, SHRINK, where=mask)
        size *= scratch
        np.clip(size, SMALLEST, BIGGEST, out=size)
        np.greater(errors, self.last_errors, out=self.backtracks)
        np.negative(self.backtracks, out=self.backtracks)
        step *= self.backtracks
        np.sign(g, out=scratch)
        scratch *= size
        np.negative(scratch, out=scratch)
        np.copyto(scratch, step, where=mask)
        p += scratch
        np.copyto(g, 0, where=mask)
        last_slope[:], self.last_errors[:] = g, errors
        self.step, self.scratch = scratch, step


RULES = {"sgd": Sgd, "adam": Adam, "quickprop": Quickprop, "rprop": Rprop}


class Buffers:
    """Arrays that the epochs of a block write to.

    outs, deltas : per layer (units, samples, nets); errors : each net's loss, if the rule compares them
    """

    def __init__(self, layer_offsets, n_nets):
        per_layer = lambda: [np.empty((j, len(X), n_nets), np.float32) for *_, j in layer_offsets]
        self.outs, self.deltas = per_layer(), per_layer()
        self.product, self.derivative = (np.empty((len(X), n_nets), np.float32) for _ in range(2))
        self.input_gradient, self.errors = np.empty((X.shape[1], n_nets), np.float32), np.empty(n_nets, np.float32)


class Blocked:
    """Trains one block of nets after another, each of which stays in a cache.

    Every parameter is a row over nets, every unit an array (samples, nets), every operation in place.
    """

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        self.start, self.layer_offsets, self.rule_class = start, offsets(layer_sizes), RULES[optimizer]
        self.is_tanh = hidden_activation == "tanh"

    def run(self, n_epochs):
        out = np.empty_like(self.start)
        for first in range(0, len(out), BLOCK):
            p = self.start[first : first + BLOCK].T.copy()
            with np.errstate(over="ignore"):  # where exp overflows, the sigmoid is 0
                self.train(p, n_epochs)
            out[first : first + BLOCK] = p.T
        return out

    def train(self, p, n_epochs):
        g, rule, buffers = np.empty_like(p), self.rule_class(p), Buffers(self.layer_offsets, p.shape[1])
        for t in range(1, n_epochs + 1):
            self.forward(p, buffers)
            self.output_delta(buffers, rule.compares)
            for k in range(len(self.layer_offsets) - 1, -1, -1):
                self.weight_gradient(k, g, buffers)
                if k:
                    self.delta_below(k, p, buffers)
            rule.move(p, g, buffers.errors, t)

    def forward(self, p, buffers):
        outs, product = buffers.outs, buffers.product
        for k, (w, b, i, j) in enumerate(self.layer_offsets):
            for q in range(j):
                z = outs[k][q]
                if k == 0:
                    np.dot(X, p[w + q : b : j], out=z)
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

    def output_delta(self, buffers, needs_errors):
        a, d, product, derivative = buffers.outs[-1][0], buffers.deltas[-1][0], buffers.product, buffers.derivative
        np.subtract(a, Y[:, None], out=d)
        if needs_errors:
            np.multiply(d, d, out=product)
            np.sum(product, axis=0, out=buffers.errors)
        d *= 2 / len(X)
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
                np.dot(X.T, d, out=buffers.input_gradient)
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
