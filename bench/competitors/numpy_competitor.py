"""NumPy by hand: every array is allocated once, every operation writes in place, Adam runs over one flat vector."""

from __future__ import annotations

import time

import numpy as np
from suite.flat_params import layers
from suite.training_case import TrainingCase

from competitors import TrainingImplementation


def adam(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, scratch: np.ndarray, t: int, rate: float) -> None:
    """Make step t, counted from 1, of parameters p of any shape, in place; g is not changed.

    Epsilon, 1e-8, is added after the correction.
    """
    root = (1 - 0.999**t) ** 0.5
    np.multiply(g, g, out=scratch)
    scratch *= 0.001
    v *= 0.999
    v += scratch
    np.multiply(g, 0.1, out=scratch)
    m *= 0.9
    m += scratch
    np.sqrt(v, out=scratch)
    scratch += 1e-8 * root
    np.divide(m, scratch, out=scratch)
    scratch *= rate * root / (1 - 0.9**t)
    p -= scratch


class Implementation(TrainingImplementation):
    def __init__(self, variant: str = ""):
        self.variant = variant

    def prepare(self, case: TrainingCase, threads: int) -> float:
        started = time.perf_counter()
        self.case = case
        n = case.batch_size
        self.p = np.empty(case.n_params, np.float32)
        self.g, self.m, self.v, self.scratch = (np.zeros_like(self.p) for _ in range(4))
        self.net, self.slots = layers(self.p, case.layer_sizes), layers(self.g, case.layer_sizes)
        self.a = [np.empty((n, o), np.float32) for _, o in case.shapes]
        self.delta = [np.empty_like(a) for a in self.a]
        self.derivative = [np.empty_like(a) for a in self.a]
        y = case.y_matrix
        batches = range(0, len(case.X), n)
        self.batches = [(case.X[at : at + n], np.ascontiguousarray(y[at : at + n])) for at in batches]
        self.reset()
        return time.perf_counter() - started

    def reset(self) -> None:
        self.p[:] = self.case.start
        self.m[:] = self.v[:] = 0
        self.t = 0

    def forward(self, X, out):
        """Write the activations of all layers into `out`."""
        a = X
        last = len(self.net) - 1
        for k, ((W, b), z) in enumerate(zip(self.net, out, strict=True)):
            np.dot(a, W, out=z)
            z += b
            name = self.case.output_activation if k == last else self.case.hidden_activation
            if name == "relu":
                np.maximum(z, 0, out=z)
            elif name == "sigmoid":
                np.negative(z, out=z)
                np.exp(z, out=z)
                z += 1
                np.reciprocal(z, out=z)
            elif name == "softmax":
                z -= z.max(axis=1, keepdims=True)
                np.exp(z, out=z)
                z /= z.sum(axis=1, keepdims=True)
            a = z

    def gradient(self, X, y) -> None:
        case, a, delta, derivative = self.case, self.a, self.delta, self.derivative
        self.forward(X, a)
        np.subtract(a[-1], y, out=delta[-1])
        if case.loss == "squared_error":
            delta[-1] *= 2 / y.size
            if case.output_activation == "sigmoid":
                np.subtract(1, a[-1], out=derivative[-1])
                derivative[-1] *= a[-1]
                delta[-1] *= derivative[-1]
        else:
            delta[-1] *= 1 / (y.size if case.loss == "binary_cross_entropy" else len(y))
        for k in range(len(a) - 1, -1, -1):
            W_slot, b_slot = self.slots[k]
            np.dot((a[k - 1] if k else X).T, delta[k], out=W_slot)
            np.sum(delta[k], axis=0, out=b_slot)
            if k:
                np.dot(delta[k], self.net[k][0].T, out=delta[k - 1])
                if case.hidden_activation == "relu":
                    np.greater(a[k - 1], 0, out=derivative[k - 1])
                else:
                    np.subtract(1, a[k - 1], out=derivative[k - 1])
                    derivative[k - 1] *= a[k - 1]
                delta[k - 1] *= derivative[k - 1]

    def update(self) -> None:
        self.t += 1
        rate = self.case.learning_rate
        if self.case.optimizer == "sgd":
            self.g *= rate
            self.p -= self.g
        else:
            adam(self.p, self.g, self.m, self.v, self.scratch, self.t, rate)

    def run(self, n_epochs: int) -> None:
        for _ in range(n_epochs):
            for X, y in self.batches:
                self.gradient(X, y)
                self.update()

    def params(self):
        return self.p.copy()

    def loss(self, X, y) -> float:
        a = [np.empty((len(X), o), np.float32) for _, o in self.case.shapes]
        self.forward(X, a)
        if self.case.loss == "squared_error":
            return float(np.mean((a[-1] - y) ** 2))
        if self.case.loss == "binary_cross_entropy":
            return float(-np.mean(y * np.log(a[-1]) + (1 - y) * np.log(1 - a[-1])))
        return float(-np.mean(np.log(a[-1][np.arange(len(y)), y])))
