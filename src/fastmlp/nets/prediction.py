"""Prediction of one net, and of several nets for few rows, for inputs in host memory.

A service predicts one row at a time. Such a forward pass takes less time than preparing the arguments of its kernel, so
each thread keeps the prepared call of its last prediction, and repeats it for the same net and number of rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.checked_samples import inputs_only
from ..execution.plan import Plan, describe_net
from ..network.spec import Network

FEW_NETS = 64  # whose prepared calls a thread keeps


class LastPrediction(threading.local):
    """The last prediction of a Python thread, for which it used no worker threads, and its prepared call.

    call : the net's padded parameters, the number of samples, the prepared call (None after the first of several equal
        predictions) and the net's architecture; of several nets, the parameters of all and a prepared call for each
    plan : the plan whose buffers the prepared call uses; it is out of the buffer cache as long as there is such a call

    The child of a fork can repeat the call, since it runs on the calling thread alone.
    """

    call: tuple[Any, int, Any, Any] = None, 0, None, None
    plan: Plan | None = None

    def forget(self) -> None:
        """Drop the call, and release its plan."""
        plan, self.plan, self.call = self.plan, None, (None, 0, None, None)
        if plan is not None:
            plan.release()


last = LastPrediction()
last_of_nets = LastPrediction()  # of several nets


def predict(features: np.ndarray, params: np.ndarray, network: Network, plan_for: Callable[[int], Plan]) -> np.ndarray:
    """Return the outputs (n_samples, n_outputs).

    features : (n_samples, n_features)     checked inputs
    params : (n_padded,)     the net's own array of padded parameters; another array is another net
    network : Network     architecture of the net
    plan_for : function (n_samples) -> Plan for the net, acquired from the buffer cache
    """
    n = len(features)
    output = np.empty((n, network.n_outputs), params.dtype)
    last_params, last_n, prepared_call, last_network = last.call
    is_repeated = last_params is params and last_n == n and last_network is network
    if is_repeated and prepared_call is not None:
        prepared_call(features.reshape(-1), output.reshape(-1))
        return output
    last.forget()
    data, flat, plan = inputs_only(features), output.reshape(-1), plan_for(n)
    plan.evaluate_alone(data, params, flat)
    if plan.choice.n_threads > 1:
        plan.release()
    elif is_repeated:  # preparing takes longer than three calls, so it waits for the second call
        last.plan = plan
        last.call = params, n, plan.repeat_prediction(data, params, flat), network
    else:
        last.call = params, n, None, network
        plan.release()
    return output


def predict_nets(
    features: np.ndarray,
    params: np.ndarray,
    members: np.ndarray,
    network: Network,
    plan_for: Callable[[int], Plan],
    output: np.ndarray,
) -> None:
    """Write the outputs of several nets for few samples that they share.

    Kernels read the parameters where they are: to copy them to where a net alone has them, at the start of a cache
    line, takes longer than the forward pass of few samples.

    features : (n_samples, n_features)     checked inputs
    params : (n_nets, n_params)     the population's own array of parameters; another array is another population
    members : (n_members,)     numbers of the nets
    network, plan_for : architecture and plans, as for `predict`
    output : (n_members, n_samples * n_outputs)     written
    """
    n, X = len(features), features.reshape(-1)
    last_params, last_n, calls, last_network = last_of_nets.call
    if not (last_params is params and last_n == n and last_network is network):
        last_of_nets.forget()
        plan, data = plan_for(n), inputs_only(features)
        for net, net_output in zip(members.tolist(), output, strict=True):
            plan.evaluate_alone(data, params[net], net_output)
        if plan.choice.n_threads == 1:
            last_of_nets.call = params, n, None, network
        plan.release()
        return
    if calls is None or last_of_nets.plan is None:
        last_of_nets.plan, calls = plan_for(n), {}
        last_of_nets.call = params, n, calls, network
    prepare = last_of_nets.plan.repeat_prediction
    for net, net_output in zip(members.tolist(), output, strict=True):
        call = calls.get(net)
        if call is None:
            if len(calls) >= FEW_NETS:
                calls.clear()
            call = calls[net] = prepare(inputs_only(features), params[net], net_output)
        call(X, net_output)


def repeated_outputs(
    features: np.ndarray, params: np.ndarray, members: np.ndarray | None, network: Network
) -> np.ndarray | None:
    """Return the outputs of several nets if calls of the last prediction can be repeated for them; otherwise None.

    members : (n_members,), numbers of the nets; None for all

    The other arguments are those of `predict_nets`.
    """
    last_params, last_n, calls, last_network = last_of_nets.call
    if calls is None or not (last_params is params and last_n == len(features) and last_network is network):
        return None
    # a mask is no numbers, and what is no list of numbers at all gets a sentence elsewhere
    if members is not None and (members.dtype.kind != "i" or members.ndim != 1 or not members.size):
        return None
    prepared = [calls.get(net) for net in (range(len(params)) if members is None else members.tolist())]
    if None in prepared:
        return None
    output, X = np.empty((len(prepared), last_n, network.n_outputs), params.dtype), features.reshape(-1)
    for call, net_output in zip(prepared, output.reshape(len(prepared), -1), strict=True):
        call(X, net_output)
    return output


def predicted_classes(outputs: Any, network: Network) -> Any:
    """Return class numbers (..., n_samples) for outputs (..., n_samples, n_outputs)."""
    if network.n_outputs > 1:
        return outputs.argmax(axis=-1)
    return (outputs[..., 0] > describe_net(network).class_threshold).astype(np.int64)
