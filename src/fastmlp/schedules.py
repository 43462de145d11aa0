"""Learning-rate schedules: objects that give the factor on the learning rate at each step of a fit.

`schedule.factors(steps, n_steps)` takes step numbers (n,), from 0, and the number of steps of the whole fit, and
returns (n,) factors. Anything with that method, or a function of the two, is a schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import checked_count, checked_number, counted, takes, unknown_name


@dataclass(frozen=True)
class Constant:
    """1 throughout."""

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return np.ones(len(steps))


@dataclass(frozen=True)
class Step:
    """Multiplied by `factor` after every `share` of the fit: factor ** floor(t / (share n)).

    >>> Step(0.1, share=0.5).factors(np.array([0, 50, 99]), 100)
    array([1. , 0.1, 0.1])
    """

    factor: float = 0.1
    share: float = 0.33

    def __post_init__(self):
        checked_number("factor", self.factor, 0.0, open_low=True)
        checked_number("share", self.share, 0.0, 1.0, open_low=True)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return self.factor ** np.floor(steps / (self.share * n_steps) + 1e-9)  # share * n_steps is rounded


@dataclass(frozen=True)
class Exponential:
    """Falls geometrically from 1 at the first step to `end` at the last: end ** (t / (n - 1)); 1 for a single step."""

    end: float = 0.01

    def __post_init__(self):
        checked_number("end", self.end, 0.0, open_low=True)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return self.end ** (steps / max(n_steps - 1, 1))


@dataclass(frozen=True)
class InverseScaling:
    """1 / (t + 1) ** power, as scikit-learn's "invscaling": 1 at the first step, 1 / n ** power at the last."""

    power: float = 0.5

    def __post_init__(self):
        checked_number("power", self.power, 0.0)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return 1.0 / (steps + 1.0) ** self.power


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to `end`, end + (1 - end) (1 + cos(pi t / n)) / 2 (Loshchilov and Hutter 2017, no restarts).

    `end` itself belongs to step n, the one after the last, as in PyTorch's CosineAnnealingLR with T_max=n: with end=0
    every step still moves the parameters.
    """

    end: float = 0.0

    def __post_init__(self):
        checked_number("end", self.end, 0.0)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        return self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(np.pi * steps / n_steps))


@dataclass(frozen=True)
class Warmup:
    """Rises linearly over the first `steps` steps, from 1 / steps to 1, then follows `then` over the rest.

    A fit of no more than `steps` steps ends within the rise.

    >>> Warmup(4).factors(np.arange(5), 10)
    array([0.25, 0.5 , 0.75, 1.  , 1.  ])
    """

    steps: int = 100
    then: Any = "constant"

    def __post_init__(self):
        checked_count("steps", self.steps)
        schedule_factors(self.then)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        after = schedule_factors(self.then)(np.maximum(steps - self.steps, 0), max(n_steps - self.steps, 1))
        return np.where(steps < self.steps, (steps + 1.0) / self.steps, after)


@dataclass(frozen=True)
class OneCycle:
    """Cosine from `start` up to 1 over the first `share` of the steps, the last of which is the peak, then cosine down
    to `end` at the last step of the fit (Smith and Topin 2019; PyTorch's OneCycleLR, its peak at a whole step).

    The optimiser's learning_rate is the peak. A fit of two steps begins at the peak; a fit of one step is the peak.
    """

    start: float = 0.04
    share: float = 0.3
    end: float = 4e-6

    def __post_init__(self):
        checked_number("start", self.start, 0.0)
        checked_number("share", self.share, 0.0, 1.0, open_low=True, open_high=True)
        checked_number("end", self.end, 0.0)

    def factors(self, steps: np.ndarray, n_steps: int) -> np.ndarray:
        last = n_steps - 1
        peak = min(max(round(self.share * n_steps) - 1, 1), last - 1) if last > 1 else 0
        up, down = np.minimum(steps / max(peak, 1), 1.0), np.clip((steps - peak) / max(last - peak, 1), 0.0, 1.0)
        rising = self.start + (1.0 - self.start) * 0.5 * (1.0 - np.cos(np.pi * up))
        falling = self.end + (1.0 - self.end) * 0.5 * (1.0 + np.cos(np.pi * down))
        return np.where(steps < peak, rising, falling)


SCHEDULES = {
    "constant": Constant, "step": Step, "exponential": Exponential, "inverse_scaling": InverseScaling,
    "cosine": Cosine, "warmup": Warmup, "one_cycle": OneCycle,
}  # fmt: skip


def factors_at(function: Callable[[np.ndarray, int], Any], first: int, n: int, n_steps: int) -> np.ndarray:
    """What a schedule's function gives for n steps from `first` on, float64 (n,); one number counts for all of them.

    Raises
    ------
    ValueError
        If it gives anything but finite numbers of at least 0, one or as many as steps.
    """
    if is_constant(function):
        return np.ones(n)
    given = function(np.arange(first, first + n), n_steps)
    try:
        factors = np.broadcast_to(np.asarray(given, np.float64), n)
    except (ValueError, TypeError):
        factors = np.array([np.nan])
    if not (np.isfinite(factors).all() and (factors >= 0.0).all()):
        raise ValueError(
            f"A schedule must give a finite factor of at least 0 for each of {counted(n, 'step')}, but it gave "
            f"{given!r}."
        )
    return factors.copy()


def is_constant(function: Callable[[np.ndarray, int], Any]) -> bool:
    """Whether this is what schedule_factors gives for no schedule."""
    return isinstance(getattr(function, "__self__", None), Constant)


def schedule_factors(schedule: Any) -> Callable[[np.ndarray, int], np.ndarray]:
    """The function (steps, n_steps) -> factors of a name, an object or a function; None is constant.

    Raises
    ------
    ValueError
        For an unknown name, or a function that does not take two arguments.
    """
    if schedule is None:
        schedule = "constant"
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise unknown_name("schedule", schedule, SCHEDULES)
        schedule = SCHEDULES[schedule]()
    if hasattr(schedule, "factors"):
        return schedule.factors
    if callable(schedule):
        if not takes(schedule, 2):
            raise ValueError(
                "A schedule is called as schedule(steps, n_steps), with step numbers in an array and the steps of the "
                f"whole fit, but {schedule!r} does not take two arguments. Write, for example, "
                "lambda steps, n_steps: 0.5 ** (steps / n_steps)."
            )
        return schedule
    raise unknown_name("schedule", schedule, SCHEDULES)
