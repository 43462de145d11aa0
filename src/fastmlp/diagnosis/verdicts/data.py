"""Verdicts on the data: values, coding and scale of inputs and targets."""

from __future__ import annotations

import numpy as np

from .evidence import Evidence, log_ramp, ramp
from .verdict import Net, Verdict, number, percent


class NotFinite(Verdict):
    name, title = "not_finite", "NaN or infinity"
    evidence = "first not finite, loss"
    test = "Watch max(abs(net.params)) over the first epochs: it should stay in the hundreds at most."

    def confidence(self, m: Evidence) -> np.ndarray:
        return 1.0 - m.finite

    def remedy(self, net: Net) -> str:
        if net.bad_data:
            return f"Impute or drop what is not finite in the data: {net.bad_data}."
        array_name = net.all.places[int(net.first_bad)]
        return (
            f"Begin again from the first weights (net.reset()) with a tenth of the learning rate: {array_name} "
            f"{'is' if array_name.endswith('loss') else 'are'} no longer finite, and training cannot continue."
        )


class ConstantData(Verdict):
    """Targets or inputs that are the same for all samples: what to do is the same."""

    name, title = "constant_data", "The targets or the inputs never change"
    evidence = "lowest target, highest target, constant inputs, inputs"
    test = "Print X.std(axis=0) and numpy.unique(y, return_counts=True): neither should show one value alone."

    def confidence(self, m: Evidence) -> np.ndarray:
        labels = m.highest_target <= m.lowest_target or m.n_constant_targets == m.model.n_outputs
        return m.uniform(max(0.99 * labels, 0.98 * (m.constant_inputs == m.n_features)))

    def remedy(self, net: Net) -> str:
        if net.constant_inputs == net.n_features:
            return "Check how X was made: every sample has the same inputs, so no net can tell them apart."
        return "Check how y was made: every sample has the same target, so there is nothing to learn."


class UnreachableTargets(Verdict):
    """Targets in a coding that the outputs cannot have, or beyond their range: what to do is the same."""

    name, title = "unreachable_targets", "The outputs cannot reach the targets"
    evidence = "coding, output range, lowest output, highest output, lowest target, highest target, share out of reach"

    def confidence(self, m: Evidence) -> np.ndarray:
        is_guess = m.bounds.certainty < 1
        beyond = (
            0.97 * m.bounds.certainty * ramp(m.share_out_of_reach, 0.0, 0.03) * (1.0 if is_guess else 1.0 - m.learned)
        )
        return np.maximum(beyond, 0.97 * bool(m.label_problem))

    def remedy(self, net: Net) -> str:
        if net.label_problem:
            return f"Recode y: {net.label_problem}."
        low, high = number(net.bounds.low), number(net.bounds.high)
        if not net.model.has_weights:
            return (
                f"Apply one sigmoid only: outputs lie in [{low}, {high}], as those of {net.bounds.source} do, and the "
                f"targets go from {number(net.lowest_target)} to {number(net.highest_target)}. Use expit(z), or "
                "1 / (1 + exp(-z)), by itself."
            )
        return (
            f"{net.bounds.source.capitalize()} reaches from {low} to {high}, and {percent(net.share_out_of_reach)} of "
            f"the targets lie beyond: use an identity output with squared_error, or rescale y into [{low}, {high}]."
        )

    def experiment(self, net: Net) -> str:
        if net.label_problem:
            return "Train again with the recoded y: the loss should fall below the base rate's within some epochs."
        return "Feed the output function -100, 0 and 100: the results should cover the range of the targets."


class UnscaledData(Verdict):
    """Inputs or targets whose scale is far from that of a new net: what to do is the same."""

    name, title = "unscaled_data", "The inputs or the targets are not scaled"
    evidence = (
        "largest input spread, typical input spread, largest input offset, target spread, target mean, saturated "
        "units, explained, attainable at least, change of the loss"
    )
    test = "Train the same net on standardised data for as many epochs and compare `explained`."

    def confidence(self, m: Evidence) -> np.ndarray:
        return np.maximum(self.inputs(m), m.unscaled_targets)

    def inputs(self, m: Evidence) -> np.ndarray:
        small = float(log_ramp(m.largest_input_spread, 0.02, 0.004)) * (not m.encoded_inputs)
        return 0.92 * max(m.inputs_too_large, small) * m.stuck * m.learnable

    def remedy(self, net: Net) -> str:
        if net(self.inputs) >= net.unscaled_targets:
            return (
                "Standardise each input, by standardize=True of the net or X = (X - X.mean(axis=0)) / X.std(axis=0): "
                f"the median of their standard deviations is {number(net.typical_input_spread)} and the largest is "
                f"{number(net.largest_input_spread)}, but each should be 1, with a mean of 0."
            )
        return (
            "Standardise the targets, by standardize=True of the net, or by y = (y - y.mean()) / y.std() and "
            f"predictions scaled back: their spread is {number(net.target_spread)} and their mean "
            f"{number(net.target_mean)}, where a net's first outputs are around 0 and 1."
        )


class ShuffledLabels(Verdict):
    name, title = "shuffled_labels", "The labels do not belong to their rows"
    evidence = "signal, linear, nearest neighbours, random features, explained"
    test = (
        "Shuffle y on purpose and compare the validation losses: if they are alike, the labels contain no information."
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        return m.labels_are_noise * (m.highest_target > m.lowest_target)

    def remedy(self, net: Net) -> str:
        return (
            "Check that X and y are in the same order, by joining them on their key again: no simple model predicts y "
            "any better than it would predict shuffled labels."
        )


class IndependentOutputs(Verdict):
    name, title = "independent_outputs", "One-hot targets on independent outputs"
    evidence = "output activation, explained, gradient"
    test = "Train the same hidden layers with softmax_cross_entropy from the same seed and compare the accuracy."

    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence that exclusive classes are learned by independent outputs instead of softmax."""
        row = m.model.activations[-1]
        separate = m.one_hot and np.isfinite(row.low) and row.name != "softmax" and m.model.has_weights
        hardly_learned = ramp(m.skill, 0.35, 0.1) * ramp(m.skill, -0.5, -0.2)
        return 0.84 * separate * (1.0 - m.learned) * hardly_learned * m.learnable

    def remedy(self, net: Net) -> str:
        return (
            f"Use loss='softmax_cross_entropy' for the {net.model.n_outputs} exclusive classes (or one sigmoid with "
            "binary_cross_entropy for two): independent outputs all settle at the base rate first."
        )


DATA = NotFinite(), ConstantData(), UnreachableTargets(), UnscaledData(), ShuffledLabels(), IndependentOutputs()
