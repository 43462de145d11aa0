"""Epochs of a fit whose losses a population records."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..kernels.structs import MAX_RECORDS

MAX_RECORDED_LOSSES = 16_000_000  # largest number of recorded losses, over all nets


@lru_cache(maxsize=64)
def recorded_epochs(length: int, n_nets: int) -> np.ndarray:
    """Return the epochs of a fit, from 1 to length, whose losses are recorded, evenly spaced on a logarithmic scale.

    The first and the last are among them.
    """
    n_records = max(2, min(MAX_RECORDS, MAX_RECORDED_LOSSES // n_nets, length // 8))
    return np.unique(np.geomspace(1, length, n_records).round().astype(np.int64))
