"""When a net counts as having learned, and what a set of trials says about that: rates, times, restarts.

Definitions are those of the CMU benchmark archive (Fahlman 1988 and the glossary of its collection). A trial that
failed has no time to converge; how each figure treats it is said where it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from .errors import checked_number, unknown_name
from .kernels.structs import ALL_RIGHT

RULES = ("accuracy", "40-20-40")


@dataclass(frozen=True)
class Converged:
    """A net has converged, and stops, after the first epoch in which all that is given here was so.

    loss : its mean loss was no higher. accuracy : at least this share of samples was right. margin : what right means:
    None for the side of the output's range, or for several exclusive classes the largest output; a number for lying
    within this share of the output's range from the target. Fahlman's 40-20-40 rule has 0.4.

    >>> Converged(loss=0.01)
    Converged(loss=0.01, accuracy=None, margin=None)
    """

    loss: float | None = None
    accuracy: float | None = None
    margin: float | None = None

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

    def first_reached(self, loss: np.ndarray, accuracy: np.ndarray | None) -> int | None:
        """Which epoch, of those whose records these are, is the first to reach the goal.

        >>> Converged(loss=0.1).first_reached(np.array([0.2, 0.1, 0.05]), None)
        1
        """
        if self.loss is not None:
            reached = loss <= self.loss
        elif accuracy is not None and self.accuracy is not None:
            reached = accuracy >= self.accuracy * ALL_RIGHT
        else:
            return None
        return int(reached.argmax()) if reached.any() else None


def as_converged(value: Any) -> Converged | None:
    """None: nets train all epochs; a number: that loss; "accuracy": all are right; "40-20-40": all within that rule.

    >>> as_converged("40-20-40")
    Converged(loss=None, accuracy=1.0, margin=0.4)
    """
    if value is None or isinstance(value, Converged):
        return value
    if isinstance(value, str):
        if value not in RULES:
            raise unknown_name("convergence rule", value, RULES)
        return Converged(accuracy=1.0, margin=0.4 if value == "40-20-40" else None)
    return Converged(loss=checked_number("converged", value))


def wilson_interval(n_successes: int, n_trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The interval for a rate of Wilson 1927; z standard deviations, 95 % unless given.

    >>> low, high = wilson_interval(90, 100)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    if n_trials == 0:
        return 0.0, 1.0
    p, z2 = n_successes / n_trials, z * z
    middle = (p + z2 / (2 * n_trials)) / (1 + z2 / n_trials)
    half = z * sqrt(p * (1 - p) / n_trials + z2 / (4 * n_trials**2)) / (1 + z2 / n_trials)
    return max(0.0, middle - half), min(1.0, middle + half)


class TwiceMedian(NamedTuple):
    """Median over all trials, mean of those that took at most twice as long, and the number of the others."""

    median: float
    mean: float
    others: int


@dataclass(frozen=True)
class EpochStatistics:
    """Epochs to converge. times : (n_successes,), of the trials that did; n_trials counts the others too."""

    times: np.ndarray
    n_trials: int

    @property
    def mean(self) -> float:
        """Over the successes."""
        return float(self.times.mean()) if self.times.size else float("nan")

    @property
    def sd(self) -> float:
        """Standard deviation over the successes, with n - 1."""
        return float(self.times.std(ddof=1)) if self.times.size > 1 else float("nan")

    @property
    def median(self) -> float:
        """Over the successes."""
        return float(np.median(self.times)) if self.times.size else float("nan")

    def quantiles(self, shares=(0.05, 0.25, 0.5, 0.75, 0.95)) -> np.ndarray:
        """Over the successes."""
        return np.quantile(self.times, shares) if self.times.size else np.full(len(shares), np.nan)

    @property
    def harmonic_mean(self) -> float:
        """Number of trials over the sum of rates 1 / epochs, to which a failure adds nothing."""
        rates = np.sum(1.0 / np.maximum(self.times, 1.0)) if self.times.size else 0.0
        return self.n_trials / float(rates) if rates else float("inf")

    @property
    def twice_median(self) -> TwiceMedian:
        """Failures count as infinitely long."""
        all_times = np.concatenate([self.times, np.full(self.n_trials - len(self.times), np.inf)])
        median = float(np.median(all_times)) if self.n_trials else float("nan")
        near = all_times[all_times <= 2 * median] if np.isfinite(median) else all_times[:0]
        return TwiceMedian(median, float(near.mean()) if near.size else float("nan"), self.n_trials - len(near))

    def expected_under_restart(self, limit: float) -> float:
        """Mean epochs until success when each trial is cut after `limit` epochs and begun anew, lost epochs counted."""
        short = self.times[self.times <= limit]
        if not short.size:
            return float("inf")
        return float((short.sum() + (self.n_trials - len(short)) * limit) / len(short))

    @property
    def best_restart(self) -> tuple[int, float]:
        """(limit, expected epochs): the limit that makes expected_under_restart smallest."""
        if not self.times.size:
            return 0, float("inf")
        limits, counts = np.unique(self.times, return_counts=True)
        sums, counts = np.cumsum(limits * counts), np.cumsum(counts)
        expected = (sums + (self.n_trials - counts) * limits) / counts
        best = int(expected.argmin())
        return int(limits[best]), float(expected[best])

    def histogram(self, bins: Any = "auto") -> tuple[np.ndarray, np.ndarray]:
        """(counts, edges) over the successes, as numpy.histogram gives them."""
        return np.histogram(self.times, bins=bins)
