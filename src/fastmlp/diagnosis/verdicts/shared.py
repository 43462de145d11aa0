"""Quantities that verdicts of several topics use, each (n_nets,) or common to all nets.

A number that could not be measured is NaN and adds nothing to a confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data_checks import MIN_SAMPLES, InputScale
from ..measurements import Measurements

SCHEDULE_MEAN = 0.5  # mean learning rate of most schedules, as a fraction of the largest


def ramp(x: Any, low: float, high: float) -> np.ndarray:
    """Return a linear ramp: 0 for x up to low, 1 from high on; falling if high < low; 0 for NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.clip((np.asarray(x, np.float64) - low) / (high - low), 0.0, 1.0), nan=0.0)


def log_ramp(x: Any, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return ramp(np.log(x), np.log(low), np.log(high))


def uniform(m: Measurements, value: float) -> np.ndarray:
    return np.full(m.model.n_nets, float(value))


# ---- what was learned


def learned(m: Measurements) -> np.ndarray:
    """Return how close a net is to what can be learned, from 0 to 1.

    That is the variance that simple models explain out of sample; for few samples, or if simple models explain almost
    nothing, it is all of the variance.
    """
    if not m.data.attainable > 0.05:
        return ramp(m.explained, 0.5, 0.9)
    fraction = m.explained / m.data.attainable
    return np.maximum(ramp(fraction, 0.7, 0.95), ramp(m.explained, 0.95, 0.99))


def stuck(m: Measurements) -> np.ndarray:
    """Return the confidence that a net, whose values are finite, has not learned what can be learned."""
    return (1.0 - learned(m)) * finite(m)


def finite(m: Measurements) -> np.ndarray:
    return (m.first_bad == 0).astype(np.float64) * (not m.bad_data)


def learnable(m: Measurements) -> float:
    """Return the confidence that there is something to learn: 0 if labels are noise or constant."""
    return float(ramp(m.data.attainable, 0.02, 0.1)) if m.target_high > m.target_low else 0.0


def labels_are_noise(m: Measurements) -> np.ndarray:
    """Return the confidence that labels are unrelated to the inputs, as after shuffling."""
    if not np.isfinite(m.data.signal) or m.data.n_samples < MIN_SAMPLES:
        return uniform(m, 0.0)
    no_signal = float(ramp(m.data.signal, 3.8, 2.9))
    known = np.where(np.isnan(m.validation_signal), 0.85, 0.95)
    enough = ramp(m.data.n_samples, MIN_SAMPLES / 2, 2 * MIN_SAMPLES)
    return no_signal * known * enough * (1.0 - ramp(m.validation_signal, 2.5, 4.0))


def validation_loss(m: Measurements) -> np.ndarray:
    """Return the validation loss: measured if validation data were given, otherwise the record of the kept epoch."""
    return np.where(np.isfinite(m.validation_loss), m.validation_loss, m.curve.validation + m.floor)


# ---- the scale of the data


def inputs_too_large(m: Measurements) -> float:
    """Return the confidence that inputs are unscaled and large; 0 for inputs that fastmlp has encoded from a table.

    Its bins with few samples have large offsets, and need no scaling.
    """
    return scale_too_large(m.data.scale) * (not m.updates.encoded_inputs)


def scale_too_large(scale: InputScale) -> float:
    """Return the confidence that inputs of this scale are unscaled and large."""
    ratio = scale.largest_spread / scale.typical_spread if scale.typical_spread > 0 else 1.0
    size = max(scale.largest_spread, scale.largest_offset * scale.typical_spread)
    return float(
        max(log_ramp(ratio, 30.0, 300.0), log_ramp(scale.largest_offset, 8.0, 30.0), log_ramp(size, 20.0, 100.0))
    )


def has_free_outputs(m: Measurements) -> bool:
    """Return whether outputs are numbers without bounds, as for regression."""
    row = m.model.activations[-1]
    is_bounded = np.isfinite([row.low, row.high]).any()
    return bool(m.model.has_weights and not is_bounded and not m.model.loss.delta_is_wrt_logit)


def targets_too_large(m: Measurements) -> float:
    return float(has_free_outputs(m) * log_ramp(max(m.target_spread, m.target_mean), 15.0, 60.0))


def data_too_large(m: Measurements) -> float:
    """Return the confidence that large inputs or targets explain lost units and diverging losses."""
    return max(inputs_too_large(m), targets_too_large(m)) * learnable(m)


# ---- the loss curve


def has_curve(m: Measurements) -> np.ndarray:
    return np.isfinite(m.curve.change)


def without_history(m: Measurements) -> np.ndarray:
    return np.isnan(m.curve.epochs)


def epochs_left(m: Measurements) -> np.ndarray:
    """Return the projected number of epochs until the loss has converged, of validation if it is recorded.

    NaN with a schedule that lowered the learning rate, which flattens any curve, and for less than one epoch: the
    projection then does not see the loss fall.
    """
    if m.updates.schedule:
        return uniform(m, np.nan)
    left = np.where(np.isfinite(m.curve.validation_projected), m.curve.validation_projected, m.curve.projected)
    return np.where(left >= 1.0, np.ceil(left), np.nan)


def remaining(m: Measurements) -> np.ndarray:
    """Return the projected further decrease of the loss, as a fraction of the base rate's loss; NaN without a curve."""
    return np.maximum(m.curve.last - m.curve.projected_loss, 0.0) / m.base_excess


def fell_in_last_epoch(m: Measurements) -> np.ndarray:
    """Return the confidence that a curve too short for a slope fell in its last epoch, of validation if it has any."""
    return np.where(has_curve(m), 0.0, ramp(m.curve.last_fall, 0.01, 0.05))


def past_best(m: Measurements) -> np.ndarray:
    """Return the confidence that the validation loss was best long before the last epoch.

    More epochs do not help then, even if the training loss still falls.
    """
    end = np.maximum(m.curve.epochs, 1.0)
    behind_best = np.where(m.curve.final_epoch < m.curve.epochs, m.curve.final_epoch, m.curve.best)
    return np.maximum(ramp(1.0 - behind_best / end, 0.03, 0.15), m.curve.stopped_early)


def at_rest(m: Measurements) -> np.ndarray:
    """Return the confidence that training makes no more progress, by the loss curve or else by the gradient."""
    change = np.abs(m.curve.change)
    near_end = ramp(remaining(m), 0.06, 0.015)
    near_end = near_end * ramp(change, 0.25, 0.08)  # a projection from a steep curve is vague
    near_end = near_end * np.maximum(learned(m) ** 2, ramp(change, 0.05, 0.01))
    by_curve = np.maximum(np.maximum(near_end, ramp(change, 0.02, 0.002)), past_best(m))
    by_gradient = ramp(gain(m), 0.06, 0.004) * (1.0 - fell_in_last_epoch(m))
    confidence = np.where(has_curve(m), by_curve, np.where(np.isfinite(gain(m)), by_gradient, 0.5))
    return np.maximum(np.maximum(confidence, m.curve.stopped_early), ramp(m.skill, 0.95, 0.985))


def falling(m: Measurements) -> np.ndarray:
    """Return the confidence that the loss has fallen much over the second half of the epochs."""
    return ramp(m.curve.half_change, 0.03, 0.12)


# ---- steps


def gain(m: Measurements) -> np.ndarray:
    """Return the fraction of the loss that one descent step of the best length removes; NaN for functions.

    NaN also after a training with sample weights that the samples do not have here, which has lowered another loss.
    """
    return _of_loss(m, m.best_gain)


def safe_gain(m: Measurements) -> np.ndarray:
    """Return the same of one step with learning rate 1 / largest curvature."""
    return _of_loss(m, m.safe_gain)


def _of_loss(m: Measurements, decrease: np.ndarray) -> np.ndarray:
    if m.updates.weighted:
        return uniform(m, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return decrease / m.excess


def n_steps(m: Measurements) -> np.ndarray:
    """Return the number of steps of the training, (n_nets,); NaN without a history."""
    n_samples = m.updates.n_samples or m.n_samples
    return m.curve.epochs * np.ceil(n_samples / (m.updates.batch_size or n_samples))


def step_ratio(m: Measurements) -> np.ndarray:
    """Return the learning rate, divided by the longest step that lowers the loss of a new net; NaN if unknown."""
    return m.updates.learning_rate / m.longest_step


def oversteps(m: Measurements) -> np.ndarray:
    """Return the confidence that steps are too long even for a new net, so that the first ones may ruin it."""
    # Momentum lengthens steps by 1 / (1 - momentum) where gradients agree, and not where they alternate: between both.
    return log_ramp(step_ratio(m) * np.sqrt(1.0 - m.updates.momentum), 1.0, 2.0)


def lost_by_steps(m: Measurements) -> np.ndarray:
    """Return the confidence that steps too long for a new net, or for its unscaled data, explain dead units."""
    return np.maximum(oversteps(m), data_too_large(m))


def merged_at_rest(m: Measurements) -> np.ndarray:
    """Return the confidence that samples with different targets share an output and that no step lowers the loss.

    The recent shape of the loss curve does not matter.
    """
    return (m.merged > 0) * ramp(gain(m), 0.01, 0.002) * ramp(m.skill, 0.03, 0.12) * (1.0 - learned(m))
