"""Verdict rules: one function per verdict, from measurements to confidences (n_nets,), 0 if it does not apply.

A cause that is observed directly (a value that is not finite, constant labels) has a confidence near 1. Symptoms (the
base rate, a plateau) score below the causes that explain them. A number that could not be measured is NaN and adds
nothing to a confidence.
"""

from __future__ import annotations

import numpy as np

from .data_checks import MIN_SAMPLES
from .measurements import Measurements
from .verdict_quantities import (
    at_rest,
    clipped,
    data_too_large,
    falling,
    fell_in_last_epoch,
    finite,
    gain,
    hardly_moved,
    has_curve,
    has_free_outputs,
    has_other_samples,
    improving,
    inputs_too_large,
    labels_are_noise,
    learnable,
    learned,
    log_ramp,
    lost_by_steps,
    memorised,
    merged_at_rest,
    n_steps,
    not_learned,
    overshoots,
    oversteps,
    past_best,
    ramp,
    remaining,
    rising,
    safe_rate_ratio,
    safe_step_epochs,
    shows_more,
    stands_still,
    step_ratio,
    targets_too_large,
    uniform,
    unknown_elsewhere,
    untrained,
)

# ---- healthy states


def converged(m: Measurements) -> np.ndarray:
    doubts = (1.0 - 0.7 * labels_are_noise(m)) * (1.0 - 0.6 * memorised(m)) * (m.target_high > m.target_low)
    doubts = doubts * (1.0 - 0.5 * unknown_elsewhere(m))
    least = 0.4 * (1.0 - 0.5 * fell_in_last_epoch(m))
    doubts = doubts * (1.0 - 0.9 * shows_more(m))
    return 0.95 * finite(m) * learned(m) * np.maximum(at_rest(m), least) * doubts


def still_learning(m: Measurements) -> np.ndarray:
    distance = np.maximum(ramp(remaining(m), 0.01, 0.05), ramp(not_learned(m), 0.0, 0.4))
    falls = ramp(m.curve.change, 0.002, 0.02) * distance * ramp(m.curve.back_and_forth, 12.0, 4.0)
    could = ramp(gain(m), 0.004, 0.04)
    fell = ramp(1.0 - m.curve.last / m.curve.first, 0.0, 0.01)
    # A converged net still gains a little with every step, and one that no step has changed could gain much.
    without_curve = could * (1.0 - 0.3 * learned(m)) * (1.0 - 0.4 * ramp(m.skill, 0.02, -0.02))
    begun = 0.75 * np.maximum(could, fell)  # for a curve that is too short for `falls`
    begun = begun * (1.0 - 0.5 * ramp(m.curve.last / m.curve.first, 1.0, 1.1))
    moving = np.where(has_curve(m), falls, np.where(np.isnan(m.curve.epochs), without_curve, begun))
    held_out = np.where(np.isnan(m.curve.validation_change), 1.0, ramp(m.curve.validation_change, 0.0, 0.01))
    if m.updates.schedule:  # a schedule flattens the end of any curve: use the gradient instead
        moving = np.maximum(moving, ramp(gain(m), 0.004, 0.02) * ramp(not_learned(m), 0.0, 0.4))
        held_out = np.maximum(held_out, 0.75)
    held_out = held_out * (1.0 - 0.95 * past_best(m)) * (1.0 - 0.8 * memorised(m) * (1.0 - improving(m)))
    known = 1.0 - 0.5 * unknown_elsewhere(m)
    moving = moving * (1.0 - 0.9 * merged_at_rest(m)) * (1.0 - rising(m)) * (m.curve.diverged == 0)
    moving = moving * (1.0 - 0.6 * wrong_learning_rate(m))
    moving = moving * held_out * known * max(learnable(m), 0.2) * (1.0 - 0.7 * labels_are_noise(m))
    return 0.8 * finite(m) * np.maximum(moving, shows_more(m))


# ---- the data


