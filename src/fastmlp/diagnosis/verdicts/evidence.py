"""Evidence: what follows from the measurements and several verdicts use, each (n_nets,) or common to all nets.

A number that could not be measured is NaN and adds nothing to a confidence.
"""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..data_checks import MIN_SAMPLES

SCHEDULE_MEAN = 0.5  # mean learning rate of most schedules, as a fraction of the largest


def ramp(x: Any, low: float, high: float) -> np.ndarray:
    """Return a linear ramp: 0 for x up to low, 1 from high on; falling if high < low; 0 for NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.clip((np.asarray(x, np.float64) - low) / (high - low), 0.0, 1.0), nan=0.0)


def log_ramp(x: Any, low: float, high: float) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return ramp(np.log(x), np.log(low), np.log(high))


def scale_too_large(scale: Any) -> float:
    """Return the confidence that inputs are unscaled and large.

    scale : an InputScale, or what has its attributes
    """
    typical, largest = scale.typical_input_spread, scale.largest_input_spread
    ratio = largest / typical if typical > 0 else 1.0
    size = max(largest, scale.largest_input_offset * typical)
    by_offset = log_ramp(scale.largest_input_offset, 8.0, 30.0)
    return float(max(log_ramp(ratio, 30.0, 300.0), by_offset, log_ramp(size, 20.0, 100.0)))


class Evidence(SimpleNamespace):
    """What verdicts rest on: measurements, by the names that `measure` describes, and what follows from them."""

    def uniform(self, value: float) -> np.ndarray:
        return np.full(self.model.n_nets, float(value))

    # ---- what was learned

    @property
    def excess(self) -> np.ndarray:
        """Loss above that of perfect outputs, (n_nets,)."""
        return self.loss - self.floor

    @property
    def base_excess(self) -> float:
        return max(self.base_loss - self.floor, 1e-300)

    @property
    def skill(self) -> np.ndarray:
        """Skill score, (n_nets,): 1 for perfect outputs, 0 for the loss of the best constant, below 0 for worse."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1.0 - self.excess / self.base_excess

    @cached_property
    def learned(self) -> np.ndarray:
        """How close a net is to what can be learned, from 0 to 1.

        That is the variance that simple models explain out of sample; for few samples, or if simple models explain
        almost nothing, it is all of the variance.
        """
        if not self.attainable > 0.05:
            return ramp(self.explained, 0.5, 0.9)
        fraction = self.explained / self.attainable
        return np.maximum(ramp(fraction, 0.7, 0.95), ramp(self.explained, 0.95, 0.99))

    @cached_property
    def stuck(self) -> np.ndarray:
        """The confidence that a net, whose values are finite, has not learned what can be learned."""
        return (1.0 - self.learned) * self.finite

    @cached_property
    def finite(self) -> np.ndarray:
        return (self.first_bad == 0).astype(np.float64) * (not self.bad_data)

    @cached_property
    def learnable(self) -> float:
        """The confidence that there is something to learn: 0 if labels are noise or constant."""
        return float(ramp(self.attainable, 0.02, 0.1)) if self.highest_target > self.lowest_target else 0.0

    @cached_property
    def labels_are_noise(self) -> np.ndarray:
        """The confidence that labels are unrelated to the inputs, as after shuffling."""
        if not np.isfinite(self.signal) or self.n_checked < MIN_SAMPLES:
            return self.uniform(0.0)
        no_signal = float(ramp(self.signal, 3.8, 2.9))
        certainty = np.where(np.isnan(self.validation_signal), 0.85, 0.95)
        enough = ramp(self.n_checked, MIN_SAMPLES / 2, 2 * MIN_SAMPLES)
        return no_signal * certainty * enough * (1.0 - ramp(self.validation_signal, 2.5, 4.0))

    @cached_property
    def held_out_loss(self) -> np.ndarray:
        """The validation loss: measured if validation data were given, otherwise the record of the kept epoch."""
        return np.where(np.isfinite(self.validation_loss), self.validation_loss, self.kept_validation_loss + self.floor)

    # ---- the scale of the data

    @cached_property
    def inputs_too_large(self) -> float:
        """The confidence that inputs are unscaled and large; 0 for inputs that fastmlp has encoded from a table.

        Its bins with few samples have large offsets, and need no scaling.
        """
        return scale_too_large(self) * (not self.encoded_inputs)

    @cached_property
    def has_free_outputs(self) -> bool:
        """Whether outputs are numbers without bounds, as for regression."""
        row = self.model.activations[-1]
        is_bounded = np.isfinite([row.low, row.high]).any()
        return bool(self.model.has_weights and not is_bounded and not self.model.loss.delta_is_wrt_logit)

    @cached_property
    def targets_too_large(self) -> float:
        return float(self.has_free_outputs * log_ramp(max(self.target_spread, self.target_mean), 15.0, 60.0))

    @cached_property
    def unscaled_targets(self) -> np.ndarray:
        """The confidence that the scale of the targets is far from that of a new net's outputs."""
        is_small = float(log_ramp(self.target_spread, 0.02, 0.004)) if self.target_spread > 0 else 0.0
        return 0.91 * max(self.targets_too_large, self.has_free_outputs * is_small) * self.stuck * self.learnable

    @cached_property
    def data_too_large(self) -> float:
        """The confidence that large inputs or targets explain lost units and diverging losses."""
        return max(self.inputs_too_large, self.targets_too_large) * self.learnable

    # ---- the loss curve

    @cached_property
    def has_curve(self) -> np.ndarray:
        return np.isfinite(self.change)

    @cached_property
    def without_history(self) -> np.ndarray:
        return np.isnan(self.epochs)

    @cached_property
    def epochs_left(self) -> np.ndarray:
        """The projected number of epochs until the loss has converged, of validation if it is recorded.

        NaN with a schedule that lowered the learning rate, which flattens any curve, and for less than one epoch: the
        projection then does not see the loss fall.
        """
        if self.schedule:
            return self.uniform(np.nan)
        left = np.where(np.isfinite(self.validation_projected), self.validation_projected, self.projected)
        return np.where(left >= 1.0, np.ceil(left), np.nan)

    @cached_property
    def remaining(self) -> np.ndarray:
        """The projected further decrease of the loss, as a fraction of the base rate's loss; NaN without a curve."""
        return np.maximum(self.last_record - self.projected_loss, 0.0) / self.base_excess

    @cached_property
    def fell_in_last_epoch(self) -> np.ndarray:
        """The confidence that a curve too short for a slope fell in its last epoch, of validation if it has any."""
        return np.where(self.has_curve, 0.0, ramp(self.last_fall, 0.01, 0.05))

    @cached_property
    def past_best(self) -> np.ndarray:
        """The confidence that the validation loss was best long before the last epoch.

        More epochs do not help then, even if the training loss still falls.
        """
        end = np.maximum(self.epochs, 1.0)
        behind_best = np.where(self.kept_epoch < self.epochs, self.kept_epoch, self.best_epoch)
        return np.maximum(ramp(1.0 - behind_best / end, 0.03, 0.15), self.stopped_early)

    @cached_property
    def at_rest(self) -> np.ndarray:
        """The confidence that training makes no more progress, by the loss curve or else by the gradient."""
        change = np.abs(self.change)
        near_end = ramp(self.remaining, 0.06, 0.015)
        near_end = near_end * ramp(change, 0.25, 0.08)  # a projection from a steep curve is vague
        near_end = near_end * np.maximum(self.learned**2, ramp(change, 0.05, 0.01))
        by_curve = np.maximum(np.maximum(near_end, ramp(change, 0.02, 0.002)), self.past_best)
        by_gradient = ramp(self.gain, 0.06, 0.004) * (1.0 - self.fell_in_last_epoch)
        confidence = np.where(self.has_curve, by_curve, np.where(np.isfinite(self.gain), by_gradient, 0.5))
        return np.maximum(np.maximum(confidence, self.stopped_early), ramp(self.skill, 0.95, 0.985))

    @cached_property
    def falling(self) -> np.ndarray:
        """The confidence that the loss has fallen much over the second half of the epochs."""
        return ramp(self.half_change, 0.03, 0.12)

    # ---- steps

    @cached_property
    def effective_rate(self) -> Any:
        """The learning rate divided by 1 - momentum: the length of the steps in the long run."""
        return self.learning_rate / (1.0 - self.momentum)

    @cached_property
    def gain(self) -> np.ndarray:
        """The fraction of the loss that one descent step of the best length removes; NaN for functions.

        NaN also after a training with sample weights that the samples do not have here, which has lowered another loss.
        """
        return self._of_loss(self.best_gain)

    @cached_property
    def relative_safe_gain(self) -> np.ndarray:
        """The same of one step with learning rate 1 / largest curvature."""
        return self._of_loss(self.safe_gain)

    def _of_loss(self, decrease: np.ndarray) -> np.ndarray:
        if self.weighted:
            return self.uniform(np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return decrease / self.excess

    @cached_property
    def n_steps(self) -> np.ndarray:
        """The number of steps of the training, (n_nets,); NaN without a history."""
        n_samples = self.n_training_samples or self.n_samples
        return self.epochs * np.ceil(n_samples / (self.batch_size or n_samples))

    @cached_property
    def step_ratio(self) -> np.ndarray:
        """The learning rate, divided by the longest step that lowers the loss of a new net; NaN if unknown."""
        return self.effective_rate / self.longest_first_step

    @cached_property
    def oversteps(self) -> np.ndarray:
        """The confidence that steps are too long even for a new net, so that the first ones may ruin it."""
        # Momentum lengthens steps by 1 / (1 - momentum) where gradients agree, and not where they alternate: between.
        return log_ramp(self.step_ratio * np.sqrt(1.0 - self.momentum), 1.0, 2.0)

    @cached_property
    def lost_by_steps(self) -> np.ndarray:
        """The confidence that steps too long for a new net, or for its unscaled data, explain dead units."""
        return np.maximum(self.oversteps, self.data_too_large)

    @cached_property
    def merged_at_rest(self) -> np.ndarray:
        """The confidence that samples with different targets share an output and that no step lowers the loss.

        The recent shape of the loss curve does not matter.
        """
        return (
            (self.merged_samples > 0)
            * ramp(self.gain, 0.01, 0.002)
            * ramp(self.skill, 0.03, 0.12)
            * (1.0 - self.learned)
        )
