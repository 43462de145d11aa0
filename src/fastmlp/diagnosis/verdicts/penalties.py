"""Verdicts on what training adds to the loss: weight decay, penalties and dropout."""

from __future__ import annotations

import numpy as np

from .evidence import Evidence, log_ramp, ramp
from .steps import decayed, untrained, wrong_learning_rate
from .verdict import Net, Verdict, number, percent

LEAST_L2 = 1e-4  # penalties up to it are never the cause


def collapsed(m: Evidence) -> np.ndarray:
    """Return the confidence that the outputs have become those of the best constant, the base rate."""
    constant = ramp(m.variation, 0.25, 0.1) * ramp(m.skill, 0.1, 0.03) * ramp(m.skill, -0.1, -0.03)
    deviation = np.abs(m.mean_gap) / max((m.target_high - m.target_low) / 2, 1e-12)
    untouched = ramp(m.gain, 0.01, 0.05)  # without a history, a net that could learn may not have begun
    moving = np.where(m.without_history, untouched, ramp(m.gain, 0.02, 0.1))
    moving = np.where(m.has_curve, ramp(m.curve.change, 0.003, 0.02), moving)
    tried = np.where(m.without_history, 1.0, ramp(m.curve.epochs, 5, 20)) * (1.0 - 0.9 * moving)
    constant = constant * (1.0 - 0.6 * wrong_learning_rate(m))
    return 0.74 * tried * constant * ramp(deviation, 0.25, 0.1) * m.stuck * max(m.learnable, 0.3)


def penalised(m: Evidence) -> np.ndarray:
    """Return the confidence that weight decay, or an L2 penalty, takes away what the net learns."""
    by_l2 = (np.asarray(m.model.l2) > LEAST_L2) * collapsed(m) / 0.74 * 0.87
    return np.maximum(decayed(m), by_l2)


class WeightDecayTooHigh(Verdict):
    """Weight decay, or a penalty, that is too strong: both keep the weights too small."""

    name, title = "weight_decay_too_high", "Weight decay or the L2 penalty is too strong"
    evidence = (
        "weight decay, penalty, learning rate, epochs, size of the weights, variation of the outputs, loss, "
        "base rate's loss, explained"
    )
    test = "Train the same net without decay and penalty from the same seed: its loss should fall below this one."

    def confidence(self, m: Evidence) -> np.ndarray:
        return penalised(m)

    def remedy(self, net: Net) -> str:
        decay = net.updates.weight_decay
        if net(decayed) < net(penalised):
            text = f"Lower l2 from {number(net.l2)} to {number(net.l2 / 1000)}"
            return f"{text}: the penalty outweighs what larger weights gain."
        return (
            f"Lower weight_decay from {number(decay)} to {number(decay / 1000)}: every step takes "
            f"{number(100 * net.learning_rate * decay)} % of the weights, more than the gradient gives back."
        )


class DropoutTooHigh(Verdict):
    name, title = "dropout_too_high", "Dropout leaves too little of the net"
    evidence = (
        "dropout, share of the outputs by dropout, loss under dropout, loss, base rate's loss, epochs, "
        "narrowest hidden layer"
    )
    test = "Train the same net with dropout=0 from the same seed: its loss should fall below this one."

    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence that the outputs depend on the dropout masks more than on the inputs."""
        # In each layer masks multiply the variance of random sums by 1 / (1 - dropout). At rates for which this factor
        # is close to 1, masks dominate only if the outputs hardly vary at all, which has another cause.
        added = 1.0 / (1.0 - m.model.dropped).prod(axis=1) - 1.0
        decided = log_ramp(added, 0.6, 2.5) * ramp(m.mask_share, 0.65, 0.95)
        decided = decided * ramp(m.curve.epochs, 20, 60) * (1.0 - untrained(m))
        return 0.86 * decided * m.stuck * m.learnable

    def remedy(self, net: Net) -> str:
        return (
            f"Lower dropout from {number(net.dropout)} to {number(min(0.2, net.dropout / 4))}, or widen the hidden "
            f"layers: the dropout masks cause {percent(net.mask_share)} of the outputs' variance, and the inputs cause "
            "the rest."
        )


VERDICTS = WeightDecayTooHigh(), DropoutTooHigh()
