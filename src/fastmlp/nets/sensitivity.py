"""Derivatives of the outputs of nets by their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.checked_samples import as_features, as_nets_features, on_host
from ..errors import counted, shown
from ..execution.plan import describe_net
from ..kernels.formulas.array_passes import input_jacobian
from ..runtime.memory_limits import check_array

PIECE = 2**18  # numbers of the widest layer that are computed at a time, for memory
JACOBIAN = "The derivatives", "Pass fewer samples, or compute the input_gradient of one output."


def derivatives(nets: Any, X: Any, output: Any = None) -> np.ndarray:
    """Return the derivatives of one output, or of all, (n_samples, n_outputs, n_features).

    nets : MLP, or Population, of which the result has a leading axis
    """
    network, n_nets = nets.network, getattr(nets, "n_nets", 0)
    outputs = list(range(network.n_outputs)) if output is None else [checked_output(output, network.n_outputs)]
    if n_nets:
        features, stride = as_nets_features(X, network.n_features, nets.dtype, n_nets)
    else:
        features, stride = as_features(X, network.n_features, nets.dtype), 0
    rows = on_host(features).astype(np.float64)
    samples = rows.reshape(n_nets, -1, rows.shape[1]) if stride else [rows] * max(1, n_nets)
    shape = max(1, n_nets), len(samples[0]), len(outputs), network.n_features
    check_array(shape, nets.dtype.itemsize, *JACOBIAN)
    found, net, size = np.empty(shape, nets.dtype), describe_net(network), max(1, PIECE // max(network.layer_sizes))
    for k, params in enumerate(nets.params.reshape(shape[0], -1).astype(np.float64)):
        for first in range(0, shape[1], size):
            part = np.ascontiguousarray(samples[k][first : first + size].T)
            with np.errstate(over="ignore", invalid="ignore"):  # in branches of formulas that are not taken
                found[k, first : first + size] = input_jacobian(net, params, part, outputs).transpose(2, 0, 1)
    return found if n_nets else found[0]


def checked_output(output: Any, n_outputs: int) -> int:
    """Return the number of an output; ValueError if there is no such output."""
    if isinstance(output, bool) or not isinstance(output, (int, np.integer)) or not 0 <= output < n_outputs:
        raise ValueError(
            f"output must be the number of an output, from 0 to {n_outputs - 1} since the net has "
            f"{counted(n_outputs, 'output')}, but it is {shown(output)}."
        )
    return int(output)
