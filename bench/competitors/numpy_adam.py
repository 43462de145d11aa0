"""Adam in NumPy, every operation in place, for the NumPy competitors of training, populations and kernels."""

from __future__ import annotations

import numpy as np


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
