"""Validation of regression targets: numbers only, not text or dates that could be converted to numbers."""

from __future__ import annotations

import numpy as np

NO_NUMBERS = str, bytes, np.datetime64, np.timedelta64  # float() would accept some of them


def as_quantities(y: np.ndarray, classifier: str) -> np.ndarray:
    """Return targets y as float64.

    classifier : name of the estimator that the error message recommends for classes

    Raises
    ------
    ValueError
        If y holds text, dates or other values that are not numbers.
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