def not_finite(m: Measurements) -> np.ndarray:
    return np.maximum((m.first_bad > 0).astype(np.float64), float(bool(m.bad_data)))


def constant_labels(m: Measurements) -> np.ndarray:
    return uniform(m, 0.99 * (m.target_high <= m.target_low or m.data.n_constant_targets == m.model.n_outputs))


def constant_inputs(m: Measurements) -> np.ndarray:
    return uniform(m, 0.98 * (m.data.n_constant == m.data.n_features))


def mis_encoded_labels(m: Measurements) -> np.ndarray:
    return uniform(m, 0.97 * bool(m.label_problem))


def unreachable_targets(m: Measurements) -> np.ndarray:
    return (
        0.97 * m.bounds.certainty * ramp(m.unreachable, 0.0, 0.03) * (1.0 if m.bounds.certainty < 1 else not_learned(m))
    )


def independent_outputs(m: Measurements) -> np.ndarray:
    """Return the confidence that exclusive classes are learned by independent outputs instead of softmax."""
    row = m.model.activations[-1]
    separate = m.data.one_hot and np.isfinite(row.low) and row.name != "softmax" and m.model.has_weights
    return 0.84 * separate * not_learned(m) * ramp(m.skill, 0.35, 0.1) * ramp(m.skill, -0.5, -0.2) * learnable(m)


def shuffled_labels(m: Measurements) -> np.ndarray:
    return labels_are_noise(m) * (m.target_high > m.target_low)


def unscaled_inputs(m: Measurements) -> np.ndarray:
    small = float(log_ramp(m.data.largest_spread, 0.02, 0.004)) * (not m.updates.encoded_inputs)
    return 0.92 * max(inputs_too_large(m), small) * not_learned(m) * finite(m) * learnable(m)


def unscaled_targets(m: Measurements) -> np.ndarray:
    """Return the confidence that the scale of the targets is far from that of a new net's outputs."""
    is_small = float(log_ramp(m.target_spread, 0.02, 0.004)) if m.target_spread > 0 else 0.0
    small = has_free_outputs(m) * is_small
    return 0.91 * max(targets_too_large(m), small) * not_learned(m) * finite(m) * learnable(m)


# ---- the net


def symmetric_units(m: Measurements) -> np.ndarray:
    # Units that a long step has killed all end at nearly the same weights.
    effect = ramp(m.dead, 0.45, 0.8) * data_too_large(m)
    return 0.94 * ramp(m.duplicates, 0.6, 0.95) * (1.0 - 0.5 * effect) * not_learned(m) * finite(m)


def positive_weights(m: Measurements) -> np.ndarray:
    surprise = (2.0 * m.positive - 1.0) * np.sqrt(m.n_weights)  # in standard deviations of random signs
    is_positive = ramp(m.positive, 0.62, 0.76) * ramp(surprise, 1.9, 2.6) * ramp(m.skill, 0.6, 0.3)
    drifted = unscaled_targets(m)  # weights that follow large targets become positive by themselves
    return 0.93 * is_positive * (1.0 - drifted) * not_learned(m) * finite(m)


def dead_units(m: Measurements) -> np.ndarray:
    return 0.93 * ramp(m.dead, 0.45, 0.8) * (1.0 - 0.7 * lost_by_steps(m)) * not_learned(m) * finite(m)


def saturated_units(m: Measurements) -> np.ndarray:
    # The weights of a narrow net in a local minimum grow without end: saturation is then the effect, not the cause.
    effect = ramp(m.narrowest, 6, 4) * ramp(m.skill, 0.2, 0.3)
    effect = np.maximum(0.5 * effect, 0.7 * lost_by_steps(m))
    return 0.88 * ramp(m.saturated, 0.5, 0.8) * (1.0 - effect) * not_learned(m) * finite(m)


def vanishing_gradient(m: Measurements) -> np.ndarray:
    deep = m.model.layout.n_layers >= 4
    dead = ramp(m.dead, 0.9, 1.0)
    return (
        0.9
        * deep
        * log_ramp(m.first_to_last, 2e-2, 1e-3)
        * not_learned(m)
        * ramp(m.skill, 0.5, 0.2)
        * finite(m)
        * (1 - dead)
    )


