"""Selection of the samples that are measured."""

from __future__ import annotations

import numpy as np


def sample_rows(n: int, max_rows: int) -> np.ndarray:
    """Return at most `max_rows` of n row numbers, drawn at random with a fixed seed."""
    return np.arange(n) if n <= max_rows else np.sort(np.random.default_rng(3).choice(n, max_rows, replace=False))
