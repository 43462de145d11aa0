"""Schedules as fits use them: their base class, and functions (steps, n_steps) -> factors that are checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import accepts_n_arguments, counted, unknown_name


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


SCHEDULES: dict[str, type[Schedule]] = {}  # by name; formulas.py fills it


def schedule_factors(schedule: Any) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a schedule, given as a name, an object or a function, as a function (steps, n_steps) -> factors.

    None stands for a constant learning rate.

    Raises
    ------
    ValueError
        For an unknown name, a class in place of its object, or a function that does not take two arguments.
    """
    if schedule is None:
        schedule = "constant"
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise unknown_name("schedule", schedule, SCHEDULES)
        schedule = SCHEDULES[schedule]()
    if isinstance(schedule, type) and hasattr(schedule, "factors"):
        raise ValueError(
            f"A schedule must be a name, an object or a function, but it is the class {schedule.__name__}. Pass "
            f"{schedule.__name__}()."
        )
    if hasattr(schedule, "factors"):
        return schedule.factors
    if callable(schedule):
        if not accepts_n_arguments(schedule, 2):
            raise ValueError(
                "A schedule is called as schedule(steps, n_steps), with step numbers in an array and the steps of the "
                f"whole fit, but {schedule!r} does not take two arguments. Write, for example, "
                "lambda steps, n_steps: 0.5 ** (steps / n_steps)."
            )
        return schedule
    raise unknown_name("schedule", schedule, SCHEDULES)


def factors_at(function: Callable[[np.ndarray, int], Any], first: int, n: int, n_steps: int) -> np.ndarray:
    """Return the factors of a schedule for n steps, float64 (n,), and check them.

    function : the schedule as a function (steps, n_steps) -> factors (n,) or one factor for all steps
    first : int     number of the first step, counted from 0
    n : int     number of factors to return
    n_steps : int     number of steps of the whole fit

    Raises
    ------
    ValueError
        If the function returns a factor that is not finite or below 0, or neither one factor nor n.
    """
    if is_constant(function):
        return np.ones(n)
    returned = function(np.arange(first, first + n), n_steps)
    try:
        factors = np.broadcast_to(np.asarray(returned, np.float64), n)
    except (ValueError, TypeError):
        factors = np.array([np.nan])
    if not (np.isfinite(factors).all() and (factors >= 0.0).all()):
        raise ValueError(
            f"A schedule must give a finite factor of at least 0 for each of {counted(n, 'step')}, but it gave "
            f"{returned!r}."
        )
    return factors.copy()


def is_constant(function: Callable[[np.ndarray, int], Any]) -> bool:
    """Return whether a function from schedule_factors is that of a Constant."""
    return isinstance(getattr(function, "__self__", None), Constant)


def varying_factors(schedule: Any) -> Callable[[np.ndarray, int], np.ndarray] | None:
    """Return a schedule as a function, as schedule_factors does; None if it is constant."""
    if schedule is None:
        return None
    function = schedule_factors(schedule)
    return None if is_constant(function) else function


def schedule_text(schedule: Any) -> str:
    """Return a schedule in words, for the description of a fit: its name, or its repr."""
    return schedule if isinstance(schedule, str) else getattr(schedule, "__name__", repr(schedule))