def exploding_gradient(m: Measurements) -> np.ndarray:
    deep = m.model.layout.n_layers >= 3
    with np.errstate(invalid="ignore"):
        far_off = log_ramp(-m.skill, 30.0, 1000.0)
    flows = log_ramp(m.largest_to_last, 30.0, 300.0)
    return 0.92 * deep * np.maximum(flows, 0.5 * far_off) * ramp(m.skill, 0.2, -1.0) * not_learned(m) * finite(m)


def too_small(m: Measurements) -> np.ndarray:
    if not m.model.has_weights:
        return uniform(m, 0.0)
    d = m.data
    bent = max(d.neighbours, d.random_features) - d.linear if np.isfinite(d.linear) else 0.3
    linear = m.is_linear * ramp(bent, 0.03, 0.12)
    narrow = (not m.is_linear) * ramp(m.narrowest, 6, 3) * (d.n_samples >= MIN_SAMPLES) * ramp(m.skill, 0.02, 0.1)
    at_end = np.where(has_curve(m), at_rest(m), ramp(gain(m), 0.1, 0.02))
    return 0.82 * np.maximum(linear, narrow) * at_end * not_learned(m) * finite(m) * learnable(m)


def over_fitting(m: Measurements) -> np.ndarray:
    rise = ramp(m.curve.validation_rise, 0.03, 0.15) * ramp(m.curve.gap, 0.15, 0.5)
    apart = memorised(m) * (1.0 - 0.6 * improving(m))
    return 0.96 * np.maximum(rise, apart) * finite(m) * (1.0 - 0.5 * labels_are_noise(m))


# ---- the training


