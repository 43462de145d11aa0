"""Transfer of a fit's state: out of a fit in progress, and into one that has not begun."""

from __future__ import annotations

import numpy as np

from ..kernels.formulas.update_rules import MOST_STATE
from .fit_base import FitBase
from .fit_state import FitState


def is_complete(fit: FitBase) -> bool:
    """Whether the host can have the whole state: a device keeps the sums of an epoch until its end."""
    return fit.plan.device.is_host or fit.steps_done % fit.n_batches == 0


def can_go_on(fit: FitBase) -> bool:
    """Whether the state of an interrupted fit is worth saving: another fit can go on from it, and it is not saved yet.

    With one batch an epoch, the best parameters may be those before the last kernel call, which a state does not have:
    then another fit can go on only if all epochs are scored.
    """
    search, n_epochs = fit.search, fit.steps_done // fit.n_batches
    needs_earlier_params = fit.n_batches == 1 and search.may_stop_early and search.checkpoint is None
    if needs_earlier_params and search.scored.n_epochs < n_epochs:
        return False
    is_new = fit.steps_done != fit.saved_steps and fit.n_final_epochs is None
    return is_new and is_complete(fit) and fit.guard.is_finite()


def state_of(fit: FitBase) -> FitState:
    """Return the state as copies in the host's memory."""
    train_state, copied = fit.train_state, lambda array: np.array(fit.plan.backend.to_host(array))
    n, n_state = fit.steps_done // fit.n_batches, fit.options.optimizer.rule.n_state
    return FitState(
        params=copied(train_state.params),
        optimizer_state=copied(train_state.state).reshape(MOST_STATE, -1)[:n_state],
        scalars=train_state.scalars[0].copy(),
        loss=train_state.epoch_loss[:n].copy(),
        accuracy=train_state.epoch_accuracy[:n].copy(),
        validation=fit.validated[: fit.n_validated].copy(),
        n_checked=fit.n_checked,
        ended_by=fit.ended_by,
        n_final_epochs=fit.n_final_epochs or 0,
        scored=fit.search.scored.moved(copied),
        stretch=None if fit.search.checkpoint is None else fit.search.checkpoint.moved(copied),
        metrics={} if fit.options.metrics is None else fit.options.metrics.measured(fit.n_checked),
    )


def start_from(fit: FitBase, state: FitState) -> None:
    """Take a state of a fit of the same net, data and settings."""
    train_state, search, to_device = fit.train_state, fit.search, fit.plan.backend.to_device
    n, n_validated = len(state.loss), len(state.validation)
    fit.history.epochs_before = n
    train_state.params[:] = to_device(state.params)
    train_state.state[: state.optimizer_state.size] = to_device(state.optimizer_state.reshape(-1))
    train_state.scalars[:] = state.scalars
    train_state.epoch_loss[:n], train_state.epoch_accuracy[:n] = state.loss, state.accuracy
    fit.validated[:n_validated], fit.n_validated = state.validation, n_validated
    if fit.options.metrics is not None:
        fit.options.metrics.go_on_after(state.metrics, state.n_checked)
    fit.n_checked, fit.ended_by, fit.saved_steps = state.n_checked, state.ended_by, fit.steps_done
    if state.ended_by:
        fit.n_final_epochs = state.n_final_epochs
    search.scored = state.scored.moved(to_device)
    search.checkpoint = None if state.stretch is None else state.stretch.moved(to_device)
