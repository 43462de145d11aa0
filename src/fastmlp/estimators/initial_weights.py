"""Initial weights of scikit-learn's MLPs."""

from __future__ import annotations

from math import sqrt

import numpy as np

from ..memory_check import check_params
from ..network.parameter_layout import Layout


def sklearn_initial_params(rng: np.random.RandomState, layout: Layout, activation: str) -> np.ndarray:
    """Return initial parameters (n_params,), the same numbers that scikit-learn draws from the same rng.

    Weights and biases are drawn from U(-b, b) with b = sqrt(f / (fan_in + fan_out)), where f = 2 for sigmoid units and
    6 for others.
    """
    check_params(layout.layer_sizes, layout.n_params, 8)
    factor = 2.0 if activation == "sigmoid" else 6.0
    bounds = [sqrt(factor / (i + j)) for i, j in layout.shapes]
    parts = [rng.uniform(-b, b, i * j + j) for b, (i, j) in zip(bounds, layout.shapes, strict=True)]
    return np.concatenate(parts)
