"""Interrupted fits of estimators: the nets that are kept after Ctrl-C or a time limit, and the warnings."""

from __future__ import annotations

import numpy as np

from ..errors import counted
from ..fit.interruption import warn_of_interrupted_net
from ..history import History
from ..interface.user_warnings import warn_user
from ..population import Population, subset_of
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
            best_loss = history.validation_loss[history.best_epoch]
            is_lowest = best_loss <= np.nanmin(history.validation_loss)  # not where a score has chosen the epoch
            best = f"validation loss, {best_loss:.4g}" if is_lowest else f"epoch, {history.best_epoch + 1:,}"
        warn_of_interrupted_net(history.epochs, best)


def warn_of_missing_nets(result: PopulationResult, n_begun: int, n_nets: int, outcome: str = "") -> None:
    """Warn that Ctrl-C, its time limit or divergence ended the fit of several nets.

    result : PopulationResult of the nets that had begun
    n_begun, n_nets : number of nets that had begun, and of those that there were to train
    outcome : sentence on what predicts; by default the nets that had begun
    """
    if not outcome and n_begun:
        outcome = f"Predictions are the mean of the {counted(n_begun, 'net')} that had begun."
    elif not outcome:
        outcome = f"No net is trained: fit again{REMEDIES[_reason(result)]}."
    if _reason(result) == DIVERGED:
        warn_user(f"{DIVERGED} of {n_nets - n_begun} of {counted(n_nets, 'net')}. {outcome}")
        return
    warn_user(
        f"{_reason(result)}: {result.n_finished} of {counted(n_nets, 'net')} had come to their end, and "
        f"{n_nets - n_begun} had not begun. {outcome}"
    )


def _reason(result: PopulationResult) -> str:
    if result.interrupted:
        return INTERRUPTED
    has_diverged = bool((result.stopped_by == "divergence").any()) and "time_limit" not in result.stopped_by
    return DIVERGED if has_diverged else OUT_OF_TIME


def warn_of_interrupted_end() -> None:
    """Warn that Ctrl-C came after the nets of a fit were trained."""
    warn_user(
        "The fit was interrupted after its nets were trained. They are kept, and predict; what was still to be "
        "done, if anything, such as a training on all rows, is left out."
    )


def trained_nets(nets: Population, were_trained: bool) -> Population:
    """Return the nets that predict after a fit that Ctrl-C or its time limit has ended, and warn.

    Nets that had not begun are left out: the mean of the outputs is one of trained nets only. If no net had begun, all
    are kept.

    nets : population with the result of its fit
    were_trained : whether an earlier fit had trained all nets; then all are kept
    """
    result = nets.result
    assert result is not None
    begun = np.flatnonzero(result.epochs > 0)
    outcome = (
        f"Predictions are the mean of all {nets.n_nets}, which an earlier fit has trained." if were_trained else ""
    )
    warn_of_missing_nets(result, len(begun), nets.n_nets, outcome)
    nets.fits += were_trained  # the earlier fit, for which all nets are in the mean
    return nets if were_trained or len(begun) in (0, nets.n_nets) else subset_of(nets, begun)
