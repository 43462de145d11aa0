"""Time that a fit may take, and the callback that keeps the fit of one net within it."""

from __future__ import annotations

from typing import Any

from ..console.stopwatch import Stopwatch

CHECK_FRACTION = 0.01  # of the limit: largest time between two looks at the clock, if epochs are shorter


class Budget:
    """The seconds that a fit may take. Time in which kernels compile does not count.

    seconds : limit, counted from now; infinity for none
    """

    def __init__(self, seconds: float = float("inf")):
        self.seconds, self._watch = seconds, Stopwatch()

    def elapsed(self) -> float:
        seconds, compile_seconds = self._watch.read()
        return seconds - compile_seconds

    def left(self) -> float:
        return max(0.0, self.seconds - self.elapsed())

    def part(self, n_fits: int) -> Budget:
        """Return the budget of the next of n_fits fits, all with the same."""
        return Budget(self.left() / n_fits)

    @property
    def is_limited(self) -> bool:
        return self.seconds < float("inf")


class StopInTime:
    """Callback that ends the fit of one net where another epoch would end after the limit."""

    def __init__(self, budget: Budget):
        self._budget, self._started, self._seconds_per_epoch = budget, budget.elapsed(), 0.0

    def epochs_ahead(self) -> int:
        if not self._seconds_per_epoch:
            return 1
        return max(1, int(CHECK_FRACTION * self._budget.seconds / self._seconds_per_epoch))

    def __call__(self, epoch: int, history: Any) -> bool:
        self._seconds_per_epoch = max((self._budget.elapsed() - self._started) / (epoch + 1), 1e-9)
        return self._budget.left() < 0.5 * self._seconds_per_epoch * self.epochs_ahead()
