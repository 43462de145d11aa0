"""Targets of a regression: numbers, and nothing that only turns into numbers."""

from __future__ import annotations

import numpy as np

NO_NUMBERS = str, bytes, np.datetime64, np.timedelta64  # though float takes some of them


def as_quantities(y: np.ndarray, classifier: str) -> np.ndarray:
    """y as float64.

    classifier : the estimator to name for classes

    Raises
    ------
    ValueError
        For text, dates and other cells that are no numbers.
    """
    cells = y.flat if y.dtype == object else ()
    if y.dtype.kind in "biufO" and not any(isinstance(cell, NO_NUMBERS) for cell in cells):
        try:
            return y.astype(np.float64, copy=False)
        except (TypeError, ValueError):
            pass
    raise ValueError(
        f"y must hold numbers for a regression, but it holds {y.flat[0]!r}. Convert text and dates to numbers; for "
        f"classes use {classifier}."
    )
