"""Warnings of interrupted fits of tabular estimators: by Ctrl-C, a time limit or divergence."""

from __future__ import annotations

from ..errors import counted
from ..fit.interrupt_warnings import warn_of_interrupted_net
from ..history import History
from ..interface.user_warnings import warn_user
from ..population_result import PopulationResult

INTERRUPTED, OUT_OF_TIME = "Training was interrupted", "The time of the fit was over"
DIVERGED = "Training diverged in the first epoch"
REMEDIES = {INTERRUPTED: "", OUT_OF_TIME: ", with a larger time_limit", DIVERGED: ", with a lower learning rate"}


def warn_of_interrupted_history(history: History) -> None:
    """Warn if Ctrl-C ended the fit of one net, or if a time limit ended it in the first epoch."""
    if history.stopped_by == "time_limit" and not history.epochs:
        warn_user(f"{OUT_OF_TIME} in the first epoch, and the net has learned little: set a larger time_limit.")
    if history.stopped_by == "interrupt":
        best = ""
        if history.validation_loss is not None and history.best_epoch is not None:
            best = f"validation loss, {history.validation_loss[history.best_epoch]:.4g}"
        warn_of_interrupted_net(history.epochs, best)


def warn_of_missing_nets(result: PopulationResult, n_begun: int, n_nets: int) -> None:
    """Warn that Ctrl-C, its time limit or divergence ended the fit of several nets.

    result : PopulationResult of the nets that had begun
    n_begun, n_nets : number of nets that had begun, and of those that there were to train
    """
    reason = INTERRUPTED if result.interrupted else OUT_OF_TIME
    if reason == OUT_OF_TIME and "divergence" in result.stopped_by and "time_limit" not in result.stopped_by:
        reason = DIVERGED
    outcome = f"No net is trained: fit again{REMEDIES[reason]}."
    if n_begun:
        outcome = f"Predictions are the mean of the {counted(n_begun, 'net')} that had begun."
    if reason == DIVERGED:
        warn_user(f"{DIVERGED} of {n_nets - n_begun} of {counted(n_nets, 'net')}. {outcome}")
        return
    warn_user(
        f"{reason}: {result.n_finished} of {counted(n_nets, 'net')} had come to their end, and {n_nets - n_begun} had "
        f"not begun. {outcome}"
    )


def warn_of_interrupted_end() -> None:
    """Warn that Ctrl-C came after the nets of a fit were trained."""
    warn_user(
        "The fit was interrupted after its nets were trained. They are kept, and predict; what was still to be "
        "done, if anything, such as a training on all rows, is left out."
    )
