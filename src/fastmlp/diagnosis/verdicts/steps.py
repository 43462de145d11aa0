"""Verdicts on the steps: learning rates, gradients that are clipped, and updates that do not follow the gradient."""

from __future__ import annotations

import numpy as np

from .evidence import SCHEDULE_MEAN, Evidence, log_ramp, ramp
from .verdict import Net, Verdict, number, percent

FRACTIONS = {True: 0.25, False: 0.1}  # of the longest first step: a learning rate for plain descent, and for others


def stands_still(m: Evidence) -> np.ndarray:
    """Return the confidence that the loss stays constant although one descent step would lower it much."""
    return ramp(np.abs(m.change), 0.02, 0.002) * ramp(m.gain, 0.08, 0.25)


def safe_step_epochs(m: Evidence) -> np.ndarray:
    """Return the gain of one step with learning rate 1 / largest curvature, in units of the recent gain per epoch."""
    per_epoch = m.change / np.maximum(0.25 * m.epochs, 1.0)
    return m.relative_safe_gain / np.maximum(per_epoch, 1e-12)


def safe_rate_ratio(m: Evidence) -> np.ndarray:
    """Return the learning rate that suits the curvature, divided by the one that was used."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return m.safe_step / m.effective_rate


def clipped(m: Evidence) -> np.ndarray:
    """Return the confidence that clip_norm, and not mainly the learning rate, makes descent steps too short.

    0 for update rules that divide by the size of the gradient, such as Adam: clipping does not change their steps.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        shortened = np.where(m.clip_norm > 0, m.gradient / m.clip_norm, 0.0)
        much = log_ramp(shortened / safe_rate_ratio(m), 0.01, 0.1)
    return m.is_plain_descent * log_ramp(shortened, 3.0, 30.0) * much


def tried_rate(net: Net) -> float:
    """Return a learning rate that suits a new net: a fraction of its longest first step, with one digit."""
    fraction = FRACTIONS[net.is_plain_descent]
    return float(f"{fraction * net.longest_first_step * (1.0 - net.momentum):.1g}")


