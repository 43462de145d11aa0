"""Passes of one net in NumPy, in float64, samples as columns: for second-order steps, and derivatives by inputs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..structs import NetSpec
from .activations import ACTIVATIONS, SOFTMAX


class Layer(NamedTuple):
    value: Callable
    derivative: Callable
    needs_z: bool  # whether `derivative` is written in terms of the pre-activations
    offset: float  # constant by which `derivative` deliberately exceeds the true derivative
    weights: slice  # where its parameters are
    biases: slice
    shape: tuple[int, int]  # inputs, outputs


def layers_of(net: NetSpec) -> list[Layer]:
    layers = []
    for k, (n_in, n_out) in enumerate(pairwise(net.sizes.tolist())):
        row, w, b = ACTIVATIONS[net.activations[k]], int(net.weight_offsets[k]), int(net.bias_offsets[k])
        parameters = slice(w, w + n_in * n_out), slice(b, b + n_out)
        layers.append(Layer(row.value, row.derivative, row.needs_z, row.offset, *parameters, (n_in, n_out)))
    return layers


def forward(
    net: NetSpec, layers: list[Layer], params: np.ndarray, X: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return (inputs and outputs of all layers, pre-activations, which are log-probabilities with softmax).

    params : float64 (n_params,); X : float64 (n_features, n_samples)
    """
    a, z = [X], []
    for layer in layers:
        z.append(params[layer.weights].reshape(layer.shape).T @ a[-1] + params[layer.biases, None])
        a.append(layer.value(z[-1]))
    if net.activations[-1] == SOFTMAX:
        z[-1] = z[-1] - z[-1].max(axis=0)
        z[-1] = z[-1] - np.log(np.exp(z[-1]).sum(axis=0))
        a[-1] = np.exp(z[-1])
    return a, z


def activation_derivatives(layers: list[Layer], a: list[np.ndarray], z: list[np.ndarray]) -> list[np.ndarray]:
    """Return the derivatives of the activations, as training takes them; a, z : of `forward`"""
    return [layer.derivative(z[k] if layer.needs_z else a[k + 1]) for k, layer in enumerate(layers)]


def input_jacobian(net: NetSpec, params: np.ndarray, X: np.ndarray, outputs: list[int]) -> np.ndarray:
    """Return the derivatives of some outputs by the inputs, float64 (len(outputs), n_features, n_samples).

    params : float64 (n_params,); X : float64 (n_features, n_samples)
    """
    layers = layers_of(net)
    a, z = forward(net, layers, params, X)
    derivatives = [d - layer.offset for d, layer in zip(activation_derivatives(layers, a, z), layers, strict=True)]
    found = np.empty((len(outputs), *X.shape))
    for row, k in enumerate(outputs):
        delta = np.zeros_like(a[-1])
        if net.activations[-1] == SOFTMAX:
            delta -= a[-1] * a[-1][k]
            delta[k] += a[-1][k]
        else:
            delta[k] = derivatives[-1][k]
        for j in range(len(layers) - 1, -1, -1):
            if j < len(layers) - 1:
                delta *= derivatives[j]
            delta = params[layers[j].weights].reshape(layers[j].shape) @ delta
        found[row] = delta
    return found
