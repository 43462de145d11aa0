"""The schedules and their formulas: objects that return the factor on the learning rate for each step of a fit.

The factors of a schedule may also be those of the dropout rates or of the weight decay.

In the formulas below, t is the step number and n the number of steps of the fit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import checked_count, checked_number
from .checked_schedule import SCHEDULES, Schedule, schedule_factors


@dataclass(frozen=True)
class Step(Schedule):
    """Step decay: the learning rate is multiplied by `factor` after each `share` of the steps.

    Parameters
    ----------
    factor : float, default 0.1
        Factor on the learning rate, above 0.
    share : float, default 0.33
        Share of the fit's steps after which the factor is applied, in (0, 1].

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    factor(t) = factor ** floor(t / (share * n)) at step t of n.

    Examples
    --------
    >>> Step(0.1, share=0.5).factors(np.array([0, 50, 99]), 100)
    array([1. , 0.1, 0.1])
    """

    factor: float = 0.1
    share: float = 0.33

    def __post_init__(self):
        checked_number("factor", self.factor, 0.0, open_low=True)
        checked_number("share", self.share, 0.0, 1.0, open_low=True)

    def factors(self, steps, n_steps):
        return self.factor ** np.floor(steps / (self.share * n_steps) + 1e-9)  # rounding of share * n_steps


@dataclass(frozen=True)
class Exponential(Schedule):
    """Exponential decay from 1 at the first step to `end` at the last.

    Parameters
    ----------
    end : float, default 0.01
        Factor at the last step, above 0.

    Raises
    ------
    ValueError
        If end is not above 0.

    Notes
    -----
    factor(t) = end ** (t / (n - 1)) at step t of n; 1 for a single step.

    Examples
    --------
    >>> Exponential(0.01).factors(np.arange(3), 3)
    array([1.  , 0.1 , 0.01])
    """

    end: float = 0.01

    def __post_init__(self):
        checked_number("end", self.end, 0.0, open_low=True)

    def factors(self, steps, n_steps):
        return self.end ** (steps / max(n_steps - 1, 1))


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """Inverse scaling, as "invscaling" of scikit-learn: a power of the step's number.

    Parameters
    ----------
    power : float, default 0.5
        Exponent, at least 0.

    Raises
    ------
    ValueError
        If power is below 0.

    Notes
    -----
    factor(t) = 1 / (t + 1) ** power at step t: from 1 down to 1 / n ** power.

    Examples
    --------
    >>> InverseScaling(1.0).factors(np.array([0, 1, 3]), 4)
    array([1.  , 0.5 , 0.25])
    """

    power: float = 0.5

    def __post_init__(self):
        checked_number("power", self.power, 0.0)

    def factors(self, steps, n_steps):
        return 1.0 / (steps + 1.0) ** self.power


@dataclass(frozen=True)
class Cosine(Schedule):
    """Cosine annealing from 1 to `end`, without warm restarts.

    Parameters
    ----------
    end : float, default 0.0
        Factor that step n, one after the last, would have; at least 0.

    Raises
    ------
    ValueError
        If end is below 0.

    Notes
    -----
    factor(t) = end + (1 - end) * (1 + cos(pi * t / n)) / 2 at step t of n. As in PyTorch's CosineAnnealingLR with
    T_max=n, the factor would reach `end` at step n, one after the last, so that every step changes the parameters even
    with end=0.

    References
    ----------
    Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.

    Examples
    --------
    >>> Cosine().factors(np.array([0, 1, 2]), 2).round(6)
    array([1. , 0.5, 0. ])
    """

    end: float = 0.0

    def __post_init__(self):
        checked_number("end", self.end, 0.0)

    def factors(self, steps, n_steps):
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(np.pi * steps / n_steps))


@dataclass(frozen=True)
class Warmup(Schedule):
    """Linear warm-up over the first steps, followed by another schedule.

    Parameters
    ----------
    steps : int, default 100
        Number of steps of the warm-up.
    then : str, object or callable, default "constant"
        Schedule of the remaining steps: a name, an object or a function.

    Raises
    ------
    ValueError
        If steps is below 1, or `then` is no schedule.

    Notes
    -----
    factor(t) = (t + 1) / steps at step t < steps; from then on the factor of `then` at step t - steps of n - steps. A
    fit of at most `steps` steps consists of the warm-up only.

    Examples
    --------
    >>> Warmup(4).factors(np.arange(5), 10)
    array([0.25, 0.5 , 0.75, 1.  , 1.  ])
    """

    steps: int = 100
    then: Any = "constant"

    def __post_init__(self):
        checked_count("steps", self.steps)
        schedule_factors(self.then)

    def factors(self, steps, n_steps):
        factors_of_then = schedule_factors(self.then)(np.maximum(steps - self.steps, 0), max(n_steps - self.steps, 1))
        return np.where(steps < self.steps, (steps + 1.0) / self.steps, factors_of_then)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One-cycle schedule: a cosine from `start` up to 1, then a cosine down to `end`.

    Parameters
    ----------
    start : float, default 0.04
        Factor at the first step, at least 0.
    share : float, default 0.3
        Share of the fit's steps in which the factor rises, in (0, 1).
    end : float, default 4e-6
        Factor at the last step, at least 0.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    The factor at step t of n, with the peak at step p, the last of the first `share` of the steps::

        t < p:   start + (1 - start) * (1 - cos(pi * t / p)) / 2
        t >= p:  end + (1 - end) * (1 + cos(pi * (t - p) / (n - 1 - p))) / 2

    The optimiser's learning_rate is the peak's. It is PyTorch's OneCycleLR, but with the peak at a whole step. A fit of
    two steps starts at the peak; the only step of a fit of one step is the peak.

    References
    ----------
    Smith and Topin 2019, "Super-convergence: very fast training of neural networks using large learning rates",
    arXiv:1708.07120.

    Examples
    --------
    >>> OneCycle().factors(np.array([0, 2, 9]), 10).round(6)
    array([4.e-02, 1.e+00, 4.e-06])
    """

    start: float = 0.04
    share: float = 0.3
    end: float = 4e-6

    def __post_init__(self):
        checked_number("start", self.start, 0.0)
        checked_number("share", self.share, 0.0, 1.0, open_low=True, open_high=True)
        checked_number("end", self.end, 0.0)

    def factors(self, steps, n_steps):
        last_step = n_steps - 1
        peak = min(max(round(self.share * n_steps) - 1, 1), last_step - 1) if last_step > 1 else 0
        up, down = np.minimum(steps / max(peak, 1), 1.0), np.clip((steps - peak) / max(last_step - peak, 1), 0.0, 1.0)
        rising = self.start + (1.0 - self.start) * 0.5 * (1.0 - np.cos(np.pi * up))
        falling = self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(np.pi * down))
        return np.where(steps < peak, rising, falling)


