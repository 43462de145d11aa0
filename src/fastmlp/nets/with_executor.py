"""Predictions of MLP and Population with an executor, whose workers compute, and what all uses of one share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..data.arrays import as_numbers
from ..data.checked_samples import as_features, inputs_only
from ..data.population_data import Strides
from ..devices import Device, device_of
from ..kernels.structs import Samples
from ..runtime.memory_check import OUTPUTS, check_array
from .net_base import NetBase

ON_WORKERS = Device("cpu", "the workers of an executor compute on CPUs")
OF_FITS_ON_WORKERS = Device("cpu", "each worker of the executor finds its device; the program has the nets on its CPU")


def for_workers(X: Any) -> Any:
    """Return X as it is sent to the workers of an executor: an array on a GPU is copied to the host."""
    return X if device_of(X) is None else as_numbers(X, "X")


def device_on_workers(net: NetBase) -> Device:
    """Return the device of what workers do net by net or row by row: the one that the user named; CPUs for "auto"."""
    return ON_WORKERS if net._named_device == "auto" else net.device


def workers_for(executor: Any) -> AbstractContextManager[Any]:
    """Return a context with the workers of an executor, which get an array once in several calls; None stays None."""
    if executor is None:
        return nullcontext()
    from ..executors.executor_kinds import workers_of  # here and below: other processes need not import it

    return workers_of(executor)


def predict_with_executor(
    executor: Any, net: NetBase, data: Samples, strides: Strides, members: np.ndarray, output: np.ndarray
) -> None:
    """Write the outputs of nets, computed on the workers of an executor; arguments are those of WorkersPrediction."""
    from .workers_prediction import WorkersPrediction

    params = net.params.reshape(-1, net.network.layout.n_params)  # a view, also of one net
    with workers_for(executor) as workers:
        given = net.network, net.device, params, data, strides, members, net.precision, output
        WorkersPrediction(workers, *given).run()


def outputs_of_net(net: NetBase, X: Any, executor: Any) -> np.ndarray:
    """Return the outputs (n_samples, n_outputs) of one net, computed on the workers of an executor."""
    network, features = net.network, as_features(for_workers(X), net.network.n_features, net.dtype)
    shape = len(features), network.n_outputs
    check_array(shape, net.dtype.itemsize, *OUTPUTS)
    net.device = device_on_workers(net)
    output = np.empty((1, *shape), net.dtype)
    predict_with_executor(executor, net, inputs_only(features), (0, 0, 0), np.zeros(1, np.int64), output)
    return output[0]
