"""Time that the fit of an estimator may take, with all its nets."""

from __future__ import annotations

from ..console.stopwatch import Stopwatch

TRIAL_SHARE = 0.05  # of the limit that the trial of bins may take


class Budget:
    """The seconds that a fit may take, with the time in which kernels compile.

    seconds : limit, counted from now; infinity for none
    completes_epoch : whether a fit whose time is over in its first epoch trains it to its end
    """

    def __init__(self, seconds: float = float("inf"), completes_epoch: bool = False):
        self.seconds, self.completes_epoch, self._watch = seconds, completes_epoch, Stopwatch()

    def elapsed(self) -> float:
        return self._watch.read()[0]

    def compiled(self) -> float:
        """Return how long the thread that has made the budget has waited for kernels since then."""
        return self._watch.read()[1]

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
