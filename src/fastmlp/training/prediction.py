"""Prediction of one net for inputs in host memory.

A service predicts one row at a time. Such a forward pass takes less time than preparing the arguments of its kernel, so
the prepared call is cached and repeated for the same net and number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.validation import inputs_only
from ..execution.buffer_cache import buffers
from ..execution.net_description import describe_net
from ..execution.plan import Plan
from ..network.spec import Network


def predict(features: np.ndarray, params: np.ndarray, network: Network, plan_for: Callable[[int], Plan]) -> np.ndarray:
    """Return the outputs (n_samples, n_outputs).

    features : (n_samples, n_features)     checked inputs
    params : (n_padded,)     the net's own array of padded parameters: the cache is keyed by its identity
    network : Network     architecture of the net
    plan_for : function (n_samples) -> Plan for the net
    """
    n = len(features)
    output = np.empty((n, network.n_outputs), params.dtype)
    last_params, last_n, prepared_call, last_network = buffers.prediction
    is_repeated = last_params is params and last_n == n and last_network is network
    if is_repeated and prepared_call is not None:
        prepared_call(features.reshape(-1), output.reshape(-1))
        return output
    data, flat, plan = inputs_only(features), output.reshape(-1), plan_for(n)
    plan.evaluate_alone(data, params, flat)
    if plan.n_threads == 1:  # preparing takes longer than three calls, so it waits for the second call
        prepared_call = plan.repeat_prediction(data, params, flat) if is_repeated else None
        buffers.prediction = params, n, prepared_call, network
    return output


def predicted_classes(outputs: Any, network: Network) -> Any:
    """Return class numbers (..., n_samples) for outputs (..., n_samples, n_outputs)."""
    if network.n_outputs > 1:
        return outputs.argmax(axis=-1)
    return (outputs[..., 0] > describe_net(network).class_threshold).astype(np.int64)
