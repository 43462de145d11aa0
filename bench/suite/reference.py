"""Reference: the slow, obvious training loop in float64 NumPy; every competitor must reach its result before timing.

`case` is the training_case.TrainingCase of the net and its training.
"""

from __future__ import annotations

import numpy as np

from suite.flat_params import layers


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(case, params, X):
    """Activations of every layer, inputs first."""
    a = [X]
    net = layers(params, case.layer_sizes)
    for k, (W, b) in enumerate(net):
        z = a[-1] @ W + b
        name = case.output_activation if k == len(net) - 1 else case.hidden_activation
        if name == "softmax":
            e = np.exp(z - z.max(1, keepdims=True))
            a.append(e / e.sum(1, keepdims=True))
        else:
            a.append({"sigmoid": sigmoid, "relu": lambda z: np.maximum(z, 0), "identity": lambda z: z}[name](z))
    return a


def loss(case, params, X, y) -> float:
    """The mean loss. y : (n_samples, n_outputs), one-hot for classes"""
    a = forward(case, np.asarray(params, np.float64), X.astype(np.float64))[-1]
    if case.loss == "squared_error":
        return float(np.mean((a - y) ** 2))
    if case.loss == "binary_cross_entropy":
        return float(-np.mean(y * np.log(a) + (1 - y) * np.log(1 - a)))
    return float(-np.mean(np.sum(y * np.log(a), axis=1)))


def gradient(case, params, X, y):
    a = forward(case, params, X)
    g = np.zeros_like(params)
    if case.loss == "squared_error":
        delta = 2 * (a[-1] - y) / y.size
        if case.output_activation == "sigmoid":
            delta *= a[-1] * (1 - a[-1])
    else:  # the output activation's derivative has cancelled
        delta = (a[-1] - y) / len(y)
    net, slots = layers(params, case.layer_sizes), layers(g, case.layer_sizes)
    for k in reversed(range(len(net))):
        slots[k][0][:], slots[k][1][:] = a[k].T @ delta, delta.sum(0)
        if k:
            derivative = a[k] * (1 - a[k]) if case.hidden_activation == "sigmoid" else a[k] > 0
            delta = (delta @ net[k][0].T) * derivative
    return g


def train(case, n_epochs: int, corrects_epsilon: bool = True) -> np.ndarray:
    """Parameters after n_epochs, in float64.

    corrects_epsilon : Adam as in Kingma and Ba 2015, algorithm 1: epsilon is added to the root of the corrected second
        moment; False: the form at the end of their section 2, epsilon is added to the root of the uncorrected one
    """
    p = case.start.astype(np.float64)
    m, v, t = np.zeros_like(p), np.zeros_like(p), 0
    X, y = case.X.astype(np.float64), case.y_matrix.astype(np.float64)
    for _ in range(n_epochs):
        for at in range(0, len(X), case.batch_size):
            batch = slice(at, at + case.batch_size)
            g = gradient(case, p, X[batch], y[batch])
            t += 1
            if case.optimizer == "sgd":
                p = p - case.learning_rate * g
            else:
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g * g
                epsilon = 1e-8 if corrects_epsilon else 1e-8 / np.sqrt(1 - 0.999**t)
                p = p - case.learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + epsilon)
    return p


def difference(case, params, value, expected) -> dict[str, float]:
    """{"parameters", "loss"}: relative errors of a competitor's result.

    Parameters: the distance between `params` and `expected`, divided by the distance between `expected` and the start.
    It is larger than float32's precision: where rounding moves a logit across zero a ReLU switches, and Adam gives the
    weights whose gradient depends on that one sample a full step in the other direction (seen: 0.012). Adam without its
    corrections ends more than 0.5 off.
    """
    travelled = np.linalg.norm(expected - case.start)
    expected_loss = loss(case, expected, case.X, case.y_matrix)
    return {
        "parameters": float(np.linalg.norm(params - expected) / travelled),
        "loss": float(abs(value - expected_loss) / abs(expected_loss)),
    }
