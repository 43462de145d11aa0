"""A net as a module of PyTorch: its own layers where it has them, otherwise modules that compute a formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS, CODES, LEAK
from ..kernels.formulas.operands import retargeted, with_composed
from ..kernels.formulas.own_rows import OwnActivation, code_of
from ..network.spec import Network

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("Modules of PyTorch need the package torch, which pytorch.org says how to install.") from error

# PyTorch's class of an activation, and the settings with which it computes the formula of the table.
LAYERS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "identity": (nn.Identity, {}),
    "sigmoid": (nn.Sigmoid, {}),
    "tanh": (nn.Tanh, {}),
    "relu": (nn.ReLU, {}),
    "leaky_relu": (nn.LeakyReLU, {"negative_slope": LEAK}),
    "elu": (nn.ELU, {"alpha": 1.0}),
    "selu": (nn.SELU, {}),
    "gelu": (nn.GELU, {"approximate": "none"}),
    "silu": (nn.SiLU, {}),
    "softplus": (nn.Softplus, {"beta": 1.0, "threshold": 20.0}),
    "softsign": (nn.Softsign, {}),
    "softmax": (nn.Softmax, {"dim": -1}),
}


FUNCTIONS: dict[str, Callable] = with_composed(
    {
        "where": torch.where,
        "sqrt": torch.sqrt,
        "absolute": torch.abs,
        "exp": torch.exp,
        "expm1": torch.expm1,
        "log": torch.log,
        "log1p": torch.log1p,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": nn.functional.softplus,
        "normal_cdf": torch.special.ndtr,
    }
)


class Activation(nn.Module):
    """An activation that PyTorch lacks, such as symmetric_sigmoid; PyTorch finds the derivative of its formula.

    own : what an own formula is made from
    """

    def __init__(self, name: str, own: OwnActivation | None = None):
        super().__init__()
        self.name, self.own = name, own

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        code = CODES[self.name] if self.own is None else code_of(self.own)
        return retargeted(ACTIVATIONS[code].value, FUNCTIONS)(z)

    def extra_repr(self) -> str:
        return repr(self.name)


def name_of(layer: nn.Module) -> str | None:
    """Return the activation that a layer computes, by its name in the table; None if there is none.

    Raises
    ------
    ValueError
        If the layer is an activation of the table with other settings.
    """
    if isinstance(layer, Activation):
        return layer.name
    for name, (cls, settings) in LAYERS.items():
        if type(layer) is cls:
            for key, value in settings.items():
                own = getattr(layer, key)
                if own != value and not (key == "dim" and own == 1):
                    raise ValueError(
                        f"A layer {layer} cannot be taken: fastmlp's {name} has {key}={value}, but this one {own}."
                    )
            return name
    return None


def to_torch(network: Network, params: np.ndarray, logits: bool) -> nn.Sequential:
    """Return the Sequential with copies of the parameters (n_params,), in evaluation mode; see MLP.to_torch."""
    layout, layers = network.layout, []
    dropout = (*network.dropout, 0.0)
    rows = [ACTIVATIONS[code] for code in network.activation_codes]
    for k, (W, b) in enumerate(zip(layout.weights(params), layout.biases(params), strict=True)):
        linear = nn.Linear(*W.shape, dtype=torch.from_numpy(b[:0]).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b.copy()))
        layers.append(linear)
        is_last = k == layout.n_layers - 1
        if rows[k].name != "identity" and not (is_last and logits):
            layer, settings = LAYERS.get(rows[k].name, (Activation, {"name": rows[k].name, "own": rows[k].own}))
            layers.append(layer(**settings))
        if dropout[k]:
            layers.append(nn.Dropout(dropout[k]))
    return nn.Sequential(*layers).eval()
