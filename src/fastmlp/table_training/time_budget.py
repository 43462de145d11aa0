"""Time that the fit of an estimator may take, with all its nets."""

from __future__ import annotations

from threading import local
from time import perf_counter

from ..console.stopwatch import Stopwatch

TRIAL_SHARE = 0.05  # of the limit that the trial of bins may take


class Budget:
    """The seconds that a fit may take. Time in which kernels compile does not count.

    seconds : limit, counted from now; infinity for none
    completes_epoch : whether a fit whose time is over in its first epoch trains it to its end
    """

    def __init__(self, seconds: float = float("inf"), completes_epoch: bool = False):
        self.seconds, self.completes_epoch, self._watch = seconds, completes_epoch, Stopwatch()

    def elapsed(self) -> float:
        seconds, compile_seconds = self._watch.read()
        return seconds - compile_seconds

    def left(self) -> float:
        return max(0.0, self.seconds - self.elapsed())

    def part(self, n_fits: int) -> Budget:
        """Return the budget of the next of n_fits fits, all with the same."""
        return Budget(self.left() / n_fits, self.completes_epoch)

    @property
    def trial_seconds(self) -> float:
        """Seconds that the trial of the bins of a table may take."""
        return TRIAL_SHARE * self.seconds

    @property
    def is_limited(self) -> bool:
        return self.seconds < float("inf")


class FitBudgets:
    """Budgets of several fits, which share the time that is left.

    budget : time that is left for all of them
    n_fits : number of fits
    n_at_once : number of fits at the same time, each on a thread of its own
    """

    def __init__(self, budget: Budget, n_fits: int, n_at_once: int = 1):
        self._seconds, self._completes_epoch, self._began = budget.left(), budget.completes_epoch, perf_counter()
        self._n_turns, self._n_at_once = -(-n_fits // n_at_once), n_at_once
        # `budget`, of the fits of a thread: each thread knows only how long it has waited for kernels itself
        self._here = local()

    def of_fit(self, k: int) -> Budget:
        """Return the budget of fit k, which this thread begins now: an equal part of the time that its thread has."""
        if not hasattr(self._here, "budget"):
            self._here.budget = Budget(self._seconds - (perf_counter() - self._began), self._completes_epoch)
        found: Budget = self._here.budget.part(self._n_turns - k // self._n_at_once)
        return found
