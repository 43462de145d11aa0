"""Quantities in the verdicts: what several rules and remedies compute from measurements, each (n_nets,).

A number that could not be measured is NaN and adds nothing to a confidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .data_checks import MIN_SAMPLES, InputScale
from .measurements import Measurements

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


def not_learned(m: Measurements) -> np.ndarray:
    return 1.0 - learned(m)


def remaining(m: Measurements) -> np.ndarray:
    """Return the projected further decrease of the loss, as a fraction of the base rate's loss; NaN without a curve."""
    return (
        np.maximum(m.curve.last - m.curve.projected_loss, 0.0) / m.base_excess
        if m.base_excess > 0
        else m.curve.last * np.nan
    )


def gain(m: Measurements) -> np.ndarray:
    """Return the fraction of the loss that one descent step of the best length removes; NaN for functions.

    NaN also after a training with sample weights that the samples do not have here, which has lowered another loss.
    """
    if m.updates.weighted:
        return uniform(m, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return m.landscape.best_gain / m.excess


def has_curve(m: Measurements) -> np.ndarray:
    return np.isfinite(m.curve.change)


def fell_in_last_epoch(m: Measurements) -> np.ndarray:
    """Return the confidence that a curve too short for a slope fell in its last epoch, of validation if it has any."""
    return np.where(has_curve(m), 0.0, ramp(m.curve.last_fall, 0.01, 0.05))


def at_rest(m: Measurements) -> np.ndarray:
    """Return the confidence that training makes no more progress, by the loss curve or else by the gradient."""
    change = np.abs(m.curve.change)
    near_end = ramp(remaining(m), 0.06, 0.015)
    near_end = near_end * ramp(change, 0.25, 0.08)  # a projection from a steep curve is vague
    near_end = near_end * np.maximum(learned(m) ** 2, ramp(change, 0.05, 0.01))
    by_curve = np.maximum(near_end, ramp(change, 0.02, 0.002))
    by_gradient = ramp(gain(m), 0.06, 0.004) * (1.0 - fell_in_last_epoch(m))
    by_curve = np.maximum(by_curve, past_best(m))
    confidence = np.where(has_curve(m), by_curve, np.where(np.isfinite(gain(m)), by_gradient, 0.5))
    return np.maximum(np.maximum(confidence, m.curve.stopped_early), ramp(m.skill, 0.95, 0.985))


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


# ---- the scale of the data


def inputs_too_large(m: Measurements) -> float:
    """Return the confidence that inputs are unscaled and large; 0 for inputs that fastmlp has encoded from a table.

    Its bins with few samples have large offsets, and need no scaling.
    """
    scale = InputScale(m.data.largest_spread, m.data.typical_spread, m.data.largest_offset)
    return scale_too_large(scale) * (not m.updates.encoded_inputs)


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


# ---- held-out samples


def validation_loss(m: Measurements) -> np.ndarray:
    """Return the validation loss: measured if validation data were given, otherwise the record of the kept epoch."""
    return np.where(np.isfinite(m.validation_loss), m.validation_loss, m.curve.validation + m.floor)


def generalisation_gap(m: Measurements) -> np.ndarray:
    """Return the generalisation gap: how much better a net is on training samples than on held-out samples.

    It is a fraction of the targets' variance, or of the base rate's loss if it comes from records. NaN if nothing is
    known about held-out samples.
    """
    measured = m.explained - m.validation_explained
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = (m.curve.validation - np.fmin(m.curve.training, m.excess)) / m.base_excess
    return np.where(np.isfinite(measured), measured, recorded)


def training_skill(m: Measurements) -> np.ndarray:
    """Return how much of its training samples a net explains: of their variance or, from records, of the base rate's
    loss; 0 for a net that is no better than a constant.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = 1.0 - np.fmin(m.curve.training, m.excess) / m.base_excess
    return np.where(np.isfinite(m.explained), m.explained, recorded)


def memorised(m: Measurements) -> np.ndarray:
    """Return the confidence that a net has memorised its training samples; 0 if nothing is known about others.

    A net that explains none of its training samples has memorised nothing, whatever the gap: it is hardly trained.
    """
    return ramp(generalisation_gap(m), 0.1, 0.22) * ramp(training_skill(m), 0.0, 0.2)


def unknown_elsewhere(m: Measurements) -> np.ndarray:
    """Return how far a net beats simple models on its training samples, if no validation data confirm that it learned.

    Without them it may as well have memorised the samples. 0 if the generalisation gap is known.
    """
    beyond = ramp(m.explained - m.data.attainable, 0.15, 0.4) * (m.data.n_samples >= 2 * MIN_SAMPLES)
    return beyond * np.isnan(generalisation_gap(m))


def improving(m: Measurements) -> np.ndarray:
    """Return the confidence that the validation loss still falls at the last epoch."""
    return ramp(m.curve.validation_change, 0.01, 0.05) * (1.0 - past_best(m))


def past_best(m: Measurements) -> np.ndarray:
    """Return the confidence that the validation loss was best long before the last epoch.

    More epochs do not help then, even if the training loss still falls.
    """
    end = np.maximum(m.curve.epochs, 1.0)
    behind_best = np.where(m.curve.final_epoch < m.curve.epochs, m.curve.final_epoch, m.curve.best)
    long_ago = ramp(1.0 - behind_best / end, 0.03, 0.15)
    return np.maximum(long_ago, m.curve.stopped_early)


# ---- whether the data show more


def falls_elsewhere(m: Measurements) -> np.ndarray:
    """Return by which fraction a short descent lowers the loss of samples that it does not use; NaN if untried."""
    if m.descent is None:
        return uniform(m, np.nan)
    excess = max(m.descent.others_before - m.floor, 1e-300)
    return uniform(m, (m.descent.others_before - m.descent.others_after) / excess)


def shows_more(m: Measurements) -> np.ndarray:
    """Return the confidence that the data show more than a net has learned when its training came to rest.

    The cross-entropy of classes that are all right can be lowered without end, which shows nothing; if few are wrong,
    the fall must be noticeable beside the base rate's loss, too.
    """
    confidence = ramp(falls_elsewhere(m), 0.05, 0.15)
    if m.descent is not None and m.model.loss.delta_is_wrt_logit:
        of_base = (m.descent.others_before - m.descent.others_after) / m.base_excess
        confidence = confidence * ramp(of_base, 0.003, 0.01) * (not m.descent.others_are_right)
    return confidence


def nothing_left(m: Measurements) -> np.ndarray:
    """Return for each net whether there is nothing left to learn from the samples.

    All samples are right, or the targets of equal inputs differ by as much as the net does not explain.
    """
    is_right = (m.explained >= 1.0 - 1e-8) | (m.accuracy == 1.0)
    return is_right | (1.0 - m.explained <= 1.1 * m.data.contradicted)


# ---- steps


def merged_at_rest(m: Measurements) -> np.ndarray:
    """Return the confidence that samples with different targets share an output and that no step lowers the loss.

    The recent shape of the loss curve does not matter.
    """
    return (m.merged > 0) * ramp(gain(m), 0.01, 0.002) * ramp(m.skill, 0.03, 0.12) * not_learned(m)


def stands_still(m: Measurements) -> np.ndarray:
    """Return the confidence that the loss stays constant although one descent step would lower it much."""
    return ramp(np.abs(m.curve.change), 0.02, 0.002) * ramp(gain(m), 0.08, 0.25)


def has_other_samples(m: Measurements) -> bool:
    """Return whether there are more samples than the net was trained on, such as those that its fit held out, or
    samples without the weights of the training.

    The recorded losses are not comparable with the loss on such samples.
    """
    return m.n_samples > m.updates.n_samples > 0 or m.updates.weighted


def bends_down(m: Measurements) -> np.ndarray:
    """Return whether the loss has negative curvature in some direction, as at a saddle, which can be left."""
    return -m.landscape.smallest > 1e-3 * np.abs(m.landscape.largest)


def safe_step_epochs(m: Measurements) -> np.ndarray:
    """Return the gain of one step with learning rate 1 / largest curvature, in units of the recent gain per epoch."""
    per_epoch = m.curve.change / np.maximum(0.25 * m.curve.epochs, 1.0)
    if m.updates.weighted:  # as in gain
        return uniform(m, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return m.landscape.safe_gain / m.excess / np.maximum(per_epoch, 1e-12)


def safe_rate_ratio(m: Measurements) -> np.ndarray:
    """Return the learning rate that suits the curvature, divided by the one that was used."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return m.landscape.safe_step / m.updates.learning_rate


def step_ratio(m: Measurements) -> np.ndarray:
    """Return the learning rate, divided by the longest step that lowers the loss of a new net; NaN if unknown."""
    return m.updates.learning_rate / m.longest_step


def n_steps(m: Measurements) -> np.ndarray:
    """Return the number of steps of the training, (n_nets,); NaN without a history."""
    n_samples = m.updates.n_samples or m.n_samples
    return m.curve.epochs * np.ceil(n_samples / (m.updates.batch_size or n_samples))


def oversteps(m: Measurements) -> np.ndarray:
    """Return the confidence that steps are too long even for a new net, so that the first ones may ruin it."""
    # Momentum lengthens steps by 1 / (1 - momentum) where gradients agree, and not where they alternate: between both.
    return log_ramp(step_ratio(m) * np.sqrt(1.0 - m.updates.momentum), 1.0, 2.0)


def overshoots(m: Measurements) -> np.ndarray:
    """Return the confidence that steps of gradient descent end beyond the valley: a shorter one lowers the loss.

    A step of the learning rate is longer than the best one and gains next to nothing of what that one gains, or raises
    the loss. Unknown with momentum, clipping or a schedule, whose steps have other lengths.
    """
    is_known = m.updates.is_plain_descent * (m.updates.momentum == 0.0) * (m.updates.clip_norm == 0.0)
    is_known = is_known * (not m.updates.weighted)  # as in gain
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        is_longer = m.updates.learning_rate > m.landscape.best_step  # False if either is unknown
        used_gain = np.where(np.isnan(m.landscape.used_gain), -np.inf, m.landscape.used_gain)  # the loss overflows
        share = used_gain / m.landscape.best_gain  # NaN if no step gains anything
    return is_known * is_longer * ramp(share, 0.15, 0.03) * (not m.updates.schedule)


def lost_by_steps(m: Measurements) -> np.ndarray:
    """Return the confidence that steps too long for a new net, or for its unscaled data, explain dead units."""
    return np.maximum(oversteps(m), data_too_large(m))


def hardly_moved(m: Measurements) -> np.ndarray:
    """Return the confidence that many steps together are shorter than one that would lower the loss of a new net."""
    travelled = step_ratio(m) * n_steps(m) * (SCHEDULE_MEAN if m.updates.schedule else 1.0)
    return log_ramp(travelled, 0.7, 0.15) * log_ramp(n_steps(m), 50.0, 300.0)


def rising(m: Measurements) -> np.ndarray:
    """Return the confidence that the loss has risen over the second half of the epochs."""
    return ramp(m.curve.half_change, -0.005, -0.03)


def falling(m: Measurements) -> np.ndarray:
    """Return the confidence that the loss has fallen much over the second half of the epochs."""
    return ramp(m.curve.half_change, 0.03, 0.12)


def clipped(m: Measurements) -> np.ndarray:
    """Return the confidence that clip_norm, and not mainly the learning rate, makes descent steps too short.

    0 for update rules that divide by the size of the gradient, such as Adam: clipping does not change their steps.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shortened = np.where(m.updates.clip_norm > 0, m.landscape.gradient / m.updates.clip_norm, 0.0)
        much = log_ramp(shortened / safe_rate_ratio(m), 0.01, 0.1)
    return m.updates.is_plain_descent * log_ramp(shortened, 3.0, 30.0) * much


def untrained(m: Measurements) -> np.ndarray:
    """Return the confidence that training has had no effect yet, for a net with dropout.

    The loss under dropout is still as far above the base rate's loss as at the start; any training lowers it.
    """
    above = ramp((m.masks.mask_loss - m.base_loss) / m.base_excess, 0.1, 0.4)
    above = above * (not m.updates.weighted)  # as in gain
    return above * ramp(np.abs(m.curve.last / m.curve.first - 1.0), 0.3, 0.1)
