"""Checks of a population's state that comes from a file, as training/state_checks.py has them of one net's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import shown
from ..kernels.structs import ALL_EPOCHS, DIVERGED_NET, MAX_RECORDS, NO_EPOCH, RUNNING, UNCHECKED, SuspendedNets
from ..training.state_checks import StateForm, check_array, check_count, check_integers, check_state
from .fit_state import ALL, SOME, PopulationFitState
from .task_and_outcome import PopulationOutcome, PopulationTask, epochs_of_attempt

N_POWERS, N_NUMBERS = 2, 4  # columns of arrays of SuspendedNets


def check_population_state(
    state: PopulationFitState, task: PopulationTask, epochs: int, restart_after: int | None
) -> None:
    """Raise ValueError if a state is none of the fit of a task; other exceptions mean damage, too.

    epochs : of the fit that has written it
    restart_after : argument of the fit
    """
    n_nets, n_params = task.params.shape
    check_count("attempt", state.attempt, 0, epochs)
    n_epochs = epochs_of_attempt(epochs, restart_after, state.attempt)
    check_count("the number of epochs of the attempt", n_epochs, 1, epochs)
    check_array("params", state.params, task.dtype, n_nets, n_params)
    if state.on_workers not in ("", SOME, ALL):
        raise ValueError(f"on_workers should be {SOME!r} or {ALL!r}, but it is {shown(state.on_workers)}")
    most_restarts = epochs if state.on_workers else state.attempt  # workers make all attempts of a net
    check_integers("restarts", state.restarts, 0, most_restarts, n_nets)
    check_integers("spent", state.spent, 0, epochs, 0 if restart_after is None else n_nets)
    _check_outcome(state.outcome, task, epochs if state.on_workers else epochs_of_attempt(epochs, restart_after, 0))
    status = state.outcome["status"]
    _check_nets("nets", state.suspended, task, n_epochs - 1, status == RUNNING)  # kernels end a net at the last epoch
    _check_nets("ended", state.ended, task, n_epochs, status == ALL_EPOCHS)
    form = StateForm(
        n_padded=task.network.layout.padded(task.dtype).size,
        n_state=task.optimizer.rule.n_state,
        dtype=task.dtype,
        n_epochs=n_epochs,
        n_batches=task.n_batches,
        validates=task.held_out is not None,
    )
    check_fits(state.fits, n_nets, lambda fit: check_state(fit, form))


def check_fits(fits: Mapping[int, Any], n_nets: int, check: Any) -> None:
    """Check the states of nets that are trained one by one; check : function of the state of a net"""
    for number, fit in fits.items():
        check_count("the number of a net", number, 0, n_nets - 1)
        check(fit)


def _check_outcome(outcome: dict[str, np.ndarray], task: PopulationTask, n_epochs: int) -> None:
    n_nets = task.n_nets
    expected = PopulationOutcome.empty(task, np.empty(0, np.int64))
    n_records = len(outcome["record_epochs"])
    check_count("the number of recorded epochs", n_records, 1, MAX_RECORDS)
    check_integers("record_epochs", outcome["record_epochs"], 1, NO_EPOCH, n_records)
    if (np.diff(outcome["record_epochs"]) <= 0).any():
        raise ValueError("record_epochs should ascend, but they do not")
    check_array("records", outcome["records"], task.dtype, n_records, n_nets)
    check_integers("status", outcome["status"], RUNNING, DIVERGED_NET, n_nets)
    check_integers("epochs", outcome["epochs"], 0, n_epochs, n_nets)
    check_integers("best_epochs", outcome["best_epochs"], -1, n_epochs, expected.best_epochs.size)
    for name in ("loss", "accuracy", "best_value", "all_correct"):
        array = getattr(expected, name)
        check_array(name, outcome[name], array.dtype, *array.shape)
    if outcome["all_correct"].size and not np.isin(outcome["all_correct"], (UNCHECKED, 0, 1)).all():
        raise ValueError("all_correct should be 0, 1 or -1, but it has other values")


def _check_nets(prefix: str, nets: SuspendedNets, task: PopulationTask, most_epochs: int, may_be: np.ndarray) -> None:
    """Check nets that are trained together.

    most_epochs : that one of them has completed
    may_be : bool (n_nets,)     the nets that may be among them
    """
    n, n_params = len(nets.net_index), task.params.shape[1]
    if n == 0 and not any(array.size for array in nets):
        return
    check_integers(f"{prefix}.net_index", nets.net_index, 0, task.n_nets - 1, n)
    if len(np.unique(nets.net_index)) < n or not may_be[nets.net_index].all():
        raise ValueError(f"{prefix}.net_index should have each net once, none of which has ended otherwise")
    check_integers(f"{prefix}.epochs", nets.epochs, 0, most_epochs, n)
    check_integers(f"{prefix}.best_epochs", nets.best_epochs, -1, most_epochs, n)
    check_integers(f"{prefix}.clock", nets.clock, 0, NO_EPOCH // 2, n)
    if (nets.best_epochs > nets.epochs).any():
        raise ValueError(f"{prefix}.best_epochs should be epochs that are trained, but some are later")
    n_best = n_params if task.monitor is not None else 0
    columns = {"params": n_params, "safe_params": n_params, "best_params": n_best}
    columns["state"] = task.optimizer.rule.n_state * n_params
    for name, n_columns in columns.items():
        check_array(f"{prefix}.{name}", getattr(nets, name), task.dtype, n, n_columns)
    check_array(f"{prefix}.powers", nets.powers, np.float64, n, N_POWERS)
    check_array(f"{prefix}.numbers", nets.numbers, np.float64, n, N_NUMBERS)
