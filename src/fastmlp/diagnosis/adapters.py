"""Adapters: nets of fastmlp and of other libraries, arrays and functions as models under test.

Nets of other libraries are recognised by their attributes, so that no library is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import unknown_name
from ..kernels.formulas.activations import ACTIVATIONS, ActivationRow
from ..kernels.formulas.activations import CODES as ACTIVATION_CODES
from ..kernels.formulas.losses import CODES as LOSS_CODES
from ..kernels.formulas.losses import LOSSES, LossRow
from ..network.parameter_layout import Layout
from .model_under_test import ModelUnderTest, as_outputs, model_of_fastmlp

USUAL_LOSS = {"sigmoid": "binary_cross_entropy", "softmax": "softmax_cross_entropy", "exponential": "poisson"}
PROBES = np.concatenate([-np.geomspace(1e4, 1e-3, 200), np.geomspace(1e-3, 1e4, 200)])  # to find a function's bounds
UNBOUNDED = 100.0  # a function that exceeds this on PROBES counts as unbounded


def model_of(net: Any, X: np.ndarray, y: Any, activations: Sequence[Any] | None, loss: Any) -> ModelUnderTest:
    """Return the model under test for a net.

    net : an MLP or a Population; a fitted MLPClassifier or MLPRegressor of scikit-learn; a PyTorch module of linear
        layers and activations; a list of arrays [W, b, W, b, ...] or of pairs (W, b), or a dictionary or state_dict of
        such arrays, or a Keras model or a PyTorch module with such arrays, with `activations`; or a forward function
    X : (n_samples, n_features) inputs, for their shape and for probing a function
    y : targets, which show whether the loss of a PyTorch module has to be named
    activations : name or function of z for each layer, including the output; None to read them from the net
    loss : name of the loss, or None for the usual one

    Raises
    ------
    ValueError
        If the net is none of these, or cannot be read.
    """
    if hasattr(net, "network"):
        return _of_fastmlp(net)
    if isinstance(activations, str) or callable(activations):
        activations = [activations]  # valid for a net of one layer; deeper nets need a list
    if hasattr(net, "coefs_") and hasattr(net, "intercepts_"):
        return _from_scikit_learn(net, loss)
    if callable(getattr(net, "get_weights", None)):  # a Keras model
        net = net.get_weights()
    elif callable(getattr(net, "named_modules", None)):
        if activations is None:
            return _from_torch(net, y, loss)
        net = net.state_dict()
    if isinstance(net, Mapping):
        is_state_dict = all(hasattr(array, "detach") for array in net.values())  # whose W are (fan_out, fan_in)
        tensors = [np.asarray(_on_host(array)) for array in net.values()]
        return _from_list([array.T for array in tensors] if is_state_dict else tensors, X, activations, loss)
    if isinstance(net, Sequence) and not isinstance(net, str) and len(net):
        arrays = [array for pair in net for array in pair] if all(map(_is_pair, net)) else net
        return _from_list([np.asarray(_on_host(array)) for array in arrays], X, activations, loss)
    if callable(net):
        return from_function(net, X, loss)
    if isinstance(net, (str, os.PathLike)):
        raise ValueError(f"diagnose takes a net, not the name of a file: load it first, by fastmlp.load({str(net)!r}).")
    if hasattr(net, "fit") and hasattr(net, "hidden_layer_sizes"):
        raise ValueError("The estimator has no weights before fit: fit it, then diagnose it.")
    raise ValueError(
        "diagnose takes an MLP, a Population, a fitted estimator of this package, a fitted scikit-learn MLP, a PyTorch "
        "module of linear layers, a list of arrays [W, b, W, b, ...] or of pairs (W, b), or a Keras model, with "
        f"activations=[...], or a forward function, but it is {type(net).__name__}."
    )


def _of_fastmlp(net: Any) -> ModelUnderTest:
    network = net.network
    if hasattr(net, "n_nets"):
        dropout = np.broadcast_to(np.asarray(net.dropout)[..., None], (net.n_nets, network.n_hidden_layers))
        return model_of_fastmlp(network, net.params, net.l2, dropout)
    return model_of_fastmlp(network, net.params[None], network.l2, np.asarray(network.dropout)[None])


def _is_pair(item: Any) -> bool:
    """Return whether an item of a list of weights is the pair (W, b) of a layer."""
    return isinstance(item, (list, tuple)) and len(item) == 2 and np.ndim(item[0]) == 2


def _on_host(array: Any) -> Any:
    """Return a tensor detached from gradients and copied to the host."""
    for step in ("detach", "cpu"):
        array = getattr(array, step, lambda current=array: current)()
    return array


def _from_scikit_learn(net: Any, loss: Any) -> ModelUnderTest:
    rows = [*[net.activation] * (len(net.coefs_) - 1), net.out_activation_]
    if loss is None and getattr(net, "loss", "") in ("log_loss", "poisson", "squared_error"):
        loss = "binary_cross_entropy" if (net.loss, rows[-1]) == ("log_loss", "logistic") else net.loss
    return from_arrays(net.coefs_, net.intercepts_, rows, loss)


def _from_torch(module: Any, y: Any, loss: Any) -> ModelUnderTest:
    """Return the model for a PyTorch module that from_torch can take.

    A module that ends without an activation, with labels as y, probably ends in logits: its loss must be named.
    """
    from ..export.from_torch import from_torch

    try:
        net = from_torch(module, loss=loss, device="cpu")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{error} Or give diagnose activations=[...], a name or a function for each layer, or the forward function "
            "of the module: diagnose(lambda X: ..., X, y)."
        ) from None
    labels, n_outputs = np.asarray(y), net.network.n_outputs
    are_labels = labels.dtype.kind in "biu" or (labels.ndim == 1 and n_outputs > 1)
    if loss is None and are_labels and net.network.output_row.name == "identity":
        usual = "softmax_cross_entropy" if n_outputs > 1 else "binary_cross_entropy"
        raise ValueError(
            "The PyTorch module ends without an activation and y holds labels, so its loss must be named: "
            f"loss={usual!r} if the outputs are logits, loss='squared_error' if they are trained as numbers."
        )
    return _of_fastmlp(net)


def _from_list(
    arrays: Sequence[np.ndarray], X: np.ndarray, activations: Sequence[Any] | None, loss: Any
) -> ModelUnderTest:
    """Return the model for [W, b, W, b, ...] or [W, W, ...]: W (fan_in, fan_out), or all transposed as in PyTorch."""
    chain = lambda Ws: Ws[0].shape[0] == X.shape[1] and all(a.shape[1] == b.shape[0] for a, b in pairwise(Ws))
    fits = lambda Ws: chain(Ws) or chain([W.T for W in Ws])
    if all(array.ndim == 2 for array in arrays) and not fits(arrays):
        arrays = _with_flat_biases(arrays)
    weights = [array for array in arrays if array.ndim == 2]
    biases = [array for array in arrays if array.ndim == 1]
    if not weights or any(array.ndim not in (1, 2) for array in arrays) or len(biases) not in (0, len(weights)):
        raise ValueError(
            "Weights should be a list [W, b, W, b, ...] of 2-D and 1-D arrays in the order of the layers, but they "
            f"have shapes {[array.shape for array in arrays]}."
        )
    if activations is None:
        raise ValueError(
            "Weights alone do not determine the outputs: give activations=['tanh', 'sigmoid'], a name or a "
            "function per layer, the output's last."
        )
    if not chain(weights) and fits(weights):
        weights = [W.T for W in weights]
    biases = biases or [np.zeros(W.shape[1]) for W in weights]
    return from_arrays(weights, biases, activations, loss)


def _with_flat_biases(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Return [W, b, W, b, ...] with biases of shape (n,) instead of (n, 1) or (1, n), as in nets written by hand."""
    pairs = list(zip(arrays[::2], arrays[1::2], strict=False))
    if len(arrays) % 2 or not all(1 in b.shape and b.size in W.shape for W, b in pairs):
        return arrays
    return [array for W, b in pairs for array in (W, b.reshape(-1))]


