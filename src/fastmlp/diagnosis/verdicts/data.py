"""Verdicts on the data: values, coding and scale of inputs and targets."""

from __future__ import annotations

import numpy as np

from ..measurements import Measurements
from .shared import (
    finite,
    has_free_outputs,
    inputs_too_large,
    labels_are_noise,
    learnable,
    learned,
    log_ramp,
    ramp,
    stuck,
    targets_too_large,
    uniform,
)
from .verdict import Net, Verdict, number, percent


class NotFinite(Verdict):
    name, title = "not_finite", "NaN or infinity"
    evidence = "first not finite, loss"

    def confidence(self, m: Measurements) -> np.ndarray:
        return 1.0 - finite(m)

    def remedy(self, net: Net) -> str:
        if net.bad_data:
            return f"Impute or drop what is not finite in the data: {net.bad_data}."
        array_name = net.all.places[int(net.first_bad)]
        return (
            f"Begin again from the first weights (net.reset()) with a tenth of the learning rate: {array_name} "
            f"{'is' if array_name.endswith('loss') else 'are'} no longer finite, and training cannot continue."
        )

    def experiment(self, net: Net) -> str:
        return "Watch max(abs(net.params)) over the first epochs: it should stay in the hundreds at most."


class ConstantLabels(Verdict):
    name, title = "constant_labels", "The targets never change"
    evidence = "lowest target, highest target"

    def confidence(self, m: Measurements) -> np.ndarray:
        return uniform(m, 0.99 * (m.target_high <= m.target_low or m.data.n_constant_targets == m.model.n_outputs))

    def remedy(self, net: Net) -> str:
        return "Check how y was made: every sample has the same target, so there is nothing to learn."

    def experiment(self, net: Net) -> str:
        return "Print numpy.unique(y, return_counts=True): there should be two or more values."


class ConstantInputs(Verdict):
    name, title = "constant_inputs", "The inputs never change"
    evidence = "constant inputs, inputs"

    def confidence(self, m: Measurements) -> np.ndarray:
        return uniform(m, 0.98 * (m.data.n_constant == m.data.n_features))

    def remedy(self, net: Net) -> str:
        return "Check how X was made: every sample has the same inputs, so no net can tell them apart."

    def experiment(self, net: Net) -> str:
        return "Print X.std(axis=0): it should be above zero for the inputs that matter."


class MisEncodedLabels(Verdict):
    name, title = "mis_encoded_labels", "Labels in a wrong coding"
    evidence = "coding, lowest target, highest target, output activation"

    def confidence(self, m: Measurements) -> np.ndarray:
        return uniform(m, 0.97 * bool(m.label_problem))

    def remedy(self, net: Net) -> str:
        return f"Recode y: {net.label_problem}."

    def experiment(self, net: Net) -> str:
        return "Train again with the recoded y: the loss should fall below the base rate's within some epochs."


class UnreachableTargets(Verdict):
    name, title = "unreachable_targets", "The outputs cannot reach the targets"
    evidence = "output range, lowest output, highest output, lowest target, highest target, share out of reach"

    def confidence(self, m: Measurements) -> np.ndarray:
        is_guess = m.bounds.certainty < 1
        return 0.97 * m.bounds.certainty * ramp(m.unreachable, 0.0, 0.03) * (1.0 if is_guess else 1.0 - learned(m))

    def remedy(self, net: Net) -> str:
        low, high = number(net.bounds.low), number(net.bounds.high)
        if not net.model.has_weights:
            return (
                f"Apply one sigmoid only: outputs lie in [{low}, {high}], as those of {net.bounds.source} do, and the "
                f"targets go from {number(net.target_low)} to {number(net.target_high)}. Use expit(z), or 1 / (1 + "
                "exp(-z)), by itself."
            )
        return (
            f"{net.bounds.source.capitalize()} reaches from {low} to {high}, and {percent(net.unreachable)} of the "
            f"targets lie beyond: use an identity output with squared_error, or rescale y into [{low}, {high}]."
        )

    def experiment(self, net: Net) -> str:
        return "Feed the output function -100, 0 and 100: the results should cover the range of the targets."


