"""Fits that Ctrl-C ends: of populations before all nets have begun, of rows on disk, in functions that they call."""

import signal
from contextlib import contextmanager

import fastmlp.console.progress_bar
import fastmlp.population_training.kernel_calls
from fastmlp.training import fit_loop_on_blocks


def interrupt_populations(monkeypatch):
    """Raise KeyboardInterrupt at the first progress update of each fit of a population, after one epoch."""

    def show(self, done, loss, find_best=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(fastmlp.population_training.kernel_calls, "FIRST_CALL", 1)


def with_sigint(function, n=1):
    """Return a function that does what the given one does, after SIGINT at its n-th call."""
    calls = []

    def called(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == n:
            signal.raise_signal(signal.SIGINT)
        return function(*arguments, **settings)

    return called


@contextmanager
def interrupted_stream(n_calls, method, monkeypatch):
    """Raise KeyboardInterrupt in place of call number n_calls of a method of StreamedFit."""
    original, calls = getattr(fit_loop_on_blocks.StreamedFit, method), []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == n_calls:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(fit_loop_on_blocks.StreamedFit, method, interrupted)
        yield
