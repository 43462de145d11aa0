"""Convergence rules, and statistics of convergence over many trials: success rates, epochs, restarts.

Definitions are those of the CMU benchmark archive (Fahlman 1988 and the glossary of its collection). A trial that
failed has no number of epochs to convergence; each statistic says how it treats failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from .errors import checked_count, checked_number, unknown_name
from .kernels.structs import FULL_ACCURACY

RULES = ("accuracy", "40-20-40")


@dataclass(frozen=True)
class Converged:
    """Convergence rule: a net has converged, and stops, after the first epoch that meets the rule.

    Give either loss or accuracy.

    Parameters
    ----------
    loss : float, optional
        The epoch's mean loss is at most this.
    accuracy : float, optional
        At least this fraction of the samples is correct in the epoch, in (0, 1].
    margin : float, optional
        When a sample counts as correct. By default each output is on the side of its range that the target is on or,
        for several exclusive classes, the largest output is that of the target's class. A number from 0 to 0.5: each
        output is within this fraction of the output's range of its target; Fahlman's 40-20-40 rule has 0.4.
    restart_after : int, optional
        Number of epochs after which a net that has not converged is restarted from new initial parameters, drawn by
        `init`. By default none is.

    Raises
    ------
    ValueError
        If neither or both of loss and accuracy are given, or a number is out of range.

    Notes
    -----
    An epoch is judged by the outputs that its samples had in training, before each step's update. With full batches, a
    net that meets the rule keeps the parameters that gave these outputs: it has taken one step less than its number of
    epochs. With smaller batches it keeps the parameters after the epoch's last step.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks", CMU-CS-88-162: the 40-20-40 rule.

    Examples
    --------
    >>> Converged(loss=0.01)
    Converged(loss=0.01, accuracy=None, margin=None, restart_after=None)
    """

    loss: float | None = None
    accuracy: float | None = None
    margin: float | None = None
    restart_after: int | None = None

    def __post_init__(self):
        if self.loss is None and self.accuracy is None:
            raise ValueError("Converged needs a loss or an accuracy to reach, such as Converged(loss=0.01).")
        if self.loss is not None and self.accuracy is not None:
            raise ValueError("Converged takes a loss or an accuracy, not both.")
        if self.loss is not None:
            checked_number("loss", self.loss)
        if self.accuracy is not None:
            checked_number("accuracy", self.accuracy, 0.0, 1.0, open_low=True)
        if self.margin is not None:
            checked_number("margin", self.margin, 0.0, 0.5)
        if self.restart_after is not None:
            checked_count("restart_after", self.restart_after)

    def first_reached(self, loss: np.ndarray, accuracy: np.ndarray | None) -> int | None:
        """Return the index of the first epoch that meets the rule.

        Parameters
        ----------
        loss : ndarray of shape (n_epochs,)
            Mean loss of each epoch.
        accuracy : ndarray of shape (n_epochs,) or None
            Fraction of correct samples in each epoch.

        Returns
        -------
        int or None
            None if no epoch meets the rule.

        Examples
        --------
        >>> Converged(loss=0.1).first_reached(np.array([0.2, 0.1, 0.05]), None)
        1
        """
        if self.loss is not None:
            is_reached = loss <= self.loss
        elif accuracy is not None and self.accuracy is not None:
            is_reached = accuracy >= self.accuracy * FULL_ACCURACY
        else:
            return None
        return int(is_reached.argmax()) if is_reached.any() else None


def as_converged(value: Any) -> Converged | None:
    """Return fit's converged argument as a Converged or None.

    value : None to train all epochs, a number for a loss to reach, "accuracy" for all samples correct, "40-20-40" for
        all samples correct by Fahlman's rule, or a Converged

    >>> as_converged("40-20-40")
    Converged(loss=None, accuracy=1.0, margin=0.4, restart_after=None)
    """
    if value is None or isinstance(value, Converged):
        return value
    if isinstance(value, str):
        if value not in RULES:
            raise unknown_name("convergence rule", value, RULES)
        return Converged(accuracy=1.0, margin=0.4 if value == "40-20-40" else None)
    return Converged(loss=checked_number("converged", value))


def wilson_interval(n_successes: int, n_trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of a success rate (Wilson 1927).

    z : float     half width in standard deviations; the default gives 95 % confidence

    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    if n_trials == 0:
        return 0.0, 1.0
    p, z2 = n_successes / n_trials, z * z
    centre = (p + z2 / (2 * n_trials)) / (1 + z2 / n_trials)
    half_width = z * sqrt(p * (1 - p) / n_trials + z2 / (4 * n_trials**2)) / (1 + z2 / n_trials)
    # At the ends the bounds are 0 and 1, from which rounding would leave them some 1e-19.
    low = centre - half_width if n_successes > 0 else 0.0
    high = centre + half_width if n_successes < n_trials else 1.0
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class EpochStatistics:
    """Statistics of the epochs to convergence.

    Parameters
    ----------
    times : ndarray of float64, shape (n_successes,)
        Epochs to convergence of the trials that converged.
    n_trials : int
        Number of trials, failures included.

    Attributes
    ----------
    mean : float
        Mean over the successes; NaN without any.
    sd : float
        Standard deviation over the successes, with divisor n - 1; NaN for fewer than two.
    median : float
        Median over the successes; NaN without any.
    best_restart : tuple (int, float)
        Number of epochs after which a restart gives the smallest mean number of epochs to success, those of failed
        attempts included, and that mean; (0, inf) without a success.

    References
    ----------
    Fahlman 1988, "An empirical study of learning speed in back-propagation networks", CMU-CS-88-162.

    Examples
    --------
    >>> statistics = EpochStatistics(np.array([20.0, 30.0, 40.0]), n_trials=4)
    >>> statistics.mean, statistics.best_restart
    (30.0, (40, 43.333333333333336))
    """

    times: np.ndarray
    n_trials: int

    @property
    def mean(self) -> float:
        """Mean over the successes; NaN without any."""
        return float(self.times.mean()) if self.times.size else float("nan")

    @property
    def sd(self) -> float:
        """Standard deviation over the successes, with divisor n - 1; NaN for fewer than two."""
        return float(self.times.std(ddof=1)) if self.times.size > 1 else float("nan")

    @property
    def median(self) -> float:
        """Median over the successes; NaN without any."""
        return float(np.median(self.times)) if self.times.size else float("nan")

    def quantiles(self, shares=(0.05, 0.25, 0.5, 0.75, 0.95)) -> np.ndarray:
        """Return quantiles over the successes.

        Parameters
        ----------
        shares : sequence of float, default (0.05, 0.25, 0.5, 0.75, 0.95)
            Probabilities of the quantiles, from 0 to 1.

        Returns
        -------
        ndarray of float64, shape (len(shares),)
            NaN without any success.
        """
        return np.quantile(self.times, shares) if self.times.size else np.full(len(shares), np.nan)

    @property
    def best_restart(self) -> tuple[int, float]:
        """Number of epochs after which to restart, and the expected epochs to success then."""
        if not self.times.size:
            return 0, float("inf")
        limits, counts = np.unique(self.times, return_counts=True)
        sums, counts = np.cumsum(limits * counts), np.cumsum(counts)
        expected = (sums + (self.n_trials - counts) * limits) / counts
        best = int(expected.argmin())
        return int(limits[best]), float(expected[best])
