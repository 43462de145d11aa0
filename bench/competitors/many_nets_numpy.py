"""NumPy with many nets: structure of arrays by hand, every operation in place."""

from __future__ import annotations

import numpy as np
from suite.cases.populations import BIGGEST, GROWTH, RATES, SHRINK, SMALLEST, X, Y
from suite.flat_params import offsets

from competitors.numpy_adam import adam

BLOCK = 8192  # nets whose numbers stay in a cache


class Rule:
    """move(p, g, errors, t): step t, from 1, of p (n_params, n_nets); g is its to write to. errors (n_nets,) are each
    net's loss at p, but only if it compares them.
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
        self.step, self.before, self.jump = np.zeros_like(p), np.zeros_like(p), np.empty_like(p)
        self.is_so = np.empty(p.shape, bool)

    def move(self, p, g, errors, t):
        step, before, jump, scratch, is_so = self.step, self.before, self.jump, self.scratch, self.is_so
        growth = GROWTH["quickprop"]
        np.subtract(before, g, out=scratch)
        np.equal(scratch, 0, out=is_so)
        np.copyto(scratch, np.inf, where=is_so)  # no step then
        np.divide(g, scratch, out=jump)
        jump *= step
        before *= growth / (1 + growth)
        before -= g
        before *= step  # > 0 where the slope still falls too fast for a parabola
        np.greater(before, 0, out=is_so)
        np.multiply(step, growth, out=scratch)
        np.copyto(jump, scratch, where=is_so)
        np.multiply(g, -RATES["quickprop"], out=scratch)
        np.multiply(step, g, out=before)
        np.less(before, 0, out=is_so)
        np.multiply(scratch, is_so, out=before)
        jump += before
        np.equal(step, 0, out=is_so)
        np.copyto(jump, scratch, where=is_so)
        p += jump
        before[:] = g
        self.step, self.jump = jump, step


class Rprop(Rule):
    compares = True

    def __init__(self, p):
        super().__init__(p)
        self.size, self.step, self.before = np.full_like(p, RATES["rprop"]), np.zeros_like(p), np.zeros_like(p)
        self.last, self.back = np.zeros_like(p[0]), np.empty_like(p[0])
        self.is_so = np.empty(p.shape, bool)

    def move(self, p, g, errors, t):
        size, step, before, scratch, is_so = self.size, self.step, self.before, self.scratch, self.is_so
        before *= g
        np.greater(before, 0, out=is_so)
        scratch[:] = 1
        np.copyto(scratch, GROWTH["rprop"], where=is_so)
        np.less(before, 0, out=is_so)
        np.copyto(scratch, SHRINK, where=is_so)
        size *= scratch
        np.clip(size, SMALLEST, BIGGEST, out=size)
        np.greater(errors, self.last, out=self.back)
        np.negative(self.back, out=self.back)
        step *= self.back
        np.sign(g, out=scratch)
        scratch *= size
        np.negative(scratch, out=scratch)
        np.copyto(scratch, step, where=is_so)
        p += scratch
        np.copyto(g, 0, where=is_so)
        before[:], self.last[:] = g, errors
        self.step, self.scratch = scratch, step


RULES = {"sgd": Sgd, "adam": Adam, "quickprop": Quickprop, "rprop": Rprop}


class Blocked:
    """Structure of arrays by hand, for a block of nets that stays in a cache, one block after another: every parameter
    is a row over nets, every unit an array (samples, nets), every operation in place.
    """

    def __init__(self, layer_sizes, hidden_activation, optimizer, start):
        self.start, self.places, self.rule_of = start, offsets(layer_sizes), RULES[optimizer]
        self.is_tanh = hidden_activation == "tanh"

    def run(self, n_epochs):
        out = np.empty_like(self.start)
        for first in range(0, len(out), BLOCK):
            p = self.start[first : first + BLOCK].T.copy()
            with np.errstate(over="ignore"):  # of an exponential whose sigmoid is 0
                self.train(p, n_epochs)
            out[first : first + BLOCK] = p.T
        return out

    def train(self, p, n_epochs):
        places, samples, n = self.places, len(X), p.shape[1]
        g, rule = np.empty_like(p), self.rule_of(p)
        room = lambda: [np.empty((j, samples, n), np.float32) for *_, j in places]
        outs, deltas, product = room(), room(), np.empty((samples, n), np.float32)
        y, rest, first = Y[:, None], np.empty((samples, n), np.float32), np.empty((X.shape[1], n), np.float32)
        errors = np.empty(n, np.float32)
        for t in range(1, n_epochs + 1):
            for k, (w, b, i, j) in enumerate(places):
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
                if self.is_tanh and k < len(places) - 1:
                    np.tanh(outs[k], out=outs[k])
                else:
                    np.negative(outs[k], out=outs[k])
                    np.exp(outs[k], out=outs[k])
                    outs[k] += 1
                    np.reciprocal(outs[k], out=outs[k])
            a, d = outs[-1][0], deltas[-1][0]
            np.subtract(a, y, out=d)
            if rule.compares:
                np.multiply(d, d, out=product)
                np.sum(product, axis=0, out=errors)
            d *= 2 / samples
            np.subtract(1, a, out=rest)
            rest *= a
            d *= rest
            for k in range(len(places) - 1, -1, -1):
                w, b, i, j = places[k]
                np.sum(deltas[k], axis=1, out=g[b : b + j])
                for q in range(j):
                    d = deltas[k][q]
                    if k == 0:
                        np.dot(X.T, d, out=first)
                        g[w + q : b : j] = first
                        continue
                    for r in range(i):
                        np.multiply(outs[k - 1][r], d, out=product)
                        np.sum(product, axis=0, out=g[w + r * j + q])
                for r in range(i if k else 0):
                    below = deltas[k - 1][r]
                    np.multiply(deltas[k][0], p[w + r * j], out=below)
                    for q in range(1, j):
                        np.multiply(deltas[k][q], p[w + r * j + q], out=product)
                        below += product
                    a = outs[k - 1][r]
                    if self.is_tanh:
                        np.multiply(a, a, out=rest)
                        np.subtract(1, rest, out=rest)
                    else:
                        np.subtract(1, a, out=rest)
                        rest *= a
                    below *= rest
            rule.move(p, g, errors, t)