def learning_rate_too_high(m: Measurements) -> np.ndarray:
    swings = ramp(m.curve.swing, 0.02, 0.1) * ramp(m.curve.back_and_forth, 3.0, 8.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        climbs = ramp(m.curve.last / np.maximum(m.curve.lowest, 0.05 * m.base_excess), 1.3, 3.0)
        unstable = m.updates.is_plain_descent * log_ramp(m.updates.learning_rate * m.landscape.largest, 1.8, 2.5)
    symptoms = np.maximum(np.maximum(swings, 0.8 * climbs), m.curve.diverged)
    symptoms = np.maximum(symptoms, overshoots(m) * stands_still(m))
    symptoms = np.maximum(symptoms, 0.8 * unstable * np.maximum(ramp(m.curve.swing, 0.002, 0.02), 0.3))
    # The loss goes up and down without falling, is worse than a constant's, or units are lost: what steps that are far
    # too long end in.
    wanders = ramp(m.curve.half_change, 0.1, 0.03) * ramp(m.curve.swing, 0.001, 0.01)
    lost = np.maximum(ramp(m.dead, 0.45, 0.8), ramp(m.saturated, 0.5, 0.8))
    # A part of the units may be lost while the loss falls steadily, but not by steps several times too long.
    lost = lost * (1.0 - 0.5 * falling(m) * log_ramp(step_ratio(m), 6.0, 2.0))
    harm = np.max([wanders, ramp(m.skill, 0.0, -0.2), lost], axis=0)
    # Such a net may have learned a part before, or may learn in spite of its steps.
    confidence = 0.92 * np.maximum(symptoms * not_learned(m), oversteps(m) * harm * ramp(not_learned(m), 0.0, 0.5))
    confidence = np.where(m.curve.diverged > 0, 0.96, confidence)
    return confidence * (1.0 - 0.5 * data_too_large(m)) * finite(m)


def clip_norm_too_low(m: Measurements) -> np.ndarray:
    """Return the confidence that clipped steps need many epochs for the gain of one unclipped step."""
    creeps = log_ramp(safe_step_epochs(m), 15.0, 60.0) * ramp(m.curve.swing, 0.05, 0.01)
    return 0.88 * clipped(m) * creeps * ramp(gain(m), 0.001, 0.005) * not_learned(m) * finite(m) * learnable(m)


def weight_decay_too_high(m: Measurements) -> np.ndarray:
    """Return the confidence that weight decay keeps the weights too small.

    The weights have come to rest below the usual initial size, and decay has had the time to bring them there. A net
    that learns has larger weights.
    """
    decayed = ramp(m.updates.learning_rate * m.updates.weight_decay * m.curve.epochs, 0.3, 3.0)
    small = log_ramp(m.weight_size, 1.2, 0.45)
    return 0.87 * decayed * small * at_rest(m) * not_learned(m) * finite(m) * learnable(m)


def dropout_too_high(m: Measurements) -> np.ndarray:
    """Return the confidence that the outputs depend on the dropout masks more than on the inputs."""
    # In each layer masks multiply the variance of random sums by 1 / (1 - dropout). At rates for which this factor is
    # close to 1, masks dominate only if the outputs hardly vary at all, which has another cause.
    added = 1.0 / (1.0 - m.model.dropped).prod(axis=1) - 1.0
    decided = log_ramp(added, 0.6, 2.5) * ramp(m.masks.mask_share, 0.65, 0.95)
    decided = decided * ramp(m.curve.epochs, 20, 60) * (1.0 - untrained(m))
    return 0.86 * decided * not_learned(m) * finite(m) * learnable(m)


def learning_rate_too_low(m: Measurements) -> np.ndarray:
    """Return the confidence that the learning rate is too low.

    The loss falls slowly along a straight line, while one step with learning rate 1 / largest curvature would gain as
    much as many epochs. With dropout, whose noise hides such a line, the loss is still near its first value.
    """
    is_plain = m.updates.is_plain_descent
    shorter = safe_rate_ratio(m)
    straight = ramp(m.curve.back_and_forth, 3.0, 1.2) * (m.curve.change > 0) * (m.curve.last < m.curve.first)
    slow = np.maximum(log_ramp(safe_step_epochs(m), 15.0, 60.0), log_ramp(shorter, 20.0, 100.0) * is_plain)
    slow = slow * (ramp(shorter, 3.0, 10.0) if is_plain else 1.0) * (1.0 - clipped(m))
    long = np.maximum(ramp(m.curve.epochs, 8, 40), log_ramp(n_steps(m), 50, 400) * (1.0 - falling(m)))
    slow = slow * long
    symptoms = np.where(m.masks.mask_noise > 0, untrained(m) * long, straight * slow * ramp(gain(m), 0.005, 0.02))
    symptoms = np.maximum(symptoms, hardly_moved(m) * (1.0 - clipped(m)) * ramp(gain(m), 0.005, 0.02))
    symptoms = symptoms * (1.0 - 0.5 * weight_decay_too_high(m))  # which explains that the loss stands, too
    return 0.87 * symptoms * not_learned(m) * finite(m) * learnable(m)


def wrong_learning_rate(m: Measurements) -> np.ndarray:
    """Return the confidence that a wrong learning rate explains a loss that stands still or falls slowly."""
    is_wrong = ramp(np.maximum(learning_rate_too_low(m), learning_rate_too_high(m)), 0.4, 0.7)
    return is_wrong * (1.0 - falling(m) * (1.0 - oversteps(m)))


def wrong_sign(m: Measurements) -> np.ndarray:
    """Return the confidence that the update has the wrong sign, so that training raises the loss.

    Outputs are anticorrelated with their targets, or the loss rose steadily although the output activation is bounded
    or, of a function, the outputs are within the range of the targets. Not with fastmlp's own updates, whose sign is
    right.
    """
    against = ramp(m.agreement, -0.1, -0.4)
    new = ramp(m.agreement, -0.4, -0.8)  # without a history: outputs of a new net are anticorrelated by chance
    row = m.model.activations[-1]
    is_bounded = np.isfinite([row.low, row.high]).all()
    within = (m.output_low >= m.target_low) & (m.output_high <= m.target_high)  # for a function
    climbed = ramp(m.curve.trend, 0.6, 0.9) * (is_bounded if m.model.has_weights else within)
    rose = ramp(m.curve.last / np.maximum(m.curve.first, 1e-12), 1.02, 1.3) * ramp(m.curve.trend, 0.3, 0.7)
    trained = np.where(np.isnan(m.curve.epochs), 0.85 * new, rose * np.maximum(against, climbed))
    return 0.97 * ramp(m.skill, -0.1, -0.5) * trained * finite(m) * (m.curve.diverged == 0) * (not m.updates.ours)


def broken_updates(m: Measurements) -> np.ndarray:
    """Return the confidence that the updates do not follow the gradient.

    Either the loss stays constant although the true gradient would lower it, or the recorded loss is not that of the
    current weights.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        elsewhere = np.abs(np.log(m.curve.last / m.excess))
    standing = stands_still(m) * (1.0 - overshoots(m)) * ramp(m.curve.swing, 0.05, 0.01)
    standing = standing * (m.masks.mask_noise == 0)  # with dropout, training follows the gradient under masks
    known = np.max([learning_rate_too_low(m), clip_norm_too_low(m), weight_decay_too_high(m)], axis=0)
    other_loss = log_ramp(np.exp(elsewhere), 1.6, 3.0) * ramp(m.excess / m.base_excess, 0.2, 0.5)
    other_loss = other_loss * (m.curve.last < m.excess) * (not has_other_samples(m))
    return 0.91 * np.maximum(standing * (1.0 - known), other_loss) * (m.curve.epochs >= 20) * not_learned(m) * finite(m)


# ---- symptoms without a known cause


def base_rate(m: Measurements) -> np.ndarray:
    constant = ramp(m.variation, 0.25, 0.1) * ramp(m.skill, 0.1, 0.03)
    deviation = np.abs(m.mean_gap) / max((m.target_high - m.target_low) / 2, 1e-12)
    untouched = ramp(gain(m), 0.01, 0.05)  # without a history, a net that could learn may not have begun
    moving = np.where(np.isnan(m.curve.epochs), untouched, ramp(gain(m), 0.02, 0.1))
    moving = np.where(has_curve(m), ramp(m.curve.change, 0.003, 0.02), moving)
    tried = np.where(np.isnan(m.curve.epochs), 1.0, ramp(m.curve.epochs, 5, 20)) * (1.0 - 0.9 * moving)
    constant = constant * ramp(m.skill, -0.1, -0.03) * (1.0 - 0.6 * wrong_learning_rate(m))
    return 0.74 * tried * constant * ramp(deviation, 0.25, 0.1) * not_learned(m) * finite(m) * max(learnable(m), 0.3)


def plateau(m: Measurements) -> np.ndarray:
    by_curve = ramp(np.abs(m.curve.change), 0.03, 0.004)
    by_gradient = ramp(gain(m), 0.02, 0.002) * np.where(np.isnan(m.curve.epochs), 1.0, 0.0)
    if m.updates.schedule:
        by_curve = np.minimum(by_curve, ramp(gain(m), 0.02, 0.002))
    is_at_rest = np.where(has_curve(m), by_curve, by_gradient) * ramp(gain(m), 0.3, 0.1)
    downhill = log_ramp(-m.landscape.smallest / np.maximum(np.abs(m.landscape.largest), 1e-12), 3e-4, 6e-3)
    is_at_rest = np.maximum(is_at_rest, merged_at_rest(m))
    kind = np.maximum(
        ramp(m.skill, 0.03, 0.12), 1.08 * downhill * ramp(m.skill, 0.12, 0.03) * ramp(m.skill, -0.3, -0.1)
    )
    kind = kind * (1.0 - 0.6 * wrong_learning_rate(m))
    return 0.73 * is_at_rest * kind * not_learned(m) * finite(m) * learnable(m) * (1.0 - 0.5 * m.curve.stopped_early)
