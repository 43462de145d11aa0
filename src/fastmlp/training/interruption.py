"""Ctrl-C during a fit: `fit` returns early and records the interruption; callers that need complete fits check here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import counted
from ..user_warnings import warn_user

if TYPE_CHECKING:
    from ..history import History
    from ..population_result import PopulationResult

Record = TypeVar("Record")


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
    further : sentence that follows
    """
    state = f"as it was at its best {best_score}" if best_score else "as far as it had come"
    warn_user(f"Training was interrupted in epoch {n_epochs + 1}; the net is {state}.{further}")


def warn_of_missing_nets(result: PopulationResult, n_begun: int, n_nets: int, outcome: str = "") -> None:
    """Warn that Ctrl-C or its time limit ended the fit of several nets.

    result : PopulationResult of the nets that had begun
    n_begun, n_nets : number of nets that had begun, and of those that there were to train
    outcome : sentence on what predicts; by default the nets that had begun
    """
    if not outcome and n_begun:
        outcome = f"Predictions are the mean of the {counted(n_begun, 'net')} that had begun."
    elif not outcome:
        outcome = f"No net is trained: fit again{'' if result.interrupted else ', with a larger time_limit'}."
    reason = "Training was interrupted" if result.interrupted else "The time of the fit was over"
    warn_user(
        f"{reason}: {result.n_finished} of {counted(n_nets, 'net')} had come to their end, and "
        f"{n_nets - n_begun} had not begun. {outcome}"
    )


GOES_ON = " The program goes on after fit: press Ctrl-C again to end it."


def tell_of_interrupted_fit(history: History) -> None:
    """Warn the user who has called MLP.fit that Ctrl-C has ended it, and that the program goes on."""
    if history.stopped_by == "interrupt":
        best = f"epoch, {history.best_epoch + 1}" if history.best_epoch is not None else ""
        warn_of_interrupted_net(history.epochs, best, GOES_ON)


def tell_of_interrupted_fits(result: PopulationResult) -> None:
    """Warn the user who has called Population.fit that Ctrl-C has ended it, and that the program goes on."""
    if result.interrupted:
        n_begun = int((result.epochs > 0).sum())
        outcome = "" if n_begun == result.n_nets else "Those have their initial parameters."
        warn_of_missing_nets(result, n_begun, result.n_nets, outcome + GOES_ON)
