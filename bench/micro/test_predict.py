"""Prediction with one net: one row in a call, and many rows in a call."""

import numpy as np
import pytest

import fastmlp

CASES = [((64, 64, 32, 10), 1), ((64, 64, 32, 10), 1_800), ((784, 512, 512, 10), 1), ((784, 512, 512, 10), 1_000)]


def reference(net, X):
    """Outputs in float64 NumPy: ReLU layers, then softmax."""
    a = X.astype(np.float64)
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        z = a @ W.astype(np.float64) + b
        a = np.maximum(z, 0) if k < len(net.weights) - 1 else np.exp(z - z.max(1, keepdims=True))
    return a / a.sum(1, keepdims=True)


@pytest.mark.parametrize("sizes, rows", CASES, ids=[f"{'-'.join(map(str, s))}-{n}rows" for s, n in CASES])
def test_predict(benchmark, sizes, rows):
    net = fastmlp.MLP(sizes, loss="softmax_cross_entropy", device="cpu", random_state=0)
    X = np.random.default_rng(0).standard_normal((rows, sizes[0]), np.float32)
    np.testing.assert_allclose(net.predict(X), reference(net, X), atol=1e-5)
    benchmark(net.predict, X)
