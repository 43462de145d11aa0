"""How much a fit asks of the next call into a kernel: how many steps, and on how many threads.

A call cannot be interrupted and shows no progress, so it should be short; and two threads that meet twice in each step
are slower than one as soon as another program wants a processor. Parameters do not depend on the number of threads, so
it may follow what is measured.
"""

from __future__ import annotations

SHORT_CALL, LONG_CALL = 0.04, 0.15  # seconds a call should take ...
AROUND, AROUND_SHARE = 4e-10, 0.05  # ... or more, so that what is done around it, seconds a parameter, is a small share
FIRST_CALL = 4e7  # multiply-adds of the first one: a millisecond, of which waking a thread takes a third
STEP = 4_000  # multiply-adds that a step's work besides its products takes the time of, 0.1 us
SLOWLY, QUICKLY = 2, 4  # how much longer the next call is than one that was shorter than it should be, or much shorter
BELIEVED = 0.004  # seconds from which a call's time says something
TRIAL_AFTER = (1.0, 0.25)  # seconds of training, on all threads and on one, after which the other is tried ...
TRIAL_STEPS = 40  # ... and steps, since a trial costs one at least
# In short steps meetings matter most: two processors that are one core to their host make them slower than one thread.
SHORT_STEP, FIRST_TRIAL = 5e-4, 0.02  # seconds up to which a step is short, and of training after which one is tried
# After a trial that was in vain one waits twice as long as before it, up to so many times as long, unless steps have
# become so much slower since.
MOST_PATIENCE, SLOWER = 16, 1.25
WORTH = (0.8, 0.95)  # share of the present time per step that the other must stay below


class CallAutotuner:
    """`n_threads, n_steps = pace.next()`, then `pace.record(n_threads, n_steps, seconds)`. What fits that are alike
    have told, the next one need not find out again.

    >>> pace = CallAutotuner(n_threads=2, products_per_step=1e6)
    >>> pace.next()
    (2, 39)
    """

    def __init__(self, n_threads: int, products_per_step: float, n_params: int = 0):
        self._choices = (n_threads, 1)
        self._on_one = 0  # index of the present choice
        self._steps = max(1, int(FIRST_CALL / (products_per_step + STEP)))
        around = n_params * AROUND / AROUND_SHARE
        self._short, self._long = max(SHORT_CALL, around), max(LONG_CALL, 2 * around)
        self._seconds_per_step = 0.0  # of the present choice, once it is known
        self._since_trial = 0.0
        self._patience, self._at_trial = 1, 0.0  # seconds per step when the last trial was in vain
        self._is_first = self._is_untried = True

    def next(self) -> tuple[int, int]:
        wait = TRIAL_AFTER[self._on_one]
        if self._is_untried and self._seconds_per_step < SHORT_STEP:
            wait = FIRST_TRIAL
        elif self._seconds_per_step < SLOWER * self._at_trial:
            wait *= self._patience
        due = self._seconds_per_step > 0.0 and self._since_trial >= max(wait, TRIAL_STEPS * self._seconds_per_step)
        if due and self._choices[0] > 1:
            return self._choices[1 - self._on_one], max(1, int(1.5 * BELIEVED / self._seconds_per_step))
        return self._choices[self._on_one], self._steps

    def record(self, n_threads: int, n_steps: int, seconds: float) -> None:
        if self._is_first:  # it may have compiled
            self._is_first = False
            return
        per_step = seconds / n_steps
        if n_threads != self._choices[self._on_one]:
            self._since_trial, self._is_untried = 0.0, False
            if per_step < WORTH[self._on_one] * self._seconds_per_step:
                self._on_one, self._seconds_per_step = 1 - self._on_one, per_step
                self._patience, self._at_trial = 1, 0.0
            else:
                self._patience, self._at_trial = min(2 * self._patience, MOST_PATIENCE), self._seconds_per_step
            return
        self._since_trial += seconds
        if seconds > BELIEVED:
            self._seconds_per_step = per_step
        if seconds < self._short and n_steps >= self._steps:  # and not a shorter one than was asked for
            self._steps *= QUICKLY if seconds < self._short / QUICKLY / 2 else SLOWLY
        elif seconds > self._long:
            self._steps = max(1, min(n_steps, self._steps) // 2)