class LearningRateTooHigh(Verdict):
    name, title = "learning_rate_too_high", "The learning rate is too high"
    evidence = (
        "learning rate, longest first step, best step, largest curvature, dead units, saturated units, "
        "swing of the loss, loss, base rate's loss, lowest loss, recorded loss"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        swings = ramp(m.swing, 0.02, 0.1) * ramp(m.back_and_forth, 3.0, 8.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            climbs = ramp(m.last_record / np.maximum(m.lowest_record, 0.05 * m.base_excess), 1.3, 3.0)
            unstable = m.is_plain_descent * log_ramp(m.effective_rate * m.largest_curvature, 1.8, 2.5)
        symptoms = np.maximum(np.maximum(swings, 0.8 * climbs), m.diverged)
        symptoms = np.maximum(symptoms, 0.8 * unstable * np.maximum(ramp(m.swing, 0.002, 0.02), 0.3))
        # A step that is not clipped ends beyond the valley.
        beyond = m.is_plain_descent * (m.clip_norm == 0.0) * (m.effective_rate > m.best_step)
        symptoms = np.maximum(symptoms, beyond * stands_still(m))
        # The loss goes up and down without falling, is worse than a constant's, or units are lost: what steps that are
        # far too long end in.
        wanders = ramp(m.half_change, 0.1, 0.03) * ramp(m.swing, 0.001, 0.01)
        lost = np.maximum(ramp(m.dead_units, 0.45, 0.8), ramp(m.saturated_units, 0.5, 0.8))
        # A part of the units may be lost while the loss falls steadily, but not by steps several times too long.
        lost = lost * (1.0 - 0.5 * m.falling * log_ramp(m.step_ratio, 6.0, 2.0))
        harm = np.max([wanders, ramp(m.skill, 0.0, -0.2), lost], axis=0)
        # Such a net may have learned a part before, or may learn in spite of its steps.
        despite = m.oversteps * harm * ramp(1.0 - m.learned, 0.0, 0.5)
        confidence = 0.92 * np.maximum(symptoms * (1.0 - m.learned), despite)
        confidence = np.where(m.diverged > 0, 0.96, confidence)
        return confidence * (1.0 - 0.5 * m.data_too_large) * m.finite

    def remedy(self, net: Net) -> str:
        rate, largest = net.learning_rate, net.largest_curvature
        lower = f"Lower the learning rate from {number(rate)} to "
        if net.step_ratio > 1:
            again = ", and begin again from the first weights (net.reset())" if self._is_ruined(net) else ""
            return (
                f"{lower}{number(tried_rate(net))}{again}: a first step longer than {number(net.longest_first_step)} "
                "raises the loss of a new net."
            )
        if net.is_plain_descent and np.isfinite(rate) and largest > 0 and rate * largest > 1:
            return (
                f"{lower}{number(0.5 / largest)}: steps longer than {number(2 / largest)}, 2 / largest curvature, "
                "raise the loss."
            )
        is_clipped = 0 < net.clip_norm <= 1 or net.rule == "rprop"  # which ignores lengths
        clipping = "" if is_clipped else ", or set clip_norm=1.0"
        return (
            f"{lower}{number(rate / 10)}{clipping}."
            if np.isfinite(rate)
            else f"Lower the learning rate to a tenth{clipping}."
        )

    def _is_ruined(self, net: Net) -> bool:
        """Return whether the weights are no start for a training with another learning rate."""
        lost = max(np.nan_to_num(net.dead_units), np.nan_to_num(net.saturated_units))
        return lost > 0.3 or not net.skill > 0 or net.diverged > 0

    def experiment(self, net: Net) -> str:
        if self._is_ruined(net):
            below = number(np.fmin(net.base_loss, net.loss))
            return f"Train the same net from its first weights with the lower rate: its loss should end below {below}."
        return "Train ten epochs from here with the lower rate: the loss should fall smoothly."


class LearningRateTooLow(Verdict):
    """A learning rate that is too low, or gradients that are clipped: both make steps too short."""

    name, title = "learning_rate_too_low", "The learning rate or clip_norm is too low"
    evidence = (
        "learning rate, longest first step, safe step, clip norm, gradient, gain of a safe step, change of the loss, "
        "epochs, steps, epochs left"
    )
    test = "Train ten epochs from here with the longer steps: the loss should fall by more than in all so far."

    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence that steps are too short.

        The loss falls slowly along a straight line, while one step with learning rate 1 / largest curvature would gain
        as much as many epochs. With dropout, whose noise hides such a line, the loss is still near its first value.
        Clipped gradients may change so little that the records stand still.
        """
        straight = ramp(m.back_and_forth, 3.0, 1.2) * (m.change > 0) * (m.last_record < m.first_record)
        slow = log_ramp(safe_step_epochs(m), 15.0, 60.0)
        is_shorter = ramp(safe_rate_ratio(m), 3.0, 10.0) if m.is_plain_descent else 1.0
        long = np.maximum(ramp(m.epochs, 8, 40), log_ramp(m.n_steps, 50, 400) * (1.0 - m.falling))
        could = ramp(m.gain, 0.005, 0.02)
        symptoms = np.where(m.mask_noise > 0, untrained(m) * long, straight * slow * is_shorter * long * could)
        symptoms = np.maximum(symptoms, self._hardly_moved(m) * could)
        symptoms = np.maximum(symptoms, clipped(m) * slow)
        symptoms = symptoms * (1.0 - 0.5 * decayed(m))  # which explains that the loss stands, too
        return 0.87 * symptoms * m.stuck * m.learnable

    def _hardly_moved(self, m: Evidence) -> np.ndarray:
        """Return the confidence that many steps together are shorter than one that would lower a new net's loss."""
        travelled = m.step_ratio * m.n_steps * (SCHEDULE_MEAN if m.schedule else 1.0)
        return log_ramp(travelled, 0.7, 0.15) * log_ramp(m.n_steps, 50.0, 300.0)

    def remedy(self, net: Net) -> str:
        safe, rate, clip, length = net.safe_step, net.learning_rate, net.clip_norm, net.gradient
        if net(clipped) > 0.5:
            return (
                f"Raise clip_norm from {number(clip)} to {number(2 * length)}, or leave it out: the gradient is "
                f"{number(length)} long, so clipping makes each step {number(length / clip)} times shorter."
            )
        if not np.isfinite(rate):
            return (
                f"Raise the learning rate, first by a factor of 30; for plain gradient descent {number(safe)} suits "
                "the curvature."
            )
        higher = f"Raise the learning rate from {number(rate)} to "
        if net.is_plain_descent and safe > rate:
            times = number(safe / rate)
            return f"{higher}{number(safe)}, {times} times as much: it suits the largest curvature of the loss."
        if np.isfinite(net.longest_first_step) and tried_rate(net) > 30 * rate:
            longest = number(net.longest_first_step)
            return f"{higher}{number(tried_rate(net))}: first steps up to {longest} lower the loss of a new net."
        return f"{higher}{number(30 * rate)}, and again if the loss still falls slowly."


def untrained(m: Evidence) -> np.ndarray:
    """Return the confidence that training has had no effect yet, for a net with dropout.

    The loss under dropout is still as far above the base rate's loss as at the start; any training lowers it.
    """
    above = ramp((m.mask_loss - m.base_loss) / m.base_excess, 0.1, 0.4) * (not m.weighted)  # as in gain
    return above * ramp(np.abs(m.last_record / m.first_record - 1.0), 0.3, 0.1)


def wrong_learning_rate(m: Evidence) -> np.ndarray:
    """Return the confidence that a wrong learning rate explains a loss that stands still or falls slowly."""
    either = np.maximum(LearningRateTooLow().confidence(m), LearningRateTooHigh().confidence(m))
    return ramp(either, 0.4, 0.7) * (1.0 - m.falling * (1.0 - m.oversteps))


def decayed(m: Evidence) -> np.ndarray:
    """Return the confidence that weight decay keeps the weights too small.

    The weights have come to rest below the usual initial size, and decay has had the time to bring them there. A net
    that learns has larger weights.
    """
    enough = ramp(m.effective_rate * m.weight_decay * m.epochs, 0.3, 3.0)
    return 0.87 * enough * log_ramp(m.weight_size, 1.2, 0.45) * m.at_rest * m.stuck * m.learnable


class BrokenUpdates(Verdict):
    """Updates against the gradient, or in some other direction than its own: both are errors of a backward pass."""

    name, title = "broken_updates", "The updates do not follow the gradient"
    evidence = (
        "agreement, gain of one step, change of the loss, loss, base rate's loss, first loss, recorded loss, best step"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        return np.maximum(self.wrong_sign(m), self.off_gradient(m))

    def wrong_sign(self, m: Evidence) -> np.ndarray:
        """Return the confidence that the update has the wrong sign, so that training raises the loss.

        Outputs are anticorrelated with their targets, or the loss rose steadily although the output activation is
        bounded or, of a function, the outputs are within the range of the targets. Not with fastmlp's own updates,
        whose sign is right.
        """
        if m.is_of_fastmlp:
            return m.uniform(0.0)
        row = m.model.activations[-1]
        is_bounded = np.isfinite([row.low, row.high]).all()
        within = (m.lowest_output >= m.lowest_target) & (m.highest_output <= m.highest_target)  # for a function
        climbed = ramp(m.trend, 0.6, 0.9) * (is_bounded if m.model.has_weights else within)
        rose = ramp(m.last_record / np.maximum(m.first_record, 1e-12), 1.02, 1.3) * ramp(m.trend, 0.3, 0.7)
        by_curve = rose * np.maximum(ramp(m.agreement, -0.1, -0.4), climbed)
        # Outputs of a new net are anticorrelated by chance, too.
        trained = np.where(m.without_history, 0.85 * ramp(m.agreement, -0.4, -0.8), by_curve)
        return 0.97 * ramp(m.skill, -0.1, -0.5) * trained * m.finite * (m.diverged == 0)

    def off_gradient(self, m: Evidence) -> np.ndarray:
        """Return the confidence that the updates do not follow the gradient.

        Either the loss stays constant although the true gradient would lower it, or the recorded loss is not that of
        the current weights.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            elsewhere = np.abs(np.log(m.last_record / m.excess))
        standing = stands_still(m) * ramp(m.swing, 0.05, 0.01) * (not m.is_of_fastmlp)
        standing = standing * (m.mask_noise == 0)  # with dropout, training follows the gradient under masks
        other_cause = np.maximum(LearningRateTooLow().confidence(m), decayed(m))
        # Records are no losses of samples that the fit has held out or weighted.
        has_other_samples = m.n_samples > m.n_training_samples > 0 or m.weighted
        other_loss = log_ramp(np.exp(elsewhere), 1.6, 3.0) * ramp(m.excess / m.base_excess, 0.2, 0.5)
        other_loss = other_loss * (m.last_record < m.excess) * (not has_other_samples)
        either = np.maximum(standing * (1.0 - other_cause), other_loss)
        return 0.91 * either * (m.epochs >= 20) * m.stuck

    def _has_wrong_sign(self, net: Net) -> bool:
        return net(self.wrong_sign) >= net(self.off_gradient)

    def remedy(self, net: Net) -> str:
        if self._has_wrong_sign(net):
            return (
                "Flip the sign of the update: subtract the learning rate times the gradient of (output - target), once."
            )
        if net.is_of_fastmlp:  # fastmlp's own backward pass needs no check by the user
            return (
                "Give diagnose the history of the last fit and the samples of that fit: the recorded losses are not "
                "those of these weights on these samples, as after a change of the parameters or with other data."
            )
        return (
            "Check the backward pass with fastmlp.check_gradients, and that only weights and biases are updated: "
            "activations and pre-activations are results of the forward pass, and writing to the first of them "
            "overwrites X."
        )

    def experiment(self, net: Net) -> str:
        if self._has_wrong_sign(net):
            return (
                "After the flip the loss of the very first step should fall; fastmlp.check_gradients checks it "
                "numerically."
            )
        return (
            f"Take one step by hand, params -= {number(net.best_step)} * gradient, with the true gradient: the loss "
            f"should fall by {percent(net.gain)}."
        )


STEPS = LearningRateTooHigh(), LearningRateTooLow(), BrokenUpdates()
