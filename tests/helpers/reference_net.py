"""Reference implementation: a whole MLP in float64 NumPy, written for clarity. Every kernel family is compared with it.

Formulas are written a second time on purpose, directly from their definitions: a test that read the tables of kernels/
could not find a mistake in them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, expit, log_softmax, softmax

SELU_L, SELU_A = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS = {
    "identity": lambda z: z,
    "sigmoid": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
    "leaky_relu": lambda z: np.where(z < 0, 0.01 * z, z),
    "elu": lambda z: np.where(z < 0, np.expm1(np.minimum(z, 0)), z),
    "selu": lambda z: SELU_L * np.where(z < 0, SELU_A * np.expm1(np.minimum(z, 0)), z),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "silu": lambda z: z * expit(z),
    "softplus": lambda z: np.logaddexp(0, z),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "symmetric_sigmoid": lambda z: expit(z) - 0.5,
    "fahlman_sigmoid": lambda z: expit(z) - 0.5,
    "exponential": np.exp,
    "softmax": lambda z: softmax(z, axis=1),
}

DERIVATIVES = {  # with respect to z, written in z
    "identity": lambda z: np.ones_like(z),
    "sigmoid": lambda z: expit(z) * expit(-z),
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "relu": lambda z: (z > 0).astype(float),
    "leaky_relu": lambda z: np.where(z > 0, 1.0, 0.01),
    "elu": lambda z: np.where(z < 0, np.exp(np.minimum(z, 0)), 1.0),
    "selu": lambda z: SELU_L * np.where(z < 0, SELU_A * np.exp(np.minimum(z, 0)), 1.0),
    "gelu": lambda z: 0.5 * (1 + erf(z / np.sqrt(2))) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    "silu": lambda z: expit(z) + z * expit(z) * expit(-z),
    "softplus": expit,
    "softsign": lambda z: 1 / (1 + np.abs(z)) ** 2,
    "symmetric_sigmoid": lambda z: expit(z) * expit(-z),
    "fahlman_sigmoid": lambda z: expit(z) * expit(-z) + 0.1,
    "exponential": np.exp,
}


def loss_per_sample(loss, z, a, y, loss_constant=1.0):
    """Return the loss of each sample, (n_samples,).

    z, a, y : (n_samples, n_outputs), logits, outputs and targets
    """
    r = a - y
    if loss == "squared_error":
        return np.mean(r**2, axis=1)
    if loss == "binary_cross_entropy":
        return np.mean(-y * np.log(expit(z)) - (1 - y) * np.log(expit(-z)), axis=1)
    if loss == "softmax_cross_entropy":
        return -np.sum(y * log_softmax(z, axis=1), axis=1)
    if loss == "absolute_error":
        return np.mean(np.abs(r), axis=1)
    if loss == "huber":
        d = loss_constant
        return np.mean(np.where(np.abs(r) <= d, r**2, d * (2 * np.abs(r) - d)), axis=1)
    if loss == "atanh_error":
        r = np.clip(r, -0.999999, 0.999999)
        return np.mean(2 * r * np.arctanh(r) + np.log1p(-(r**2)), axis=1)
    if loss == "poisson":
        return np.mean(np.exp(z) - y * z, axis=1)
    raise KeyError(loss)


def output_delta(loss, output, z, a, y, loss_constant=1.0):
    """Return the derivative of loss_per_sample with respect to the logits z, (n_samples, n_outputs)."""
    k = y.shape[1]
    if loss == "softmax_cross_entropy":
        return a * y.sum(axis=1, keepdims=True) - y
    if loss == "binary_cross_entropy":
        return (expit(z) - y) / k
    if loss == "poisson":
        return (np.exp(z) - y) / k
    r = a - y
    slope = {
        "squared_error": 2 * r,
        "absolute_error": np.sign(r),
        "huber": 2 * np.clip(r, -loss_constant, loss_constant),
        "atanh_error": 2 * np.arctanh(np.clip(r, -0.999999, 0.999999)) if loss == "atanh_error" else r,
    }[loss]
    return slope * DERIVATIVES[output](z) / k


class ReferenceMLP:
    """Multilayer perceptron in float64.

    activations : one name per layer, that of the output last
    params : flat vector; for each layer W (fan_in, fan_out) row by row, then b
    l2 : factor of the penalty l2 / 2 sum W**2
    loss_constant : of a loss that has one, such as huber_delta
    """

    def __init__(self, layer_sizes, activations, loss, params, l2=0.0, loss_constant=1.0):
        self.sizes, self.activations, self.loss = layer_sizes, activations, loss
        self.l2, self.loss_constant = l2, loss_constant
        self.params = np.array(params, np.float64)

    def layers(self, flat):
        """Return [(W, b), ...] as views into a flat vector."""
        views, start = [], 0
        for fan_in, fan_out in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            W = flat[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
            b = flat[start + fan_in * fan_out : start + fan_in * fan_out + fan_out]
            views.append((W, b))
            start += fan_in * fan_out + fan_out
        return views

    def forward(self, X, masks=None):
        """Return ([z of each layer], [X, then a of each layer]).

        masks : dropout, one array of factors (n_samples, fan_out) per hidden layer
        """
        zs, outputs = [], [np.asarray(X, np.float64)]
        for k, ((W, b), name) in enumerate(zip(self.layers(self.params), self.activations, strict=True)):
            zs.append(outputs[-1] @ W + b)
            a = ACTIVATIONS[name](zs[-1])
            outputs.append(a * masks[k] if masks and k < len(masks) else a)
        return zs, outputs

    def predict(self, X):
        return self.forward(X)[1][-1]

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        """Return (loss, flat gradient): the mean over the samples plus l2 / 2 sum W**2.

        weight : (n_samples,), factors on the losses of the samples, with mean 1
        """
        y = np.asarray(y, np.float64)
        n = len(y)
        w = np.ones(n) if weight is None else np.asarray(weight, np.float64)
        zs, outputs = self.forward(X, masks)
        loss = np.mean(w * loss_per_sample(self.loss, zs[-1], outputs[-1], y, self.loss_constant))
        delta = output_delta(self.loss, self.activations[-1], zs[-1], outputs[-1], y, self.loss_constant)
        delta *= w[:, None] / n
        gradient = np.zeros_like(self.params)
        for k in reversed(range(len(zs))):
            (W, _), (dW, db) = self.layers(self.params)[k], self.layers(gradient)[k]
            dW[:], db[:] = outputs[k].T @ delta + self.l2 * W, delta.sum(axis=0)
            loss += 0.5 * self.l2 * np.sum(W * W)
            if k:
                delta, z, name = delta @ W.T, zs[k - 1], self.activations[k - 1]
                if masks:
                    delta *= masks[k - 1]
                delta *= DERIVATIVES[name](z)
        return loss, gradient
