"""Base class of the schedules, and the one without an effect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


class Schedule(ABC):
    """Base class of the schedules. An own schedule need not be a subclass."""

    @abstractmethod
    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        """Return the factor on the learning rate for each step.

        Parameters
        ----------
        steps : ndarray of int, shape (n,)
            Numbers of the steps, counted from 0.
        n_steps : int
            Number of steps of the whole fit.

        Returns
        -------
        ndarray of float64, shape (n,)
        """


@dataclass(frozen=True)
class Constant(Schedule):
    """Constant learning rate: the factor is 1 at every step.

    Notes
    -----
    factor(t) = 1.

    Examples
    --------
    >>> Constant().factors(np.arange(3), 3)
    array([1., 1., 1.])
    """

    def factors(self, steps, n_steps):
        return np.ones(len(steps))
