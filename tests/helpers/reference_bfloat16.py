"""ReferenceMLP with operands of products rounded to bfloat16, where the kernels of layerwise and batched_gemm on CUDA
round them. All else is float64.
"""

import numpy as np
from reference_net import ACTIVATIONS, DERIVATIVES, SELU_A, SELU_L, ReferenceMLP, loss_per_sample, output_delta

# Derivatives of activations whose stored number is their rounded output; of all others it is the rounded z.
FROM_OUTPUT = {
    "identity": np.ones_like,
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "relu": lambda a: (a > 0).astype(float),
    "leaky_relu": lambda a: np.where(a > 0, 1.0, 0.01),
    "elu": lambda a: np.where(a < 0, a + 1, 1.0),
    "selu": lambda a: np.where(a < 0, a + SELU_L * SELU_A, SELU_L),
    "softsign": lambda a: (1 - np.abs(a)) ** 2,
    "symmetric_sigmoid": lambda a: 0.25 - a * a,
    "fahlman_sigmoid": lambda a: 0.35 - a * a,
}


def to_bfloat16(x):
    """Return the bits of bfloat16, rounded to nearest even."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    """Return the float32 numbers that these bits are."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(x):
    """Return numbers in float64, rounded to bfloat16."""
    return from_bfloat16(to_bfloat16(x)).astype(np.float64)


class RoundedMLP(ReferenceMLP):
    """ReferenceMLP that rounds inputs, hidden z and outputs, deltas, and weights in products."""

    def _rounded_forward(self, X, masks=None):
        """Return ([z + b of each layer], [rounded inputs, then outputs of each layer], [derivative of the output
        by z of each hidden layer]).
        """
        zs, outputs, slopes = [], [rounded(X)], []
        layers = self.layers(self.params)
        for k, ((W, b), name) in enumerate(zip(layers, self.activations, strict=True)):
            z = outputs[-1] @ rounded(W)
            if k == len(layers) - 1:  # the outputs are not rounded
                zs.append(z + b)
                outputs.append(ACTIVATIONS[name](zs[-1]))
                break
            zs.append(rounded(z) + b)
            a = ACTIVATIONS[name](zs[-1])
            stored = rounded(a if name in FROM_OUTPUT else zs[-1])
            slopes.append((FROM_OUTPUT if name in FROM_OUTPUT else DERIVATIVES)[name](stored))
            outputs.append(rounded(a * masks[k] if masks else a))
        return zs, outputs, slopes

    def forward(self, X, masks=None):
        return self._rounded_forward(X, masks)[:2]

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        y = np.asarray(y, np.float64)
        w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
        zs, outputs, slopes = self._rounded_forward(X, masks)
        loss = np.mean(w * loss_per_sample(self.loss, zs[-1], outputs[-1], y, self.loss_constant))
        delta = output_delta(self.loss, self.activations[-1], zs[-1], outputs[-1], y, self.loss_constant)
        delta = rounded(delta * w[:, None] / len(y))
        gradient = np.zeros_like(self.params)
        for k in reversed(range(len(zs))):
            (W, _), (dW, db) = self.layers(self.params)[k], self.layers(gradient)[k]
            dW[:], db[:] = outputs[k].T @ delta + self.l2 * W, delta.sum(axis=0)
            loss += 0.5 * self.l2 * np.sum(W * W)
            if k:
                below = rounded(delta @ rounded(W).T) * (masks[k - 1] if masks else 1.0)
                delta = rounded(below * slopes[k - 1])
        return loss, gradient
