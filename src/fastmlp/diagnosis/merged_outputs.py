"""Merged outputs: samples with different targets but equal outputs, a sign of a local minimum on few samples.

If hidden units are inactive or saturated for several samples, these samples get the same output, and training moves it
to the mean of their targets. There the gradient is zero, and more training changes nothing. The local minima of XOR are
of this kind: with cross-entropy, ln 2 / 2 for two samples that share the output 1/2, and 0.477 for three that share 2/3
or 1/3.
"""

from __future__ import annotations

import numpy as np

MAX_SAMPLES = 64  # largest number of samples that are compared pair by pair
EQUAL = 0.02  # outputs that differ by at most this fraction of the targets' range count as equal
MAX_PAIRS = 4_000_000  # differences of outputs, over pairs of samples and outputs, that are computed at once, at most


def merged_fraction(outputs: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the fraction of samples with a merged output, (n_nets,); NaN for more than MAX_SAMPLES samples, and if all
    targets are equal.

    An output is merged if samples with different targets have it, and if it is the mean of the targets of all samples
    that have it.

    outputs : (n_nets, n_samples, n_outputs)
    Y : (n_samples, n_outputs) targets
    """
    n_nets, n, n_outputs = outputs.shape
    extent = float(Y.max() - Y.min())
    if n > MAX_SAMPLES or not extent > 0:
        return np.full(n_nets, np.nan)
    have_other_targets = np.abs(Y[:, None] - Y[None]).max(axis=2) > EQUAL * extent
    size = max(1, MAX_PAIRS // (n * n * n_outputs))
    fractions = []
    for k in range(0, n_nets, size):
        chunk_outputs = outputs[k : k + size]
        with np.errstate(invalid="ignore"):
            have_equal_outputs = (
                np.abs(chunk_outputs[:, :, None] - chunk_outputs[:, None]).max(axis=3) <= EQUAL * extent
            )
            means = (
                have_equal_outputs.astype(np.float64) @ Y / np.maximum(have_equal_outputs.sum(axis=2, keepdims=True), 1)
            )
            at_mean = np.abs(chunk_outputs - means).max(axis=2) <= EQUAL * extent
        fractions.append(((have_equal_outputs & have_other_targets).any(axis=2) & at_mean).mean(axis=1))
    return np.concatenate(fractions)
