"""A module of PyTorch as a net."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import counted
from ..kernels.formulas.losses import LOSSES
from ..mlp import MLP

SCALE_FREE = ("relu", "leaky_relu")  # dropout before these activations is dropout after them


@dataclass
class _Layer:
    """A linear layer that was read: W (fan_in, fan_out), b (fan_out,), and what follows it."""

    W: np.ndarray
    b: np.ndarray
    activation: str | None = None
    dropout: float = 0.0


def from_torch(module: Any, *, loss: str | None = None, device: str = "auto") -> MLP:
    """Return an MLP with the layers and a copy of the parameters of a PyTorch module; MLP.to_torch is the inverse.

    The module is one that exists in memory. fastmlp reads no files of PyTorch, since loading one may execute code.

    Parameters
    ----------
    module : torch.nn.Sequential or torch.nn.Linear
        Linear layers with at most one activation after each, which fastmlp.MLP has too, and Dropout, in the order in
        which they are applied. Sequential modules may be nested. Parameters are float32 or float64.
    loss : str, optional
        Loss for later training. By default it is the one that belongs to the last activation: softmax_cross_entropy,
        binary_cross_entropy, poisson or squared_error. A module that ends in logits gets the output activation of the
        loss: softmax with "softmax_cross_entropy", sigmoid with "binary_cross_entropy".
    device : str, default "auto"
        As for MLP.

    Returns
    -------
    MLP
        A net without history.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If the argument is no Sequential and no Linear.
    ValueError
        If a layer has no counterpart in fastmlp, or the loss does not fit the last activation.

    Examples
    --------
    >>> import fastmlp
    >>> from torch import nn  # doctest: +SKIP
    >>> module = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))  # doctest: +SKIP
    >>> fastmlp.from_torch(module, loss="softmax_cross_entropy").network.layer_sizes  # doctest: +SKIP
    (2, 8, 3)
    """
    from .to_torch import nn

    if not isinstance(module, (nn.Sequential, nn.Linear)):
        raise TypeError(
            "from_torch takes a torch.nn.Sequential of Linear layers and activations that is in memory, but got "
            f"{type(module).__name__}."
        )
    layers: list[_Layer] = []
    for layer in _leaves(module):
        _add(layer, layers)
    if not layers:
        raise ValueError("The module has no Linear layer, so there is no net in it.")
    if layers[-1].dropout:
        raise ValueError("Dropout follows the last layer; a net of fastmlp has dropout in hidden layers only.")
    output = layers[-1].activation
    if output is not None and loss is None:
        loss = next((row.name for row in LOSSES if row.outputs[:1] == (output,)), None)
    net = MLP(
        (len(layers[0].W), *(len(layer.b) for layer in layers)),
        hidden_activation=[layer.activation or "identity" for layer in layers[:-1]],
        output_activation=output,
        loss=loss or "squared_error",
        dropout=[layer.dropout for layer in layers[:-1]],
        dtype=layers[0].W.dtype.name,
        device=device,
        init="zeros",
        random_state=0,
    )
    for k, layer in enumerate(layers):
        net.weights[k][...] = layer.W
        net.biases[k][...] = layer.b
    return net


def _leaves(module: Any) -> Iterator[Any]:
    """Yield the layers of nested Sequential modules, in the order in which they are applied.

    Raises
    ------
    ValueError
        If a module may compute something else than its kind of module does.
    """
    from .to_torch import nn

    kind = next((kind for kind in (nn.Sequential, nn.Linear) if isinstance(module, kind)), type(module))
    if type(module).forward is not kind.forward or module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(
            f"A {type(module).__name__} has a forward of its own or hooks, so that it may compute something else than "
            f"{kind.__name__}. Make a torch.nn.{kind.__name__} with its parameters."
        )
    if kind is nn.Sequential:
        for child in module:
            yield from _leaves(child)
    else:
        yield module


def _add(layer: Any, layers: list[_Layer]) -> None:
    """Add a linear layer to those before it, or an activation or a dropout to the last of them."""
    from .to_torch import name_of, nn

    if isinstance(layer, nn.Linear):
        layers.append(_linear(layer))
        W, before = layers[-1].W, layers[-2].W if len(layers) > 1 else None
        if before is not None and before.shape[1] != W.shape[0]:
            raise ValueError(
                f"A Linear layer takes {counted(W.shape[0], 'input')}, but the one before has "
                f"{counted(before.shape[1], 'output')}."
            )
        if before is not None and before.dtype != W.dtype:
            raise ValueError("The Linear layers have different dtypes: use module.float() or module.double().")
        return
    is_dropout = isinstance(layer, nn.Dropout)
    name = None if is_dropout else name_of(layer)
    if name is None and not is_dropout:
        raise ValueError(
            f"A layer {type(layer).__name__} cannot be taken: a net of fastmlp has Linear layers, activations and "
            "Dropout."
        )
    if name == "identity":
        return
    if not layers:
        raise ValueError(f"The module begins with {layer}; a net of fastmlp begins with a Linear layer.")
    last = layers[-1]
    if is_dropout:
        last.dropout = 1.0 - (1.0 - last.dropout) * (1.0 - layer.p) if last.dropout else layer.p
    elif last.dropout and name not in SCALE_FREE:
        raise ValueError(f"Dropout stands before {layer}; in a net of fastmlp it follows the activation.")
    elif last.activation is None:
        last.activation = name
    else:
        raise ValueError(f"Two activations follow each other, {last.activation} and {name}; a layer has one.")


def _linear(layer: Any) -> _Layer:
    W = layer.weight.detach().cpu()
    dtype = str(W.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"The parameters should be float32 or float64, but they are {dtype}: use module.float().")
    W = W.numpy().T
    return _Layer(W, np.zeros(W.shape[1], W.dtype) if layer.bias is None else layer.bias.detach().cpu().numpy())
