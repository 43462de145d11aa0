"""Initial weights of scikit-learn's MLPs: drawn, or set by the user."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from ..network.parameter_layout import Layout
from ..runtime.memory_check import check_params


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


def parameters_of_layers(layers: tuple[Any, Any], sizes: tuple[int, ...]) -> np.ndarray | None:
    """Return initial parameters (n_params,) from coefs_ and intercepts_ that were set before a fit, or None.

    layers : coefs_ and intercepts_, one array per layer, or None
    sizes : layer sizes

    Raises
    ------
    ValueError
        If only one of them was set, or shapes are not those of the layers.
    """
    if layers == (None, None):
        return None
    layout, found = Layout(sizes), []
    expected = [shape for i, j in layout.shapes for shape in ((i, j), (j,))]
    if None not in layers and len(layers[0]) == len(layers[1]) == layout.n_layers:
        found = [np.asarray(array, np.float64) for layer in zip(*layers, strict=True) for array in layer]
    if [array.shape for array in found] != expected:
        raise ValueError(
            f"coefs_ and intercepts_ were set before fit, but not with the shapes of layers {sizes}: "
            f"{list(layout.shapes)} and {[(j,) for _, j in layout.shapes]}. Set both so, or neither."
        )
    return np.concatenate([array.ravel() for array in found])
