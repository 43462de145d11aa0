"""Evaluation of the nets of a population: forward passes that give outputs, losses and accuracies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.checked_samples import Strides, samples_of_net
from ..devices import Device, backend, device_of
from ..errors import shown
from ..execution.dispatch import choose_nets_evaluation
from ..execution.gpu_costs import trains_in_one_launch
from ..execution.plan import Plan, PopulationPlan, describe_net
from ..kernels.structs import NET_HYPER, NO_EPOCH, PopulationState, Samples
from ..network.spec import Network
from .prediction import FEW_NETS, predict_nets

FEW_SAMPLES = 32  # up to which parameters are read where they are; of more, copies in whole cache lines are faster


def evaluate_nets(
    network: Network,
    device: Device,
    params: np.ndarray,
    data: Samples,
    strides: Strides,
    precision: str,
    members: np.ndarray | None = None,
    output: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (loss, accuracy), each (n_members,), of the nets of a population.

    params : (n_nets, n_params)     parameters of all nets
    data, strides : samples, and elements between the X, Y and weight of successive nets; see data/checked_samples.py
    precision : precision of the nets
    members : (n_members,)     numbers of the nets to evaluate; None for all
    output : (n_members * n_samples * n_outputs,)     written if given
    """
    n_nets = len(params)
    chosen = np.arange(n_nets) if members is None else members
    output = np.empty(0, params.dtype) if output is None else output
    module = backend(device)
    with device.on():
        data = module.place(data)
    sizes, streams = (n_nets, len(chosen), data.n_samples), device_of(data.X) is None
    choice = choose_nets_evaluation(network, *sizes, device, streams)
    if choice.family == "one_by_one":
        if device.is_host and output.size and _are_few(data, strides, chosen):
            plan_for = lambda n: Plan.for_evaluation(network, device, params.dtype, n, precision=precision)
            predict_nets(
                data.X.reshape(data.n_samples, -1), params, chosen, network, plan_for, output.reshape(len(chosen), -1)
            )
            return np.zeros(len(chosen)), np.zeros(len(chosen))
        return _evaluate_one_by_one(network, device, params, data, strides, precision, chosen, output)
    loss, accuracy = np.empty(n_nets), np.empty(n_nets)
    nets, net = evaluation_state(params, strides, chosen, loss, accuracy), describe_net(network)
    plan = PopulationPlan(
        network=network,
        device=device,
        backend=module,
        dtype=params.dtype,
        choice=choice,
        n_samples=data.n_samples,
        metric=data.metric,
        # Nets that a GPU trains in one launch are trained in float32, and are not rounded here either.
        precision="exact" if device.is_host or trains_in_one_launch(network, params.dtype) else precision,
    )
    with plan.begin(net) as (team, run):
        module.evaluate_nets(team, net, data, nets, run, output)
    return (loss, accuracy) if members is None else (loss[chosen], accuracy[chosen])


def _are_few(data: Samples, strides: Strides, members: np.ndarray) -> bool:
    """Return whether a prediction is of few samples, the same of all nets, and of few nets."""
    return not data.has_targets and not any(strides) and data.n_samples <= FEW_SAMPLES and len(members) <= FEW_NETS


def _evaluate_one_by_one(network, device, params, data, strides, precision, members, output):
    """Return (loss, accuracy) as evaluate_nets does, by the kernels of a single net."""
    results, size = [], data.n_samples * network.n_outputs
    padded = network.layout.padded(params.dtype)
    with device.on():
        plan = Plan.for_evaluation(network, device, params.dtype, data.n_samples, precision=precision)
        data = plan.backend.place(data)
        for i, net in enumerate(members):
            padded[: params.shape[1]] = params[net]
            net_output = output[i * size : (i + 1) * size] if output.size else output
            results.append(plan.evaluate_alone(samples_of_net(data, strides, net), padded, net_output))
        plan.release()
    return np.array(results).reshape(-1, 2).T


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
