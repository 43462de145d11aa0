"""Validation of regression targets: numbers only, not text or dates that could be converted to numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.arrays import beyond_float64
from ..errors import is_number, shown
from .array_input import refused_beyond_float64
from .base import BaseMLP  # noqa: F401  # raises the error that tells what to install

from sklearn.base import RegressorMixin  # isort: skip

# float() or NumPy would accept some of them.
NO_NUMBERS = str, bytes, np.datetime64, np.timedelta64, type(None), complex, np.complexfloating


def as_quantities(y: np.ndarray, classifier: str) -> np.ndarray:
    """Return targets y as float64.

    classifier : name of the estimator that the error message recommends for classes

    Raises
    ------
    ValueError
        If y holds text, dates or other values that are not numbers, or a number beyond float64.
    """
    cells = y.flat if y.dtype == object else ()
    if y.dtype.kind in "biufO" and not any(isinstance(cell, NO_NUMBERS) for cell in cells):
        try:
            return y.astype(np.float64, copy=False)
        except OverflowError:
            raise beyond_float64("y") from None
        except (TypeError, ValueError):
            pass
    index, cell = next((index, cell) for index, cell in np.ndenumerate(y) if not _is_quantity(cell))
    raise ValueError(
        f"y must hold numbers for a regression, but it holds {shown(cell)} at {index}. Convert text and dates to "
        f"numbers, and drop rows without a target; for classes use {classifier}."
    )


def _is_quantity(cell: Any) -> bool:
    return not isinstance(cell, NO_NUMBERS) and is_number(cell)


class QuantityRegressor(RegressorMixin):
    """RegressorMixin of scikit-learn whose score refuses the targets that fit refuses."""

    _classifier: str  # name of the estimator for classes

    def score(self, X, y, sample_weight=None):
        """Return R2, the coefficient of determination, as scikit-learn's regressors do.

        Parameters
        ----------
        X : array_like or data frame of shape (n_samples, n_features)
            Inputs, as for predict.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array_like of shape (n_samples,), optional
            Weight of each sample in the mean of squared errors.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If y holds text, dates or other values that are not numbers.
        """
        targets = np.asarray(y)
        if targets.size:
            as_quantities(targets, self._classifier)
        with refused_beyond_float64("sample_weight"):
            return super().score(X, y, sample_weight)
