"""Measurements of units and outputs, for all nets of a model at once.

Hidden units may be saturated, dead, or copies of another; outputs may be merged, and depend on dropout masks.

Outputs are merged where samples with different targets get the same one, a sign of a local minimum on few samples. If
hidden units are inactive or saturated for several samples, these samples get the same output, and training moves it to
the mean of their targets. There the gradient is zero, and more training changes nothing. The local minima of XOR are of
this kind: with cross-entropy, ln 2 / 2 for two samples that share the output 1/2, and 0.477 for three that share 2/3 or
1/3.
"""

from __future__ import annotations

import numpy as np

from ..kernels.formulas.activations import ActivationRow
from .model_under_test import ModelUnderTest, activation_derivative

FLAT_DERIVATIVE = 0.03  # fraction of the largest derivative of an activation below which a unit is saturated
DUPLICATE_DISTANCE = 1e-4  # units are duplicates if their weights differ by less than this fraction of their length
HIDDEN = ("saturated_units", "dead_units", "duplicate_units")
MAX_SAMPLES = 64  # largest number of samples whose outputs are compared pair by pair
EQUAL = 0.02  # outputs that differ by at most this fraction of the targets' range count as equal
DRAWS = 32  # number of dropout masks; the standard deviation is then known to about an eighth


def measure_hidden_units(
    model: ModelUnderTest, zs: list[np.ndarray], outputs: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the fractions of HIDDEN units, of the layer with the most of them, and this layer, counted from 1."""
    layers, unknown = model.layers(model.params), np.full(model.n_nets, np.nan)
    rows = [(unknown, unknown, unknown)]
    for k, row in enumerate(model.activations[:-1]):
        derivatives = np.abs(activation_derivative(row, zs[k], outputs[k]))
        is_bounded = np.isfinite([row.low, row.high]).all()
        saturated = (derivatives < FLAT_DERIVATIVE * largest_derivative(row)).mean(axis=(1, 2))
        dead = (derivatives.max(axis=1) < 1e-6).mean(axis=1)
        (W, b), (outgoing, _) = layers[k], layers[k + 1]
        units = np.concatenate([W.transpose(0, 2, 1), b[:, :, None], outgoing], axis=2)
        rows.append(
            (saturated if is_bounded else unknown, dead if has_dead_side(row) else unknown, duplicate_fraction(units))
        )
    nets = np.arange(model.n_nets)
    fractions: dict[str, np.ndarray] = {}
    for name, table in zip(HIDDEN, np.stack(rows, axis=1), strict=True):
        worst_layer = np.where(np.isnan(table), -1.0, table).argmax(axis=0)
        fractions |= {name: table[worst_layer, nets], f"layer_of_{name}": worst_layer.astype(np.float64)}
    return fractions


def largest_derivative(row: ActivationRow) -> float:
    z = np.linspace(-5, 5, 201)
    return float(np.abs(activation_derivative(row, z, np.asarray(row.value(z)))).max())


def has_dead_side(row: ActivationRow) -> bool:
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


def merged_fraction(outputs: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the fraction of samples with a merged output, (n_nets,); NaN for more than MAX_SAMPLES samples, and if all
    targets are equal.

    An output is merged if samples with different targets have it, and if it is the mean of the targets of all samples
    that have it.

    outputs : (n_nets, n_samples, n_outputs)
    Y : (n_samples, n_outputs) targets
    """
    tolerance = EQUAL * float(Y.max() - Y.min())
    if len(Y) > MAX_SAMPLES or not tolerance > 0:
        return np.full(len(outputs), np.nan)
    have_other_targets = np.abs(Y[:, None] - Y[None]).max(axis=2) > tolerance
    with np.errstate(invalid="ignore"):
        have_equal_outputs = np.abs(outputs[:, :, None] - outputs[:, None]).max(axis=3) <= tolerance
        means = have_equal_outputs.astype(np.float64) @ Y / np.maximum(have_equal_outputs.sum(axis=2, keepdims=True), 1)
        at_mean = np.abs(outputs - means).max(axis=2) <= tolerance
    return ((have_equal_outputs & have_other_targets).any(axis=2) & at_mean).mean(axis=1)


@np.errstate(all="ignore")  # exploded nets are measured too
def draw_masks(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> dict[str, np.ndarray]:
    """Estimate the effect of dropout from DRAWS random masks, (n_nets,) each; 0 without dropout.

    mask_noise : standard deviation over masks of the loss of all samples
    mask_share : fraction of the outputs' variance that is due to masks; the rest is due to the inputs
    mask_loss : mean loss under masks, which training lowers and records
    """
    effects = np.zeros((3, model.n_nets))
    if np.any(model.dropout):
        rng = np.random.default_rng(7)
        losses, shape = [], (model.n_nets, len(Y), model.n_outputs)
        total, squares = np.zeros(shape), np.zeros(shape)
        for _ in range(DRAWS):
            zs, outputs = model.forward(X, rng=rng)
            losses.append(model.losses(zs[-1], outputs[-1], Y))
            total += outputs[-1]
            squares += outputs[-1] ** 2
        mean = total / DRAWS
        by_masks = (squares / DRAWS - mean**2).mean(axis=(1, 2)) * DRAWS / (DRAWS - 1)
        # The variance over the samples, less the contribution of the masks to the variance of the mean.
        by_inputs = np.maximum(mean.var(axis=1).mean(axis=1) - by_masks / DRAWS, 0.0)
        mask_share = by_masks / np.maximum(by_masks + by_inputs, 1e-300)
        effects = np.stack([np.std(losses, axis=0), mask_share, np.mean(losses, axis=0)])
        effects = np.where(model.dropped.any(axis=1), effects, 0.0)
    return dict(zip(("mask_noise", "mask_share", "mask_loss"), effects, strict=True))