@dataclass(frozen=True)
class FlatCosine(Schedule):
    """Constant for a share of the steps, then cosine annealing to `end`.

    Parameters
    ----------
    share : float, default 0.5
        Share of the fit's steps in which the factor is 1, in [0, 1).
    end : float, default 0.0
        Factor that step n, one after the last, would have; at least 0.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Notes
    -----
    factor(t) = end + (1 - end) * (1 + cos(pi * max(t / n - share, 0) / (1 - share))) / 2 at step t of n. With the
    defaults it is the schedule of RealMLP's dropout and weight decay.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart 2024, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", arXiv:2407.04491.

    Examples
    --------
    >>> FlatCosine().factors(np.array([0, 2, 3, 4]), 4).round(6)
    array([1. , 1. , 0.5, 0. ])
    """

    share: float = 0.5
    end: float = 0.0

    def __post_init__(self):
        checked_number("share", self.share, 0.0, 1.0, open_high=True)
        checked_number("end", self.end, 0.0)

    def factors(self, steps, n_steps):
        down = np.maximum(steps / n_steps - self.share, 0.0) / (1.0 - self.share)
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(np.pi * down))


# The name of a schedule is that of its class: "one_cycle" of OneCycle.
SCHEDULES |= {re.sub(r"\B(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in Schedule.__subclasses__()}
