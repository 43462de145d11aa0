"""What Ctrl-C leaves of a fit of an estimator: the nets that were trained, and the warning."""

from __future__ import annotations

import numpy as np

from ..errors import counted
from ..history import History
from ..population import Population, subset_of
from .parameters import warn_user


def warn_of_interrupted_net(n_epochs: int, best_score: str = "") -> None:
    """Warn that the fit of one net was interrupted.

    n_epochs : number of finished epochs
    best_score : name and value of the record that chose the parameters, such as "validation loss, 0.12"; "" for the
        parameters of the last step
    """
    state = f"as it was at its best {best_score}" if best_score else "as far as it had come"
    warn_user(f"Training was interrupted in epoch {n_epochs + 1}; the net is {state}.")


def warn_of_interrupted_history(history: History) -> None:
    """Warn if Ctrl-C ended the fit of one net, whose early stopping monitors the validation loss, or if a time limit
    ended it in the first epoch.
    """
    if history.stopped_by == "time_limit" and not history.epochs:
        warn_user(f"{_reason(False)} in the first epoch, and the net has learned little: set a larger time_limit.")
    if history.stopped_by == "interrupt":
        best = ""
        if history.validation_loss is not None and history.best_epoch is not None:
            best = f"validation loss, {history.validation_loss[history.best_epoch]:.4g}"
        warn_of_interrupted_net(history.epochs, best)


def warn_of_missing_nets(n_trained: int, n_nets: int, interrupted: bool) -> None:
    """Warn that Ctrl-C or its time limit ended the fit of nets one after another; n_trained of n_nets have begun."""
    outcome = "Predictions are their mean." if n_trained else _none_is_trained(interrupted)
    warn_user(f"{_reason(interrupted)}: {n_trained} of {counted(n_nets, 'net')} had begun. {outcome}")


def _reason(interrupted: bool) -> str:
    return "Training was interrupted" if interrupted else "The time of the fit was over"


def _none_is_trained(interrupted: bool) -> str:
    return f"No net is trained: fit again{'' if interrupted else ', with a larger time_limit'}."


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
    n_idle = nets.n_nets - len(begun)
    kept = nets
    if were_trained:
        outcome = f"Predictions are the mean of all {nets.n_nets}, which an earlier fit has trained."
    elif not len(begun):
        outcome = _none_is_trained(result.interrupted)
    else:
        kept = subset_of(nets, begun) if n_idle else nets
        outcome = f"Predictions are the mean of the {counted(len(begun), 'net')} that had begun."
    warn_user(
        f"{_reason(result.interrupted)}: {result.n_finished} of {counted(nets.n_nets, 'net')} had come to their end, "
        f"and {n_idle} had not begun. {outcome}"
    )
    return kept
