"""Schedules as fits use them: functions (steps, n_steps) -> factors, whose factors are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import counted
from . import schedule_factors
from .base import Constant


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
