"""Time that the fit of an estimator may take, with all its nets."""

from __future__ import annotations

from ..console.stopwatch import Stopwatch


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
