"""Samples that a net gives one output although their targets differ: the sign of a local minimum on few samples.

Where hidden units are silent or saturated for several samples, those get one output, and training moves it to the mean
of their targets: there the gradient is zero, and no longer training changes it. XOR's local minima are such: with
cross-entropy ln 2 / 2 for two patterns that share the output 1/2, 0.477 for three that share 2/3 or 1/3.
"""

from __future__ import annotations

import numpy as np

MOST = 64  # samples, the most that are compared pair by pair
EQUAL = 0.02  # share of the targets' range up to which two outputs, or an output and a mean, are one
PAIRS = 4_000_000  # pairs of samples that are compared at once


def merged_share(outputs: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """(n_nets,): share of samples whose output is also that of a sample with another target, and is the mean of the
    targets of all samples that have it; NaN for more than MOST samples.

    outputs : (n_nets, n_samples, n_outputs)
    Y : (n_samples, n_outputs)
    """
    n_nets, n, n_outputs = outputs.shape
    extent = float(Y.max() - Y.min())
    if n > MOST or not extent > 0:
        return np.full(n_nets, np.nan)
    others = np.abs(Y[:, None] - Y[None]).max(axis=2) > EQUAL * extent
    size = max(1, PAIRS // (n * n * n_outputs))
    shares = []
    for k in range(0, n_nets, size):
        out = outputs[k : k + size]
        with np.errstate(invalid="ignore"):
            same = np.abs(out[:, :, None] - out[:, None]).max(axis=3) <= EQUAL * extent
            means = same.astype(np.float64) @ Y / np.maximum(same.sum(axis=2, keepdims=True), 1)
            at_mean = np.abs(out - means).max(axis=2) <= EQUAL * extent
        shares.append(((same & others).any(axis=2) & at_mean).mean(axis=1))
    return np.concatenate(shares)
