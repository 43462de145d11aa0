"""PopulationState of an evaluation: the nets and their samples, as kernels take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.population_data import Strides
from ..kernels.structs import NET_HYPER, NO_EPOCH, PopulationState


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
        **nets_and_rows(params, strides, members),
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
        keeps_ended=False,
        kept_vectors=np.empty(0, params.dtype),
        kept_numbers=numbers,
    )


def nets_and_rows(params: np.ndarray, strides: Strides, members: np.ndarray) -> dict[str, Any]:
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
