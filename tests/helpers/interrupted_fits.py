"""Fits of populations that Ctrl-C ends before all nets have begun."""

import fastmlp.console.progress_bar
import fastmlp.population_training.fit


def interrupt_populations(monkeypatch):
    """Raise KeyboardInterrupt at the first progress update of each fit of a population, after one epoch."""

    def show(self, done, loss):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(fastmlp.population_training.fit, "FIRST_CALL", 1)
