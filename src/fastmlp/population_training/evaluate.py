"""Evaluation of the nets of a population: forward passes that give outputs, losses and accuracies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.population_data import Strides, samples_of_net
from ..devices import Device, backend, device_of
from ..errors import shown
from ..execution.buffer_cache import buffers
from ..execution.dispatch import EVALUATION_ROWS, LANES, choose_nets_evaluation, lane_threads
from ..execution.plan import Plan, describe_net, nets_work
from ..kernels.structs import (
    ALL_RIGHT,
    CONVERGED,
    NET_HYPER,
    NO_EPOCH,
    RUNNING,
    UNKNOWN_TARGET,
    PopulationState,
    Samples,
)
from ..network.spec import Network
from .fit import PopulationOutcome, PopulationTask


def evaluate_nets(
    network: Network,
    device: Device,
    params: np.ndarray,
    data: Samples,
    strides: Strides = (0, 0, 0),
    members: np.ndarray | None = None,
    output: np.ndarray | None = None,
):
    """Return (loss, accuracy), each (n_members,), of the nets of a population.

    params : (n_nets, n_params)     parameters of all nets
    data, strides : samples, and elements between the X, Y and weight of successive nets; see data/population_data.py
    members : (n_members,)     numbers of the nets to evaluate; None for all
    output : (n_members * n_samples * n_outputs,)     written if given
    """
    n_nets, n_params = params.shape
    all_of_them = members is None
    members = np.arange(n_nets) if members is None else members
    output = np.empty(0, params.dtype) if output is None else output
    module, net = backend(device), describe_net(network)
    with device.on():
        data = module.place(data)
    streams = device_of(data.X) is None
    family = choose_nets_evaluation(network, n_nets, device, params.dtype, streams)
    if family == "one_by_one":
        return _evaluate_one_by_one(network, device, params, data, strides, members, output)
    loss, right = np.empty(n_nets), np.empty(n_nets)
    empty, whole = np.empty(0), np.empty(0, np.int64)
    nets = PopulationState(
        n_params=n_params,
        params=params.reshape(-1),
        hyper=np.zeros(len(NET_HYPER)),
        hyper_stride=0,
        n_state=0,
        bias_correction=False,
        penalised=False,
        clipped=False,
        mixed=any(strides),
        dropout=empty,
        dropout_stride=0,
        seeds=whole,
        X_stride=strides[0],
        Y_stride=strides[1],
        weight_stride=strides[2],
        members=members,
        n_members=len(members),
        status=whole,
        epochs=whole,
        best_epochs=whole,
        loss=loss,
        right=right,
        best=empty,
        judges_ends=False,
        learned=np.empty(0, np.int8),
        record_epochs=np.array([NO_EPOCH]),
        n_records=0,
        n_nets=n_nets,
        records=np.empty(0, params.dtype),
    )
    rows = min(data.n_samples, EVALUATION_ROWS)
    n_ranks = lane_threads(network, len(members), LANES, data.n_samples)
    with (
        device.on(),
        buffers.borrow_team(module, n_ranks) as team,
        nets_work(
            network,
            net,
            device,
            family,
            rows,
            data.n_samples,
            n_ranks,
            False,
            None,
            data.metric,
            params.dtype,
            LANES,
            "exact",
        ) as work,
    ):
        module.evaluate_nets(team, net, data, nets, work, output)
    return (loss, right) if all_of_them else (loss[members], right[members])


def _evaluate_one_by_one(network, device, params, data, strides, members, output):
    results, size = [], data.n_samples * network.n_outputs
    padded = network.layout.padded(params.dtype)
    with device.on():
        plan = Plan.for_evaluation(network, device, params.dtype, data.n_samples)
        data = plan.place(data)
        for i, net in enumerate(members):
            padded[: params.shape[1]] = params[net]
            room = output[i * size : (i + 1) * size] if output.size else output
            results.append(plan.evaluate_alone(samples_of_net(data, strides, net), padded, room))
    return np.array(results).reshape(-1, 2).T


def converged_nets(task: PopulationTask, outcome: PopulationOutcome) -> np.ndarray:
    """Return which nets count as converged, bool (n_nets,).

    With a convergence rule, these are the nets that met it. Without one, they are the nets whose training ended with a
    finite loss and, for classification, that have all samples correct.
    """
    if task.converged is not None:
        return outcome.status == CONVERGED
    done = np.isfinite(outcome.loss) & (outcome.status != RUNNING)
    if task.judges_ends:
        unsaid = np.flatnonzero(outcome.learned == UNKNOWN_TARGET)
        if unsaid.size:
            _, right = evaluate_nets(task.network, task.device, task.params, task.data, task.strides, unsaid)
            outcome.learned[unsaid] = right >= ALL_RIGHT
        done &= outcome.learned.astype(bool)
    return done


def checked_members(nets: Any, n_nets: int) -> np.ndarray:
    """Return net numbers, int64 (n_members,), from numbers (negative ones count from the end) or a mask (n_nets,).

    Raises
    ------
    ValueError
        If nets is neither, or a number is out of range.
    """
    members = np.atleast_1d(np.asarray(nets))
    if members.dtype == bool and members.shape == (n_nets,):
        members = np.flatnonzero(members)
    if members.dtype.kind not in "iu" or members.ndim != 1 or not members.size:
        raise ValueError(
            f"nets must list net numbers or mark some of them in a mask (n_nets,), but it is {shown(nets)}."
        )
    if members.min() < -n_nets or members.max() >= n_nets:
        raise ValueError(
            f"nets must hold numbers from 0 to {n_nets - 1}, but holds {members.min()} to {members.max()}."
        )
    return (members % n_nets).astype(np.int64)
