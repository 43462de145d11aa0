"""Parameters as one flat float32 vector: per layer W (fan_in, fan_out) row by row, then b (fan_out,)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def layers(flat: np.ndarray, layer_sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Views (W, b) per layer into a flat parameter vector."""
    views, at = [], 0
    for i, o in pairwise(layer_sizes):
        views.append((flat[at : at + i * o].reshape(i, o), flat[at + i * o : at + i * o + o]))
        at += i * o + o
    return views


def flatten(arrays) -> np.ndarray:
    """The flat float32 vector of W, b, W, b, ..."""
    return np.concatenate([np.asarray(a, dtype=np.float32).ravel() for a in arrays])


def offsets(layer_sizes: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """(W, b, fan_in, fan_out) per layer: where they start in a net's parameters."""
    starts, end = [], 0
    for i, j in pairwise(layer_sizes):
        starts.append((end, end + i * j, i, j))
        end += (i + 1) * j
    return starts
