"""Logits of a net, the inputs of its output activation, and logarithms of the probabilities that they stand for.

In float32, an output of 1 - 1e-9 is 1. A logit z gives the probabilities of both classes with full precision:
sigmoid(z) and sigmoid(-z).
"""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_LOGIT = 1e37  # logits are clipped to this size: larger ones have overflowed, and would give NaN probabilities


def with_logits(net: Any) -> Any:
    """Return a net or population without output activation that shares the parameters of `net`."""
    view = object.__new__(type(net))
    view.__dict__.update(net.__dict__, network=net.network.with_logits)
    return view


def log_sigmoid(z: np.ndarray) -> np.ndarray:
    """Return log(sigmoid(z)).

    >>> log_sigmoid(np.array([-100.0, 0.0])).round(2).tolist()
    [-100.0, -0.69]
    """
    return -np.logaddexp(0.0, -z)


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax over the last axis."""
    z = np.minimum(np.maximum(z, -MAX_LOGIT), MAX_LOGIT)
    z -= z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