class UnscaledInputs(Verdict):
    name, title = "unscaled_inputs", "The inputs are not scaled"
    evidence = "largest input spread, typical input spread, largest input offset, saturated units, explained"

    def confidence(self, m: Measurements) -> np.ndarray:
        small = float(log_ramp(m.data.scale.largest_spread, 0.02, 0.004)) * (not m.updates.encoded_inputs)
        return 0.92 * max(inputs_too_large(m), small) * stuck(m) * learnable(m)

    def remedy(self, net: Net) -> str:
        scale = net.data.scale
        return (
            "Standardise each input, X = (X - X.mean(axis=0)) / X.std(axis=0): the median of their standard deviations "
            f"is {number(scale.typical_spread)} and the largest is {number(scale.largest_spread)}, but each should be "
            "1, with a mean of 0."
        )

    def experiment(self, net: Net) -> str:
        return "Train the same net on standardised inputs for as many epochs and compare the losses."


class UnscaledTargets(Verdict):
    name, title = "unscaled_targets", "The targets are not scaled"
    evidence = "target spread, target mean, explained, attainable at least, change of the loss"

    def confidence(self, m: Measurements) -> np.ndarray:
        """Return the confidence that the scale of the targets is far from that of a new net's outputs."""
        is_small = float(log_ramp(m.target_spread, 0.02, 0.004)) if m.target_spread > 0 else 0.0
        return 0.91 * max(targets_too_large(m), has_free_outputs(m) * is_small) * stuck(m) * learnable(m)

    def remedy(self, net: Net) -> str:
        return (
            f"Standardise the targets, y = (y - y.mean()) / y.std(): their spread is {number(net.target_spread)} "
            f"and their mean {number(net.target_mean)}, where a net's first outputs are around 0 and 1. Scale "
            "predictions back."
        )

    def experiment(self, net: Net) -> str:
        return "Train the same net on standardised targets for as many epochs and compare `explained`."


class ShuffledLabels(Verdict):
    name, title = "shuffled_labels", "The labels do not belong to their rows"
    evidence = "signal, linear, nearest neighbours, random features, explained"

    def confidence(self, m: Measurements) -> np.ndarray:
        return labels_are_noise(m) * (m.target_high > m.target_low)

    def remedy(self, net: Net) -> str:
        return (
            "Check that X and y are in the same order, by joining them on their key again: no simple model predicts y "
            "any better than it would predict shuffled labels."
        )

    def experiment(self, net: Net) -> str:
        return (
            "Shuffle y on purpose and compare the validation losses: if they are alike, the labels contain no "
            "information."
        )


class IndependentOutputs(Verdict):
    name, title = "independent_outputs", "One-hot targets on independent outputs"
    evidence = "output activation, explained, gradient"

    def confidence(self, m: Measurements) -> np.ndarray:
        """Return the confidence that exclusive classes are learned by independent outputs instead of softmax."""
        row = m.model.activations[-1]
        separate = m.data.one_hot and np.isfinite(row.low) and row.name != "softmax" and m.model.has_weights
        hardly_learned = ramp(m.skill, 0.35, 0.1) * ramp(m.skill, -0.5, -0.2)
        return 0.84 * separate * (1.0 - learned(m)) * hardly_learned * learnable(m)

    def remedy(self, net: Net) -> str:
        return (
            f"Use loss='softmax_cross_entropy' for the {net.model.n_outputs} exclusive classes (or one sigmoid with "
            "binary_cross_entropy for two): independent outputs all settle at the base rate first."
        )

    def experiment(self, net: Net) -> str:
        return "Train the same hidden layers with softmax_cross_entropy from the same seed and compare the accuracy."


VERDICTS = (
    NotFinite(),
    ConstantLabels(),
    ConstantInputs(),
    MisEncodedLabels(),
    UnreachableTargets(),
    UnscaledInputs(),
    UnscaledTargets(),
    ShuffledLabels(),
    IndependentOutputs(),
)
