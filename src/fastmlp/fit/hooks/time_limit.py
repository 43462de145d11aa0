"""Hook that ends a fit when its time is over: how much time is left, and how many steps a kernel call may have in it.

A kernel call cannot be interrupted, so its size follows from the time left and from the speed of the call before. The
limit is one of the clock on the wall, with the time in which kernels compile; but a first epoch is trained even if
compiling has taken all of it, so that a fit is never without effect because its kernels are new.
"""

from __future__ import annotations

from ...kernels.jit.compile_time import Stopwatch
from .hook import Fit, Hook

# A kernel call takes up to this fraction of the limit, or one step. An epoch that takes less is short: once begun, it
# is trained to its end. A call that the limit cuts into, and one that is replayed to return to the best epoch, are
# together less than 5 % of the limit.
CALL_FRACTION = 0.02


class TimeLimit:
    """The seconds that a fit may take, with the time in which kernels compile.

    seconds : float     limit, from the beginning of the fit
    watch : Stopwatch     started by this thread when the fit began; by default one that starts now

    has_epoch : whether an epoch is done; before that, time in which kernels compile does not count
    """

    def __init__(self, seconds: float, watch: Stopwatch | None = None):
        self.seconds, self._watch = seconds, watch or Stopwatch()
        self.reserved = 0.0  # seconds that must be left when training ends, such as for a validation
        self.has_epoch = False

    def rest(self) -> TimeLimit:
        """Return the limit of what is trained elsewhere from now on."""
        return TimeLimit(self.left())

    def elapsed(self) -> float:
        """Return the seconds since the beginning of the fit."""
        return self._watch.read()[0]

    def trained(self) -> float:
        """Return the seconds since the beginning of the fit, without compiling."""
        seconds, compile_seconds = self._watch.read()
        return seconds - compile_seconds

    def left(self) -> float:
        """Return the seconds that training may still take."""
        return self.seconds - (self.elapsed() if self.has_epoch else self.trained()) - self.reserved


class EndInTime(Hook):
    """End of a fit with a time limit, and the sizes of its kernel calls. What follows the last step of an epoch, such
    as a validation, is measured: its time is reserved for the end of the next epoch.
    """

    def __init__(self, fit: Fit):
        self._engine = fit.engine
        self._limit: TimeLimit = fit.engine.task.time_limit
        self._n_batches: int = fit.engine.n_batches
        self._seconds_per_step = 0.0  # 0 until measured, in a first call of one step
        self._started, self._n_steps = 0.0, 0
        self._ended = 0.0  # when a call had ended an epoch

    def limit(self, n: int) -> int:
        """Return the number of steps that the next call may have. If epochs are short, it ends with an epoch."""
        if self._ended:
            self._limit.reserved, self._ended = self._limit.trained() - self._ended, 0.0
        left, per_step = self._limit.left(), self._seconds_per_step
        self._started = self._limit.trained()
        if not per_step:
            return min(n, 1 if left > 0.0 else 0)
        longest = CALL_FRACTION * self._limit.seconds
        most = int(max(0.0, min(left, max(longest, per_step))) / per_step)
        if self._n_batches * per_step <= longest:
            begun = self._engine.steps_in_epoch % self._n_batches
            whole = (begun + most) // self._n_batches * self._n_batches - begun  # up to the end of an epoch
            most = max(whole, self._n_batches - begun if begun else 0)  # an epoch that has begun is trained to its end
        return min(n, most)

    def after(self) -> str:
        n_steps = self._engine.last_call[1]
        self._seconds_per_step = max(self._limit.trained() - self._started, 1e-9) / n_steps
        self._n_steps += n_steps
        self._limit.has_epoch |= self._n_steps >= self._n_batches
        if self._engine.at_epoch_end:
            self._ended = self._limit.trained()
        return ""
