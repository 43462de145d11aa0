"""PopulationState of a fit or an evaluation: the settings and results of each net, as kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.population_data import Strides
from ..errors import is_per_net
from ..kernels.structs import NET_DEFAULTS, NET_HYPER, NO_EPOCH, PopulationState
from ..optimizers import Optimizer, settings_of
from ..schedules.checked_factors import factors_at
from .kept_nets import KeptNets
from .task_and_outcome import PopulationOutcome, PopulationTask


def hyper_table(optimizer: Optimizer, l2: Any, n_nets: int) -> np.ndarray:
    """Return settings (n_nets, len(NET_HYPER)), in the order of NET_HYPER; one row if all nets have equal settings.

    l2 : float or (n_nets,)     strength of the L2 penalty
    """
    values = {**settings_of(optimizer), "l2": l2}
    columns = [values.get(name, default) for name, default in zip(NET_HYPER, NET_DEFAULTS, strict=True)]
    if not any(map(is_per_net, columns)):
        return np.array([columns])
    table = np.empty((n_nets, len(NET_HYPER)))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def training_state(
    task: PopulationTask, outcome: PopulationOutcome, members: np.ndarray, n_epochs: int
) -> PopulationState:
    """Return the state of a fit, which writes the parameters of the task and the arrays of the outcome.

    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    """
    table = hyper_table(task.optimizer, task.l2, task.n_nets)
    rule, whole = task.optimizer.rule, task.whole
    n_steps = 0 if task.dropout_factors is None else n_epochs * task.n_batches
    return PopulationState(
        **_nets_and_data(task.params, task.strides, members),
        hyper=table.reshape(-1),
        hyper_stride=table.shape[1] if len(table) > 1 else 0,
        n_state=rule.n_state,
        bias_correction=rule.bias_correction,
        penalised=whole.penalised,
        clipped=whole.clipped,
        dropout=np.ascontiguousarray(task.dropout, np.float64).reshape(-1),
        dropout_stride=task.dropout.shape[1] if task.dropout.ndim == 2 else 0,
        seeds=task.seeds,
        status=outcome.status,
        epochs=outcome.epochs,
        best_epochs=outcome.best_epochs,
        loss=outcome.loss,
        accuracy=outcome.accuracy,
        best_value=outcome.best_value,
        checks_final_accuracy=task.checks_final_accuracy,
        all_correct=outcome.all_correct,
        record_epochs=np.append(outcome.record_epochs, NO_EPOCH),
        n_records=len(outcome.record_epochs),
        records=outcome.records.reshape(-1),
        **_rows_of_kept(outcome.kept, task.dtype),
        dropout_steps=n_steps,
        dropout_factors=np.empty(0)
        if task.dropout_factors is None
        else factors_at(task.dropout_factors, 0, n_steps, n_steps),
    )


def evaluation_state(
    params: np.ndarray, strides: Strides, members: np.ndarray, loss: np.ndarray, accuracy: np.ndarray
) -> PopulationState:
    """Return the state of an evaluation.

    params : (n_nets, n_params)     parameters of all nets
    members : (n_members,)     numbers of the nets to evaluate
    loss, accuracy : (n_nets,)     written
    """
    numbers, whole = np.empty(0), np.empty(0, np.int64)  # what only a fit reads or writes
    return PopulationState(
        **_nets_and_data(params, strides, members),
        hyper=np.zeros(len(NET_HYPER)),
        hyper_stride=0,
        n_state=0,
        bias_correction=False,
        penalised=False,
        clipped=False,
        dropout=numbers,
        dropout_stride=0,
        seeds=whole,
        status=whole,
        epochs=whole,
        best_epochs=whole,
        loss=loss,
        accuracy=accuracy,
        best_value=numbers,
        checks_final_accuracy=False,
        all_correct=np.empty(0, np.int8),
        record_epochs=np.array([NO_EPOCH]),
        n_records=0,
        records=np.empty(0, params.dtype),
        **_rows_of_kept(None, params.dtype),
    )


def _rows_of_kept(kept: KeptNets | None, dtype: np.dtype) -> dict[str, Any]:
    """Return the fields of a PopulationState for nets that have trained all their epochs."""
    vectors, numbers = (np.empty(0, dtype), np.empty(0)) if kept is None else kept
    return {"keeps_ended": kept is not None, "kept_vectors": vectors.reshape(-1), "kept_numbers": numbers.reshape(-1)}


def _nets_and_data(params: np.ndarray, strides: Strides, members: np.ndarray) -> dict[str, Any]:
    """Return the fields of a PopulationState that say which nets there are, and where each net's samples begin."""
    n_nets, n_params = params.shape
    return {
        "n_params": n_params,
        "params": params.reshape(-1),
        "n_nets": n_nets,
        "members": members,
        "n_members": len(members),
        "own_data": any(strides),
        "X_stride": strides[0],
        "Y_stride": strides[1],
        "weight_stride": strides[2],
    }
