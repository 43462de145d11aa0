"""Description of a network as kernels see it: codes, sizes and offsets."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..kernels.structs import NetSpec
from ..network.spec import Network


@lru_cache(maxsize=64)
def describe_net(network: Network) -> NetSpec:
    """Return the network as kernels see it: codes, sizes and offsets."""
    rows = [ACTIVATIONS[code] for code in network.activation_codes]
    needs_z = [row.needs_z for row in rows]
    low, high = network.output_row.low, network.output_row.high
    finite = np.isfinite([low, high]).all()
    return NetSpec(
        n_layers=network.layout.n_layers,
        n_padded=network.layout.n_padded,
        sizes=np.array(network.layer_sizes, np.int64),
        activations=np.array(network.activation_codes, np.int64),
        weight_offsets=np.array(network.layout.weight_offsets, np.int64),
        bias_offsets=np.array(network.layout.bias_offsets, np.int64),
        keep_z=np.array([*needs_z[:-1], True], np.int64),
        derivative_needs_z=np.array(needs_z, np.int64),
        dropout=np.array([*network.dropout, 0.0], np.float64),
        loss=network.loss,
        loss_constant=network.loss_constant,
        delta_is_wrt_logit=network.loss_row.delta_is_wrt_logit,
        loss_width=1 if network.loss == SOFTMAX_CROSS_ENTROPY else network.n_outputs,
        class_threshold=(low + high) / 2 if finite else 0.5,
        margin=0.0,  # set where a convergence rule has one
        l2=network.l2,
    )
