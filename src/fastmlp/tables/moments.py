"""Mean, standard deviation and range of numbers that come in parts."""

from __future__ import annotations

import numpy as np

SMALLEST, LARGEST = 1e-150, 1e150  # of targets: their squares, and sums of these, are numbers of float64


def check_range(low: np.ndarray, high: np.ndarray, std: np.ndarray | float, called: str) -> None:
    """Raise ValueError if targets are too large to be standardised in float64, or vary too little.

    low, high, std : smallest and largest target, and standard deviation; arrays, or numbers, of one output or several
    called : what the message calls the targets
    """
    largest = float(np.max(np.maximum(np.abs(low), np.abs(high))))
    too_small = np.broadcast_to((low < high) & (std < SMALLEST), np.shape(low))
    if largest <= LARGEST and not too_small.any():
        return
    found = f"it holds {largest:g}" if largest > LARGEST else f"all of its values are within {SMALLEST:g} of each other"
    raise ValueError(
        f"{called} should hold numbers up to {LARGEST:g} in size, with a standard deviation of {SMALLEST:g} or more, "
        f"but {found}: multiply it by a constant, as by a choice of other units."
    )


class Moments:
    """Number, mean, standard deviation, minimum and maximum of the rows that `add` was given: Chan et al. 1979.

    >>> moments = Moments()
    >>> moments.add(np.array([1.0, 2.0]))
    >>> moments.add(np.array([6.0]))
    >>> moments.n, float(moments.mean), round(float(moments.std), 3)
    (3, 3.0, 2.16)
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())
        self.low: np.ndarray = np.array(np.inf)
        self.high: np.ndarray = np.array(-np.inf)

    def add(self, values: np.ndarray) -> None:
        """Add rows, float64 (n_rows,) or (n_rows, n_columns), all of the same width and finite."""
        n = len(values)
        if not n:
            return
        mean, total = values.mean(axis=0), self.n + n
        distance = mean - self.mean
        self._squares = self._squares + ((values - mean) ** 2).sum(axis=0) + distance * distance * (self.n * n / total)
        self.mean = self.mean + distance * (n / total)
        self.n = total
        self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self._squares / max(self.n, 1))
