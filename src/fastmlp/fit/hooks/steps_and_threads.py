"""Hook that tunes the kernel calls of a net: the number of steps per call and the number of threads, by measurement.

A call cannot be interrupted and shows no progress, so it should be short. Threads wait for each other at two barriers
in each step, so that two threads are slower than one as soon as another program needs a processor. Since the parameters
do not depend on the number of threads, it can be changed during a fit.
"""

from __future__ import annotations

from .. import one_net
from ..one_net import OneNet
from .hook import Fit, Hook

SHORT_CALL, LONG_CALL = 0.04, 0.15  # seconds that a call should take, from and to ...
# ... or longer, so that the work around a call (seconds per parameter, for copies and checks) is at most this fraction.
CALL_OVERHEAD, OVERHEAD_FRACTION = 4e-10, 0.05
GROWTH, FAST_GROWTH = 2, 4  # factors on the steps per call after a call that was too short, and much too short
RELIABLE_SECONDS = 0.004  # seconds from which the time of a call is reliable
TRIAL_AFTER = (1.0, 0.25)  # seconds of training on all threads, or on one, after which the other number is tried ...
TRIAL_STEPS = 40  # ... and at least so many steps, since a trial costs at least one
# Short steps depend most on barriers: two virtual processors on one physical core are slower than one thread. So the
# first trial comes early where steps are short.
SHORT_STEP, FIRST_TRIAL = 5e-4, 0.02  # seconds up to which a step is short; seconds of training before the first trial
# After a trial without success, the time to the next one doubles, up to MAX_PATIENCE times, unless steps have become
# SLOWER times as long since.
MAX_PATIENCE, SLOWER = 16, 1.25
# A trial of one thread, or of all threads, succeeds below this ratio of its time per step to the present one.
SUCCESS_RATIO = (0.8, 0.95)


class CallAutotuner:
    """Auto-tuner of the kernel calls of a fit: number of threads (all or one) and of steps.

    Use `n_threads, n_steps = autotuner.next()`, call the kernel, then `autotuner.record(n_threads, n_steps, seconds)`.
    The tuner stays with the buffers, so that the next fit of the same shapes starts with its result.

    n_threads : int     number of threads of the plan
    step_work : float     time of a step, in multiply-adds
    n_params : int     number of parameters, for the time of the work around a call

    >>> autotuner = CallAutotuner(n_threads=2, step_work=1e6)
    >>> autotuner.next()
    (2, 40)
    """

    def __init__(self, n_threads: int, step_work: float, n_params: int = 0):
        self._choices = (n_threads, 1)
        self._choice = 0  # index into _choices: 0 for all threads, 1 for one
        self._steps = max(1, int(one_net.FIRST_CALL / step_work))
        overhead = n_params * CALL_OVERHEAD / OVERHEAD_FRACTION
        self._short, self._long = max(SHORT_CALL, overhead), max(LONG_CALL, 2 * overhead)
        self._seconds_per_step = 0.0  # of the present choice; 0 until measured
        self._since_trial = 0.0
        self._patience = 1
        self._failed_seconds = 0.0  # seconds per step at the last trial without success
        self._is_first = self._is_untried = True

    def next(self) -> tuple[int, int]:
        wait_seconds = TRIAL_AFTER[self._choice]
        if self._is_untried and self._seconds_per_step < SHORT_STEP:
            wait_seconds = FIRST_TRIAL
        elif self._seconds_per_step < SLOWER * self._failed_seconds:
            wait_seconds *= self._patience
        is_due = self._seconds_per_step > 0.0 and self._since_trial >= max(
            wait_seconds, TRIAL_STEPS * self._seconds_per_step
        )
        if is_due and self._choices[0] > 1:
            return self._choices[1 - self._choice], max(1, int(1.5 * RELIABLE_SECONDS / self._seconds_per_step))
        return self._choices[self._choice], self._steps

    def record(self, n_threads: int, n_steps: int, seconds: float) -> None:
        if self._is_first:  # the first call may include compiling
            self._is_first = False
            return
        per_step = seconds / n_steps
        if n_threads != self._choices[self._choice]:
            self._since_trial, self._is_untried = 0.0, False
            if per_step < SUCCESS_RATIO[self._choice] * self._seconds_per_step:
                self._choice, self._seconds_per_step = 1 - self._choice, per_step
                self._patience, self._failed_seconds = 1, 0.0
            else:
                self._patience, self._failed_seconds = min(2 * self._patience, MAX_PATIENCE), self._seconds_per_step
            return
        self._since_trial += seconds
        if seconds > RELIABLE_SECONDS:
            self._seconds_per_step = per_step
        if seconds < self._short and n_steps >= self._steps:  # only if the call was not cut shorter
            self._steps *= FAST_GROWTH if seconds < self._short / FAST_GROWTH / 2 else GROWTH
        elif seconds > self._long:
            self._steps = max(1, min(n_steps, self._steps) // 2)


class TunedCalls(Hook):
    """Calls of a net as its tuner says, which stays with the buffers of the net's plan."""

    def __init__(self, fit: Fit):
        self._net: OneNet = fit.engine

    def limit(self, n: int) -> int:
        net = self._net
        self._tuner = net.plan.get_or_make("autotuner", self._make)
        net.n_threads, wanted = self._tuner.next()
        return min(n, wanted)

    def _make(self) -> CallAutotuner:
        net = self._net
        return CallAutotuner(net.plan.choice.n_threads, net.step_work, net.train_state.params.size)

    def after(self) -> str:
        self._tuner.record(*self._net.last_call)
        return ""