def activation_row(activation: Any, *, hidden: bool) -> ActivationRow:
    """Return the table row of an activation.

    activation : name of the activation, or a function of z
    hidden : whether the activation is that of a hidden layer

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if callable(activation) and not isinstance(activation, type):
        return own_activation(activation)
    name = {"linear": "identity", "logistic": "sigmoid", "none": "identity"}.get(
        str(activation).lower(), str(activation).lower()
    )
    name = name.replace("leakyrelu", "leaky_relu").replace("swish", "silu")
    choices = [row.name for row in ACTIVATIONS if row.hidden or not hidden]
    if name not in choices:
        raise unknown_name("activation", activation, choices)
    return ACTIVATIONS[ACTIVATION_CODES[name]]


def own_activation(function: Callable[[np.ndarray], Any]) -> ActivationRow:
    """Return a table row for a function of z: bounds are found by trying it, the derivative is a central difference."""

    def value(z: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(function(z.copy()), np.float64)  # a copy: it may compute in place

    def derivative(z: np.ndarray) -> np.ndarray:
        return (value(z + 1e-6) - value(z - 1e-6)) / 2e-6

    tried = value(PROBES)
    tried = tried[np.isfinite(tried)] if tried.shape == PROBES.shape else np.array([np.nan])
    low, high = (float(np.min(tried)), float(np.max(tried))) if tried.size else (np.nan, np.nan)
    low, high = (-np.inf if not low > -UNBOUNDED else low), (np.inf if not high < UNBOUNDED else high)
    return ActivationRow(getattr(function, "__name__", "function").strip("<>"), value, derivative, low, high)


def loss_row(name: Any, output: ActivationRow | None = None) -> LossRow:
    """Return the table row of a loss; for name None, the usual loss for the output activation."""
    if name is None:
        name = USUAL_LOSS.get(output.name, "squared_error") if output is not None else "squared_error"
    names = {"mse": "squared_error", "log_loss": "softmax_cross_entropy", "binary_log_loss": "binary_cross_entropy"}
    name = names.get(name, name)
    if not isinstance(name, str) or name not in LOSS_CODES:
        raise unknown_name("loss", name, LOSS_CODES)
    return LOSSES[LOSS_CODES[name]]


def from_arrays(
    weights: Sequence[np.ndarray], biases: Sequence[np.ndarray], activations: Sequence[Any], loss: Any = None
) -> ModelUnderTest:
    """Return the model for one net given by arrays.

    weights : W (fan_in, fan_out) of each layer
    biases : b (fan_out,) of each layer
    activations : name or function of z for each layer, including the output
    loss : name of the loss, or None for the usual one

    Raises
    ------
    ValueError
        If layer sizes do not match, the number of activations differs from that of layers, or the loss is not defined
        for the output activation.
    """
    weights = [np.asarray(W, np.float64) for W in weights]
    biases = [np.asarray(b, np.float64).reshape(-1) for b in biases]
    sizes = [weights[0].shape[0], *(W.shape[1] for W in weights)]
    for k, (W, b) in enumerate(zip(weights, biases, strict=True), start=1):
        if W.shape != (sizes[k - 1], sizes[k]) or b.shape != (sizes[k],):
            raise ValueError(
                f"Layer {k} should have W of shape (fan_in, fan_out) = ({sizes[k - 1]}, {sizes[k]}) and b of shape "
                f"({sizes[k]},), but they have {W.shape} and {b.shape}. Transpose W where it is (fan_out, fan_in)."
            )
    if len(activations) != len(weights):
        raise ValueError(
            f"activations should be a list with a name or a function per layer, the output's last, such as "
            f"['tanh', 'sigmoid'], but it names {len(activations)} where the layers are {len(weights)}."
        )
    rows = [activation_row(name, hidden=k < len(weights) - 1) for k, name in enumerate(activations)]
    row = loss_row(loss, rows[-1])
    rows[-1] = _output_of_loss(rows[-1], row)
    if (row.name == "softmax_cross_entropy") != (rows[-1].name == "softmax"):
        raise ValueError(
            f"loss {row.name!r} does not go with the output activation {rows[-1].name!r}: softmax_cross_entropy and "
            "softmax belong together."
        )
    params = np.concatenate([array.reshape(-1) for pair in zip(weights, biases, strict=True) for array in pair])[None]
    return ModelUnderTest(Layout(tuple(sizes)), params, tuple(rows), row)


def _output_of_loss(output: ActivationRow, loss: LossRow) -> ActivationRow:
    """Return the output activation: that of the loss for a net that ends in logits, whose output is the identity.

    Raises
    ------
    ValueError
        If it is a row of the table that the loss is not defined for.
    """
    is_own = output.name not in ACTIVATION_CODES
    if not loss.outputs or output.name in loss.outputs or is_own:
        return output
    if output.name == "identity":
        return ACTIVATIONS[ACTIVATION_CODES[loss.outputs[0]]]
    raise ValueError(
        f"loss {loss.name!r} does not go with the output activation {output.name!r}, but with {loss.outputs[0]!r}. "
        "Name the loss that the net was trained with."
    )


def from_function(function: Callable[..., Any], X: np.ndarray, loss: Any = None) -> ModelUnderTest:
    """Return the model for a forward function, of which only the outputs are known."""
    outputs = as_outputs(function(X), len(X))
    empty = ActivationRow("unknown", lambda z: z, lambda z: np.ones_like(z), -np.inf, np.inf)
    layout = Layout((X.shape[1], outputs.shape[1]))
    row = loss_row(loss)
    return ModelUnderTest(layout, np.zeros((1, 0)), (empty,), row, function=function)
