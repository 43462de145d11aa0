"""PopulationState of a fit in lanes: the settings and results of each net, as kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.structs import NET_DEFAULTS, NET_HYPER, NO_EPOCH, PopulationState
from ..nets.nets_evaluation import nets_and_rows
from ..optimizers import Optimizer
from .outcome import KeptNets, Outcome
from .task import FitTask


def hyper_table(optimizer: Optimizer, l2: Any, n_nets: int) -> np.ndarray:
    """Return settings (n_nets, len(NET_HYPER)), in the order of NET_HYPER; one row if all nets have equal settings.

    l2 : float or (n_nets,)     strength of the L2 penalty
    """
    values = {**optimizer.settings, "l2": l2}
    columns = list(map(values.get, NET_HYPER, NET_DEFAULTS))
    if np.ndarray not in map(type, columns):
        return np.array([columns])
    table = np.empty((n_nets, len(NET_HYPER)))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def training_state(task: FitTask, outcome: Outcome, members: np.ndarray, n_epochs: int) -> PopulationState:
    """Return the state of a fit, which writes the parameters of the task and the arrays of the outcome.

    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    """
    table = hyper_table(task.optimizer, task.l2, task.n_nets)
    rule, whole = task.optimizer.rule, task.whole
    return PopulationState(
        **nets_and_rows(task.params, task.rows.strides, members),
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
    )


def _rows_of_kept(kept: KeptNets | None, dtype: np.dtype) -> dict[str, Any]:
    """Return the fields of a PopulationState for nets that have trained all their epochs."""
    vectors, numbers = (np.empty(0, dtype), np.empty(0)) if kept is None else kept
    return {"keeps_ended": kept is not None, "kept_vectors": vectors.reshape(-1), "kept_numbers": numbers.reshape(-1)}
