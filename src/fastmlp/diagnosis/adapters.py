"""Adapters for nets of other libraries, which are recognised by their attributes, so that no library is imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS
from .model_under_test import ModelUnderTest, from_arrays, from_function, is_mlp, model_of_fastmlp

CHECKED_ROWS = 32  # samples with which the outputs of a PyTorch module or Keras model are compared
LARGEST_DEVIATION = 0.03  # mean one, relative to the mean output; modules of float16 and bfloat16 round
PASSED_OVER = ("Dropout", "InputLayer", "Flatten", "Identity", "AlphaDropout", "Activation")


def model_of_other_library(net: Any, X: np.ndarray, activations: Sequence[Any] | None, loss: Any) -> ModelUnderTest:
    """Return the model under test for a net that is not one of fastmlp.

    net : a fitted MLPClassifier or MLPRegressor of scikit-learn; a PyTorch module or Keras model of linear layers and
        activations; a list of arrays [W, b, W, b, ...] or of pairs (W, b), or a dictionary or state_dict of such
        arrays, with `activations`; or a forward function
    X : (n_samples, n_features) inputs, for their shape and for probing a function
    activations : name or function of z for each layer, including the output; None to read them from the net
    loss : name of the loss, or None for the usual one

    Raises
    ------
    ValueError
        If the net is none of these, or cannot be read.
    """
    if isinstance(activations, str) or callable(activations):
        activations = [activations]  # valid for a net of one layer; deeper nets need a list
    if hasattr(net, "coefs_") and hasattr(net, "intercepts_"):
        return _from_scikit_learn(net, loss)
    if hasattr(net, "layers") and callable(getattr(net, "get_weights", None)):  # a PyTorch module, too, on its backend
        return _from_keras(net, X, activations, loss)
    if callable(getattr(net, "named_modules", None)) and callable(getattr(net, "state_dict", None)):
        return _from_torch(net, X, activations, loss)
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
    if hasattr(net, "fit") and not hasattr(net, "coefs_") and hasattr(net, "hidden_layer_sizes"):
        raise ValueError("The estimator has no weights before fit: fit it, then diagnose it.")
    raise ValueError(
        "diagnose takes an MLP, a Population, a fitted scikit-learn MLP, a PyTorch or Keras model of dense "
        f"layers, a fitted estimator of this package, a list of arrays [W, b, W, b, ...] or of pairs (W, b) with "
        "activations=[...], or a forward function, "
        f"but it is {type(net).__name__}."
    )


def _is_pair(item: Any) -> bool:
    """Return whether an item of a list of weights is the pair (W, b) of a layer."""
    return isinstance(item, (list, tuple)) and len(item) == 2 and np.ndim(item[0]) == 2


def _on_host(array: Any) -> Any:
    """Return a tensor detached from gradients and copied to the host."""
    for step in ("detach", "cpu"):
        array = getattr(array, step, lambda current=array: current)()
    return array


def _from_scikit_learn(net: Any, loss: Any) -> ModelUnderTest:
    """Return the model for an estimator of scikit-learn, or one of fastmlp with one net, which knows more of it."""
    n_hidden = len(net.coefs_) - 1
    rows = [*[net.activation] * n_hidden, net.out_activation_]
    if loss is None and getattr(net, "loss", "") in ("log_loss", "poisson", "squared_error"):
        loss = "binary_cross_entropy" if (net.loss, rows[-1]) == ("log_loss", "logistic") else net.loss
    model = from_arrays(net.coefs_, net.intercepts_, rows, loss, type(net).__name__)
    own: Any = getattr(net, "net_", None)
    if not is_mlp(own):
        return model
    known = model_of_fastmlp(own.network, own.params[None], own.network.l2, np.asarray(own.network.dropout)[None])
    if loss in (None, net.loss):
        model = replace(model, loss=known.loss, loss_constant=known.loss_constant)
    return replace(model, dropout=known.dropout, label_smoothing=known.label_smoothing)


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


def _activation_name(layer: Any) -> str | None:
    """Return the name that an activation layer has in the table ACTIVATIONS, or None if it is another layer."""
    snake_case = "".join(c if c.islower() or not k else f"_{c}" for k, c in enumerate(type(layer).__name__)).lower()
    squeezed = snake_case.replace("_", "")
    known = {row.name.replace("_", ""): row.name for row in ACTIVATIONS}
    return known.get(squeezed)


def _name_of_own(module: Any) -> str | None:
    """Return the activation of a module that MLP.to_torch makes where PyTorch has none, or None for another module."""
    return module.name if type(module).__module__ == "fastmlp.export.to_torch" else None


def _from_torch(net: Any, X: np.ndarray, activations: Sequence[Any] | None, loss: Any) -> ModelUnderTest:
    X = X[:CHECKED_ROWS]
    weights, biases, names = [], [], []
    for _, module in net.named_modules(remove_duplicate=False):
        if next(iter(module.children()), None) is not None:
            continue
        if hasattr(module, "weight") and hasattr(module, "in_features"):
            weights.append(np.asarray(_on_host(module.weight)).T)
            bias = module.bias
            biases.append(np.zeros(len(module.weight)) if bias is None else np.asarray(_on_host(bias)))
            names.append("identity")
        elif names and (name := _activation_name(module) or _name_of_own(module)) is not None:
            names[-1] = _after(names[-1], name)
        elif type(module).__name__ not in PASSED_OVER:
            raise _not_dense(type(module).__name__)
    model = _model_of_layers(weights, biases, activations or names, loss, "PyTorch module")
    _check_outputs(_outputs_of_torch(net, X), model, X, "PyTorch module")
    return model


def _after(activation: str, name: str) -> str:
    """Return the activation of a layer after another one was found. Raises ValueError if there are two."""
    if name in ("identity", "linear"):
        return activation
    if activation not in ("identity", "linear"):
        raise _not_dense(f"{name} after {activation}")
    return name


def _outputs_of_torch(net: Any, X: np.ndarray) -> np.ndarray | None:
    """Return the outputs of a PyTorch module for X, (n_samples, n_outputs), or None if it does not take one array."""
    torch, modes = sys.modules.get("torch"), [(module, module.training) for module in net.modules()]
    like = next(net.parameters(), None)
    if torch is None or like is None:
        return None
    try:
        net.eval()
        with torch.no_grad():
            found = net(torch.as_tensor(X, dtype=like.dtype, device=like.device))
        return np.asarray(_on_host(found).double())
    except Exception:  # whatever a forward of its own raises
        return None
    finally:
        for module, mode in modes:
            module.training = mode


def _outputs_of_keras(net: Any, X: np.ndarray) -> np.ndarray | None:
    """Return the outputs of a Keras model for X, (n_samples, n_outputs), or None if it does not take one array."""
    try:
        return np.asarray(_on_host(net(X.astype(np.float32), training=False)), np.float64)
    except Exception:  # whatever a call of its own raises
        return None


def _check_outputs(expected: np.ndarray | None, model: ModelUnderTest, X: np.ndarray, kind: str) -> None:
    """Raise ValueError if a net's outputs are not those of the model that was read from it, or its logits.

    kind : what the message calls the net
    """
    if expected is None or expected.shape[:1] != X.shape[:1] or not np.isfinite(expected).all():
        return
    expected = expected.reshape(len(X), -1)
    zs, outputs = model.forward(X)
    found = [values[0] for values in (outputs[-1], zs[-1]) if values[0].shape == expected.shape]
    largest = LARGEST_DEVIATION * np.abs(expected).mean() + 1e-9
    if not any(np.abs(values - expected).mean() <= largest for values in found):
        raise ValueError(
            f"The outputs of the {kind} are not those of its layers one after another: its forward does something "
            "else, such as an activation without a layer of its own, or an activation has other settings than those of "
            "fastmlp. Give activations=[...], a name or a function for each layer, or its forward function: "
            "diagnose(lambda X: ..., X, y)."
        )


def _from_keras(net: Any, X: np.ndarray, activations: Sequence[Any] | None, loss: Any) -> ModelUnderTest:
    X = X[:CHECKED_ROWS]
    weights, biases, names = [], [], []
    for layer in net.layers:
        arrays = layer.get_weights()
        function = getattr(layer, "activation", None)  # or a layer that is one
        activation = getattr(function, "__name__", None) or (None if function is None else _activation_name(function))
        if activation is None and function is not None and activations is None:
            raise _not_dense(f"with the activation {type(function).__name__}")
        if arrays and arrays[0].ndim == 2 and len(arrays) <= 2 and hasattr(layer, "units"):
            weights.append(arrays[0])
            biases.append(arrays[1] if len(arrays) == 2 else np.zeros(arrays[0].shape[1]))
            names.append(activation or "identity")
        elif names and (name := activation or _activation_name(layer)) is not None:
            names[-1] = _after(names[-1], name)
        elif type(layer).__name__ not in PASSED_OVER:
            raise _not_dense(type(layer).__name__)
    model = _model_of_layers(weights, biases, activations or names, loss, "Keras model")
    _check_outputs(_outputs_of_keras(net, X), model, X, "Keras model")
    return model


def _not_dense(kind: str) -> ValueError:
    return ValueError(
        f"Only nets of dense layers and activations can be read, but this one has a layer {kind}. Give its forward "
        "function instead: diagnose(lambda X: ..., X, y)."
    )


def _model_of_layers(weights: list, biases: list, names: Sequence[Any], loss: Any, kind: str) -> ModelUnderTest:
    """Return the model for lists of arrays and activation names; kind : what messages call the net."""
    if not weights:
        raise _not_dense("that is not dense")
    return from_arrays(weights, biases, names, loss, kind)
