"""Ctrl-C during a fit: `fit` returns early and records the interruption, of which its caller is warned.

Callers that need complete fits check here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import counted
from ..interface.user_warnings import warn_user

if TYPE_CHECKING:
    from ..history import History
    from ..population_result import PopulationResult

Record = TypeVar("Record")
GOES_ON = "The program goes on after fit: press Ctrl-C again to end it."


def was_interrupted(record: Any) -> bool:
    """Return whether Ctrl-C ended the fit that a History or PopulationResult is of."""
    interrupted = getattr(record, "interrupted", None)  # of a PopulationResult, where stopped_by is an array
    return bool(interrupted) if interrupted is not None else record.stopped_by == "interrupt"


def require_complete(record: Record) -> Record:
    """Return the History or PopulationResult of a fit unchanged, if the fit was not interrupted.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the fit, so that the caller ends, too.
    """
    if was_interrupted(record):
        raise KeyboardInterrupt
    return record


@contextmanager
def interrupt_message(sentence: str) -> Iterator[None]:
    """Context manager that gives a KeyboardInterrupt without a message this sentence as its message."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or sentence) from None


def warn_of_interrupted_net(n_epochs: int, best_score: str = "", further: str = "") -> None:
    """Warn that the fit of one net was interrupted.

    n_epochs : number of finished epochs
    best_score : name and value of the record that chose the parameters, such as "validation loss, 0.12"; "" for the
        parameters of the last step
    further : sentence that follows, or ""
    """
    state = f"as it was at its best {best_score}" if best_score else "as far as it had come"
    sentence = f"Training was interrupted in epoch {n_epochs + 1}; the net is {state}."
    warn_user(" ".join(filter(None, (sentence, further))))


def warn_caller_of_net(history: History) -> None:
    """Warn the user who has called MLP.fit that Ctrl-C has ended it, and that the program goes on."""
    if history.epochs == history.settings.get("epochs"):
        warn_user(f"Training was interrupted after its last epoch; the net is trained. {GOES_ON}")
        return
    best = "" if history.best_epoch is None else f"epoch, {history.best_epoch + 1}"
    warn_of_interrupted_net(history.epochs, best, GOES_ON)


def warn_caller_of_population(result: PopulationResult, left_out: bool) -> None:
    """Warn the user who has called Population.fit that Ctrl-C has ended it, or that a time limit left nets out.

    left_out : whether the mean of the nets leaves out those that have finished no epoch
    """
    n_without = int((result.epochs == 0).sum())
    others = (
        f"; {n_without:,} have finished no epoch, and those of them that had not begun keep the parameters from before "
        "the fit"
    )
    end = ". `ensemble_predict` and `export(..., mean=True)` leave them out" if left_out else ""
    reason = "Training was interrupted" if result.interrupted else "The time of the fit was over"
    warn_user(
        f"{reason}: {result.n_finished:,} of {counted(result.n_nets, 'net')} had come to their end"
        f"{others if n_without else ''}{end}.{f' {GOES_ON}' if result.interrupted else ''}"
    )


def warn_caller_of_search(n_finished: int, n_configurations: int) -> None:
    """Warn the user who has called sweep that Ctrl-C has ended it, and that the program goes on.

    n_finished : number of configurations that have scores; if these are all, Ctrl-C has ended the training of `best`
    """
    left = "; the others are left out, and `best` is trained with the best of the finished ones"
    if n_finished == n_configurations:
        left = ", but the training of `best` on all samples was cut short"
    warn_user(
        f"The search was interrupted: {n_finished:,} of {counted(n_configurations, 'configuration')} are finished"
        f"{left}. {GOES_ON.replace('after fit', 'after sweep')}"
    )
