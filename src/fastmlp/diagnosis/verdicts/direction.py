"""Verdicts on the direction of the steps: updates that do not follow the gradient."""

from __future__ import annotations

import numpy as np

from ..measurements import Measurements
from .shared import finite, gain, log_ramp, ramp, stuck, uniform, without_history
from .steps import ClipNormTooLow, LearningRateTooLow, decayed, overshoots, stands_still
from .verdict import Net, Verdict, number, percent


class WrongSign(Verdict):
    name, title = "wrong_sign", "The loss has the wrong sign"
    evidence = "agreement, loss, base rate's loss, first loss, explained"

    def confidence(self, m: Measurements) -> np.ndarray:
        """Return the confidence that the update has the wrong sign, so that training raises the loss.

        Outputs are anticorrelated with their targets, or the loss rose steadily although the output activation is
        bounded or, of a function, the outputs are within the range of the targets. Not with fastmlp's own updates,
        whose sign is right.
        """
        if m.updates.ours:
            return uniform(m, 0.0)
        row = m.model.activations[-1]
        is_bounded = np.isfinite([row.low, row.high]).all()
        within = (m.output_low >= m.target_low) & (m.output_high <= m.target_high)  # for a function
        climbed = ramp(m.curve.trend, 0.6, 0.9) * (is_bounded if m.model.has_weights else within)
        rose = ramp(m.curve.last / np.maximum(m.curve.first, 1e-12), 1.02, 1.3) * ramp(m.curve.trend, 0.3, 0.7)
        by_curve = rose * np.maximum(ramp(m.agreement, -0.1, -0.4), climbed)
        # Outputs of a new net are anticorrelated by chance, too.
        trained = np.where(without_history(m), 0.85 * ramp(m.agreement, -0.4, -0.8), by_curve)
        return 0.97 * ramp(m.skill, -0.1, -0.5) * trained * finite(m) * (m.curve.diverged == 0)

    def remedy(self, net: Net) -> str:
        return "Flip the sign of the update: subtract the learning rate times the gradient of (output - target), once."

    def experiment(self, net: Net) -> str:
        return (
            "After the flip the loss of the very first step should fall; fastmlp.check_gradients checks it numerically."
        )


class BrokenUpdates(Verdict):
    name, title = "broken_updates", "The updates do not follow the gradient"
    evidence = "gain of one step, change of the loss, loss, recorded loss, best step"

    def confidence(self, m: Measurements) -> np.ndarray:
        """Return the confidence that the updates do not follow the gradient.

        Either the loss stays constant although the true gradient would lower it, or the recorded loss is not that of
        the current weights.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            elsewhere = np.abs(np.log(m.curve.last / m.excess))
        standing = stands_still(m) * (1.0 - overshoots(m)) * ramp(m.curve.swing, 0.05, 0.01)
        standing = standing * (m.mask_noise == 0)  # with dropout, training follows the gradient under masks
        known = (LearningRateTooLow().confidence(m), ClipNormTooLow().confidence(m), decayed(m))
        # Records are no losses of samples that the fit has held out or weighted.
        has_other_samples = m.n_samples > m.updates.n_samples > 0 or m.updates.weighted
        other_loss = log_ramp(np.exp(elsewhere), 1.6, 3.0) * ramp(m.excess / m.base_excess, 0.2, 0.5)
        other_loss = other_loss * (m.curve.last < m.excess) * (not has_other_samples)
        either = np.maximum(standing * (1.0 - np.max(known, axis=0)), other_loss)
        return 0.91 * either * (m.curve.epochs >= 20) * stuck(m)

    def remedy(self, net: Net) -> str:
        if net.updates.ours:  # fastmlp's own backward pass needs no check by the user
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
        return (
            f"Take one step by hand, params -= {number(net.best_step)} * gradient, with the true gradient: the loss "
            f"should fall by {percent(net.of(gain(net.all)))}."
        )


VERDICTS = WrongSign(), BrokenUpdates()
