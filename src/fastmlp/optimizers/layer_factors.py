"""learning_rate_factors: factors on the learning rate for some of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import checked_number, counted

KINDS = ("weights", "biases")  # of the parameters of a layer


def check_rate_factors(factors: Any) -> None:
    """Check the keys and values of learning_rate_factors.

    Raises
    ------
    ValueError
        If a key is none of those that Optimizer documents, or a factor is no finite number of at least 0.
    """
    if not isinstance(factors, dict):
        raise ValueError(
            "learning_rate_factors must be a dict of factors, such as {'biases': 0.1, 0: 0.5}, but it is "
            f"{type(factors).__name__}."
        )
    for key, factor in factors.items():
        layer, kind = parameters_of(key)
        has_layer = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
        if not (kind is None and has_layer) and not (kind in KINDS and (layer is None or has_layer)):
            raise ValueError(
                "A key of learning_rate_factors is 'weights', 'biases', the number of a layer, or a pair such as "
                f"(0, 'biases'), but one is {key!r}."
            )
        checked_number(f"The factor of {key!r} in learning_rate_factors", factor, 0.0)


def parameters_of(key: Any) -> tuple[Any, Any]:
    """Return (layer, kind) that a key of learning_rate_factors stands for; None for all layers, or for both kinds."""
    if isinstance(key, tuple) and len(key) == 2:
        return key
    return (None, key) if isinstance(key, str) else (key, None)


def factors_of_parameters(factors: Mapping[Any, float], shapes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return Optimizer.rate_factors for a dictionary of checked factors.

    Raises
    ------
    ValueError
        If a key names a layer that is not there.
    """
    found = np.ones((len(shapes), 2))
    for key, factor in factors.items():
        layer, kind = parameters_of(key)
        if layer is not None and not -len(shapes) <= layer < len(shapes):
            raise ValueError(
                f"learning_rate_factors has {key!r}, but the net has {counted(len(shapes), 'layer')}, from 0 to "
                f"{len(shapes) - 1}."
            )
        of_layer = found if layer is None else found[layer : layer + 1 or None]
        of_layer[:, slice(None) if kind is None else KINDS.index(kind)] *= factor
    return found.reshape(-1)
