"""A net as a module of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS
from ..network.spec import Network
from .torch_layers import layer_of, nn, torch

if TYPE_CHECKING:
    from torch.nn import Sequential


def to_torch(network: Network, params: np.ndarray, logits: bool) -> Sequential:
    """Return the Sequential with copies of the parameters (n_params,), in evaluation mode; see MLP.to_torch."""
    layout, layers = network.layout, []
    dropout = (*network.dropout, 0.0)
    names = [ACTIVATIONS[code].name for code in network.activation_codes]
    for k, (W, b) in enumerate(zip(layout.weights(params), layout.biases(params), strict=True)):
        linear = nn.Linear(*W.shape, dtype=torch.from_numpy(b[:0]).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b.copy()))
        layers.append(linear)
        is_last = k == layout.n_layers - 1
        if names[k] != "identity" and not (is_last and logits):
            layers.append(layer_of(names[k]))
        if dropout[k]:
            layers.append(nn.Dropout(dropout[k]))
    return nn.Sequential(*layers).eval()
