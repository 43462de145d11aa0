"""Remedies against steps of a wrong length: learning rates too high or too low, and gradients clipped too short."""

from __future__ import annotations

import numpy as np

from . import verdict_quantities
from .evidence import number, one, rate
from .measurements import Measurements
from .remedies import clipping

FRACTIONS = {True: 0.25, False: 0.1}  # of the longest first step: a learning rate for plain descent, and for others


def rate_too_high(m: Measurements, k: int) -> str:
    learning_rate, largest = rate(m, k), one(m.landscape.largest, k)
    if one(verdict_quantities.step_ratio(m), k) > 1:
        again = ", and begin again from the first weights (net.reset())" if is_ruined(m, k) else ""
        return (
            f"Lower the learning rate from {number(learning_rate)} to {number(tried_rate(m, k))}{again}: a first step "
            f"longer than {number(m.longest_step)} raises the loss of a new net."
        )
    if one(verdict_quantities.overshoots(m), k) > 0.5:
        best_step = number(one(m.landscape.best_step, k))
        return (
            f"Lower the learning rate from {number(learning_rate)} to {best_step}: a step of that length lowers the "
            "loss, and one of the learning rate ends beyond the valley, no lower than it began."
        )
    if m.updates.is_plain_descent and np.isfinite(learning_rate) and largest > 0 and learning_rate * largest > 1:
        return (
            f"Lower the learning rate from {number(learning_rate)} to {number(0.5 / largest)}: steps longer than "
            f"{number(2 / largest)}, 2 / largest curvature, raise the loss."
        )
    if np.isfinite(learning_rate):
        return f"Lower the learning rate from {number(learning_rate)} to {number(learning_rate / 10)}{clipping(m, k)}."
    return f"Lower the learning rate to a tenth{clipping(m, k)}."


def rate_too_high_experiment(m: Measurements, k: int) -> str:
    if is_ruined(m, k):
        below = number(np.fmin(m.base_loss, one(m.loss, k)))
        return f"Train the same net from its first weights with the lower rate: its loss should end below {below}."
    return "Train ten epochs from here with the lower rate: the loss should fall smoothly."


def is_ruined(m: Measurements, k: int) -> bool:
    """Return whether the weights are no start for a training with another learning rate."""
    lost = max(np.nan_to_num(one(m.dead, k)), np.nan_to_num(one(m.saturated, k)))
    return lost > 0.3 or not one(m.skill, k) > 0 or one(m.curve.diverged, k) > 0


def tried_rate(m: Measurements, k: int) -> float:
    """Return a learning rate that suits a new net: a fraction of its longest first step, with one digit."""
    fraction = FRACTIONS[m.updates.is_plain_descent]
    return float(f"{fraction * m.longest_step * (1.0 - one(m.updates.momentum, k)):.1g}")


def rate_too_low(m: Measurements, k: int) -> str:
    safe, learning_rate = one(m.landscape.safe_step, k), rate(m, k)
    if np.isfinite(learning_rate) and m.updates.is_plain_descent and safe > learning_rate:
        return (
            f"Raise the learning rate from {number(learning_rate)} to {number(safe)}, {number(safe / learning_rate)} "
            "times as much: it suits the largest curvature of the loss."
        )
    if np.isfinite(m.longest_step) and tried_rate(m, k) > 30 * learning_rate:
        return (
            f"Raise the learning rate from {number(learning_rate)} to {number(tried_rate(m, k))}: first steps up to "
            f"{number(m.longest_step)} lower the loss of a new net."
        )
    if np.isfinite(learning_rate):
        return (
            f"Raise the learning rate from {number(learning_rate)} to {number(30 * learning_rate)}, and again if the "
            "loss still falls slowly."
        )
    return (
        f"Raise the learning rate, first by a factor of 30; for plain gradient descent {number(safe)} suits the "
        "curvature."
    )


def clip(m: Measurements, k: int) -> str:
    clip, length = one(m.updates.clip_norm, k), one(m.landscape.gradient, k)
    return (
        f"Raise clip_norm from {number(clip)} to {number(2 * length)}, or leave it out: the gradient is "
        f"{number(length)} long, so clipping makes each step {number(length / clip)} times shorter."
    )
