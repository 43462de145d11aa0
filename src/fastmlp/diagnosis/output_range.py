"""Range of a net's outputs: read from the output activation, or guessed from the outputs of a forward function."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .model_under_test import ModelUnderTest, as_outputs, sample_rows

# (low, high, formula): output ranges of wrong formulas, for forward functions, of which only the outputs are known.
SIGMOID_OF_1 = 1.0 / (1.0 + np.exp(-1.0))
NARROW_RANGES = (
    (0.5, SIGMOID_OF_1, "two sigmoids in a row, 1 / (1 + exp(-expit(x)))"),
    (0.5, 1.0, "1 / (1 + expit(-x)), or a sigmoid of a ReLU"),
    (1.0 - SIGMOID_OF_1, SIGMOID_OF_1, "a softmax of sigmoids, or a sigmoid of a tanh"),
)


class Bounds(NamedTuple):
    """Range of the outputs."""

    low: float
    high: float
    source: str  # activation or formula that has this range
    certainty: float  # 1 if read from the output activation, less if guessed from outputs


def output_bounds(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> Bounds:
    """Return the range of the outputs: that of the output activation, or for a function the range it seems to have."""
    if model.has_weights:
        row = model.activations[-1]
        return Bounds(row.low, row.high, f"the output activation {row.name}", 1.0)
    rng = np.random.default_rng(5)
    rows = X[sample_rows(len(X), 200)]
    spread = np.maximum(X.std(axis=0), 1e-3)
    far_inputs = [rows * 10.0, rows * 1000.0, rows * -1000.0, rng.normal(size=rows.shape) * spread * 100.0]
    assert model.function is not None
    outputs = as_outputs(model.function(X), len(X))
    try:
        outputs_seen = np.concatenate([outputs, *(as_outputs(model.function(x), len(x)) for x in far_inputs)])
    except (ValueError, FloatingPointError, OverflowError):  # the function does not accept such inputs
        outputs_seen = outputs
    outputs_seen = outputs_seen[np.isfinite(outputs_seen).all(axis=1)]
    if not len(outputs_seen):
        return Bounds(-np.inf, np.inf, "", 0.0)
    for low, high, formula in NARROW_RANGES:
        inside = outputs_seen.min() >= low - 1e-6 and outputs_seen.max() <= high + 1e-6
        if inside and (Y.min() < low - 0.02 or Y.max() > high + 0.02):
            certainty = _narrow_range_confidence(outputs, Y, low, high)
            if certainty > 0:
                return Bounds(low, high, formula, certainty)
    return Bounds(-np.inf, np.inf, "", 0.0)


def _narrow_range_confidence(outputs: np.ndarray, Y: np.ndarray, low: float, high: float) -> float:
    """Return the confidence that these bounds keep the outputs from their targets.

    An ordinary net at least reaches the mean target. Outputs that are really bounded lie on one side of the mean, or
    accumulate at both bounds.
    """
    below, above = Y.min() < low - 0.02, Y.max() > high + 0.02
    margin = 0.1 * (high - low)
    pressed_low = below and (outputs[low > Y] < low + margin).mean() > 0.6
    pressed_high = above and (outputs[high < Y] > high - margin).mean() > 0.6
    if low < 0.5:  # a range around 0.5, which also contains the outputs of any new net
        return 0.9 if pressed_low and pressed_high else 0.0
    gap, spread = outputs.mean() - Y.mean(), outputs.std()
    one_sided = gap > max(0.5 * spread, 1e-4) and below
    return 0.95 if pressed_low and (pressed_high or one_sided) else 0.8 if one_sided else 0.5 * pressed_low
