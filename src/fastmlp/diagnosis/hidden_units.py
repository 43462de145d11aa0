"""Measurements of hidden units: saturated, dead and duplicate ones, for all nets of a model at once."""

from __future__ import annotations

import numpy as np

from ..kernels.formulas.activations import Activation
from .model_under_test import ModelUnderTest, activation_derivative

FLAT_DERIVATIVE = 0.03  # fraction of the largest derivative of an activation below which a unit is saturated
DUPLICATE_DISTANCE = 1e-4  # units are duplicates if their weights differ by less than this fraction of their length
HIDDEN_EVIDENCE = ("saturated", "saturated_layer", "dead", "dead_layer", "duplicates", "duplicates_layer")


def measure_hidden_units(
    model: ModelUnderTest, zs: list[np.ndarray], outputs: list[np.ndarray]
) -> dict[str, np.ndarray]:
    n_nets, layers = model.n_nets, model.layers(model.params)
    unknown = np.full((1, n_nets), np.nan)
    saturated, dead, duplicates = [unknown[0]], [unknown[0]], [unknown[0]]
    for k, row in enumerate(model.activations[:-1]):
        derivatives = np.abs(model.derivatives(k, zs[k], outputs[k]))
        if np.isfinite([row.low, row.high]).all():
            saturated.append((derivatives < FLAT_DERIVATIVE * largest_derivative(row)).mean(axis=(1, 2)))
        else:
            saturated.append(unknown[0])
        dead.append((derivatives.max(axis=1) < 1e-6).mean(axis=1) if has_dead_side(row) else unknown[0])
        W, b = layers[k]
        outgoing, _ = layers[k + 1]
        units = np.concatenate([W.transpose(0, 2, 1), b[:, :, None], outgoing], axis=2)
        duplicates.append(duplicate_fraction(units))
    evidence = {}
    for name, fractions in zip(HIDDEN_EVIDENCE[::2], (saturated, dead, duplicates), strict=True):
        table = np.stack(fractions)
        known = np.where(np.isnan(table), -1.0, table)
        worst_layer = known.argmax(axis=0)
        evidence[name] = table[worst_layer, np.arange(n_nets)]
        evidence[f"{name}_layer"] = worst_layer.astype(np.float64)
    return evidence


def largest_derivative(row: Activation) -> float:
    z = np.linspace(-5, 5, 201)
    return float(np.abs(activation_derivative(row, z, np.asarray(row.value(z)))).max())


def has_dead_side(row: Activation) -> bool:
    """Return whether the activation is exactly flat for negative z, as relu is."""
    z = np.array([-3.0, -1.0])
    return bool((activation_derivative(row, z, np.asarray(row.value(z))) == 0.0).all())


def duplicate_fraction(units: np.ndarray) -> np.ndarray:
    """Return the fraction of units with the same weights as another unit of their layer, (n_nets,).

    Two random projections are compared instead of all pairs. Units whose weights are all zero count as equal.

    units : (n_nets, n_units, n_weights) incoming weights, bias and outgoing weights of each unit
    """
    n_units = units.shape[1]
    if n_units < 2:
        return np.zeros(len(units))
    directions = np.random.default_rng(4).normal(size=(units.shape[2], 2)) / np.sqrt(units.shape[2])
    with np.errstate(all="ignore"):
        projections = units @ directions
        order = projections[:, :, 0].argsort(axis=1)
        sorted_projections = np.take_along_axis(projections, order[:, :, None], axis=1)
        length = np.sqrt((units**2).mean(axis=(1, 2)))[:, None]
        is_close = (np.abs(np.diff(sorted_projections, axis=1)) <= DUPLICATE_DISTANCE * length[:, :, None]).all(axis=2)
    return (np.pad(is_close, ((0, 0), (1, 0))) | np.pad(is_close, ((0, 0), (0, 1)))).mean(axis=1)
