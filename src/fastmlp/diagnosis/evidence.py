"""Table of evidence: each entry is a named number or text about one net, read from the measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import verdict_quantities
from .measurements import Measurements


def number(value: float) -> str:
    """Return a number formatted for a sentence: three significant digits, an exponent only for extreme sizes."""
    if not np.isfinite(value):
        return str(value)
    if abs(value) < 1e-12:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def one(values: Any, k: int) -> float:
    """Return the value of net k, from an array (n_nets,) or a number common to all nets."""
    array = np.asarray(values, np.float64)
    return float(array[k] if array.ndim else array)


def rate(m: Measurements, k: int) -> float:
    """Return the learning rate of net k as it was given, without the factor by which momentum lengthens steps."""
    return one(m.updates.learning_rate, k) * (1.0 - one(m.updates.momentum, k))


def dropout(m: Measurements, k: int) -> float:
    """Return the largest dropout rate among the hidden layers of net k."""
    return float(m.model.dropped[k].max(initial=0.0))


def layer_name(layers: np.ndarray, k: int) -> str:
    return f"{int(one(layers, k))}"


def _output_range(m: Measurements, k: int) -> str:
    if not np.isfinite([m.bounds.low, m.bounds.high]).any():
        return "unbounded"
    return f"[{number(m.bounds.low)}, {number(m.bounds.high)}], {m.bounds.source}"


def epochs_left(m: Measurements) -> np.ndarray:
    """Return the projected number of epochs until the loss has converged, (n_nets,).

    Based on the validation loss if there is one. NaN with a schedule that lowered the learning rate, which flattens any
    curve, and for less than one epoch: the projection then does not see the loss fall.
    """
    if m.updates.schedule:
        return np.full(m.model.n_nets, np.nan)
    left = np.where(np.isfinite(m.curve.validation_projected), m.curve.validation_projected, m.curve.projected)
    return np.where(left >= 1.0, np.ceil(left), np.nan)


EVIDENCE: dict[str, Callable[[Measurements, int], float | str]] = {
    "samples": lambda m, k: float(m.n_samples),
    "inputs": lambda m, k: float(m.data.n_features),
    "outputs": lambda m, k: float(m.model.n_outputs),
    "layers": lambda m, k: float(m.model.layout.n_layers),
    "weights": lambda m, k: float(m.n_weights),
    "narrowest hidden layer": lambda m, k: float(m.narrowest),
    "output activation": lambda m, k: m.model.activations[-1].name,
    "loss": lambda m, k: one(m.loss, k),
    "base rate's loss": lambda m, k: m.base_loss,
    "explained": lambda m, k: one(m.explained, k),
    "attainable at least": lambda m, k: m.data.attainable,
    "accuracy": lambda m, k: one(m.accuracy, k),
    "share of the commonest class": lambda m, k: m.majority,
    "validation loss": lambda m, k: one(verdict_quantities.validation_loss(m), k),
    "explained in validation": lambda m, k: one(m.validation_explained, k),
    "merged samples": lambda m, k: one(m.merged, k),
    "agreement": lambda m, k: one(m.agreement, k),
    "variation of the outputs": lambda m, k: one(m.variation, k),
    "output range": _output_range,
    "lowest output": lambda m, k: one(m.output_low, k),
    "highest output": lambda m, k: one(m.output_high, k),
    "lowest target": lambda m, k: m.target_low,
    "highest target": lambda m, k: m.target_high,
    "target spread": lambda m, k: m.target_spread,
    "target mean": lambda m, k: m.target_mean,
    "share out of reach": lambda m, k: one(m.unreachable, k),
    "coding": lambda m, k: m.label_problem,
    "first not finite": lambda m, k: m.bad_data or m.places[int(m.first_bad[k])],
    "positive weights": lambda m, k: one(m.positive, k),
    "saturated units": lambda m, k: one(m.saturated, k),
    "layer of saturated units": lambda m, k: one(m.saturated_layer, k),
    "dead units": lambda m, k: one(m.dead, k),
    "layer of dead units": lambda m, k: one(m.dead_layer, k),
    "duplicate units": lambda m, k: one(m.duplicates, k),
    "layer of duplicates": lambda m, k: one(m.duplicates_layer, k),
    "first to last layer": lambda m, k: one(m.first_to_last, k),
    "largest to last layer": lambda m, k: one(m.largest_to_last, k),
    "gradient": lambda m, k: one(m.landscape.gradient, k),
    "curvature": lambda m, k: one(m.landscape.curvature, k),
    "largest curvature": lambda m, k: one(m.landscape.largest, k),
    "smallest curvature": lambda m, k: one(m.landscape.smallest, k),
    "best step": lambda m, k: one(m.landscape.best_step, k),
    "safe step": lambda m, k: one(m.landscape.safe_step, k),
    "gain of a safe step": lambda m, k: one(m.landscape.safe_gain, k) / one(m.excess, k),
    "gain of one step": lambda m, k: one(verdict_quantities.gain(m), k),
    "learning rate": rate,
    "longest first step": lambda m, k: m.longest_step,
    "steps": lambda m, k: one(verdict_quantities.n_steps(m), k),
    "weight decay": lambda m, k: one(m.updates.weight_decay, k),
    "size of the weights": lambda m, k: one(m.weight_size, k),
    "clip norm": lambda m, k: one(m.updates.clip_norm, k),
    "dropout": dropout,
    "share of the outputs by dropout": lambda m, k: one(m.masks.mask_share, k),
    "loss under dropout": lambda m, k: one(m.masks.mask_loss, k),
    "penalty": lambda m, k: one(np.broadcast_to(m.model.l2, m.model.n_nets), k),
    "epochs": lambda m, k: one(m.curve.epochs, k),
    "epochs left": lambda m, k: one(epochs_left(m), k),
    "first loss": lambda m, k: one(m.curve.first, k) + m.floor,
    "recorded loss": lambda m, k: one(m.curve.last, k) + m.floor,
    "lowest loss": lambda m, k: one(m.curve.lowest, k) + m.floor,
    "change of the loss": lambda m, k: one(m.curve.change, k),
    "swing of the loss": lambda m, k: one(m.curve.swing, k),
    "rise of validation loss": lambda m, k: one(m.curve.validation_rise, k),
    "change of validation loss": lambda m, k: one(m.curve.validation_change, k),
    "best epoch": lambda m, k: one(m.curve.best, k),
    "kept epoch": lambda m, k: one(m.curve.final_epoch, k),
    "training loss of the kept epoch": lambda m, k: one(m.curve.training, k) + m.floor,
    "gap to validation loss": lambda m, k: one(m.curve.gap, k),
    "largest input spread": lambda m, k: m.data.largest_spread,
    "typical input spread": lambda m, k: m.data.typical_spread,
    "largest input offset": lambda m, k: m.data.largest_offset,
    "constant inputs": lambda m, k: float(m.data.n_constant),
    "signal": lambda m, k: m.data.signal,
    "linear": lambda m, k: m.data.linear,
    "nearest neighbours": lambda m, k: m.data.neighbours,
    "random features": lambda m, k: m.data.random_features,
}


def evidence(m: Measurements, k: int, names: tuple[str, ...]) -> dict[str, float | str]:
    """Return the evidence on net k with the given names, without entries that could not be measured."""
    values = {name: EVIDENCE[name](m, k) for name in names}
    return {name: value for name, value in values.items() if value != "" and value == value}
