"""A net written by hand in NumPy, as people write their first one, with the bugs of the founding question to choose from."""

import numpy as np
from scipy.special import expit

BUGS = ("", "double sigmoid", "positive weights", "updated activations", "wrong sign")


class HandWrittenNet:
    """Sigmoids throughout, squared error, descent on one sample after another."""

    def __init__(self, sizes, bug="", seed=0, learning_rate=1.0):
        assert bug in BUGS
        rng = np.random.default_rng(seed)
        low = 0.0 if bug == "positive weights" else -1.0
        self.bug, self.learning_rate = bug, learning_rate
        self.W = [rng.uniform(low, 1.0, shape) for shape in zip(sizes[:-1], sizes[1:], strict=True)]
        self.b = [rng.uniform(low, 1.0, size) for size in sizes[1:]]

    def f(self, z):
        return 1 / (1 + np.exp(-expit(z))) if self.bug == "double sigmoid" else expit(z)

    def forward(self, x):
        zs, outputs = [], [x]
        for W, b in zip(self.W, self.b, strict=True):
            zs.append(outputs[-1] @ W + b)
            outputs.append(self.f(zs[-1]))
        return zs, outputs

    def predict(self, X):
        return self.forward(np.asarray(X))[1][-1]

    def slope(self, a):
        return a * (1 - a)

    def step(self, x, y):
        zs, outputs = self.forward(x)
        error = outputs[-1] - y
        if self.bug == "wrong sign":
            error = -error
        delta = error * self.slope(outputs[-1])
        for k in reversed(range(len(self.W))):
            dW, db, da = np.outer(outputs[k], delta), delta, self.W[k] @ delta
            delta = da * self.slope(outputs[k])
            variables = [(self.W[k], dW), (self.b[k], db)]
            if self.bug == "updated activations":  # and with the first of them x, a row of the data
                variables += [(outputs[k], da), (zs[k], db)]
            for variable, gradient in variables:
                variable -= self.learning_rate * gradient
        return float((error**2).mean())

    def train(self, X, Y, epochs):
        """The mean loss of each epoch, on a copy of X of its own."""
        X = np.array(X, float)
        return [float(np.mean([self.step(x, y) for x, y in zip(X, Y, strict=True)])) for _ in range(epochs)]

    def as_arrays(self):
        return [array for pair in zip(self.W, self.b, strict=True) for array in pair]

    def options(self):
        return {"activations": ["sigmoid"] * len(self.W), "loss": "squared_error"}
