"""Table of verdicts: name, title, rule for its confidence, evidence, remedy, and an experiment to confirm it.

Everything else (reports, counts, tests, documentation) follows from the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import rate_remedies, remedies, verdict_quantities, verdict_rules
from .evidence import layer_name, number, one
from .measurements import Measurements

Text = Callable[[Measurements, int], str]  # (measurements, net index) -> text


class Verdict(NamedTuple):
    name: str
    title: str
    score: Callable[[Measurements], np.ndarray]  # confidences (n_nets,)
    evidence_names: tuple[str, ...]  # keys of evidence.EVIDENCE
    remedy: Text
    experiment: Text
    is_healthy: bool = False


VERDICTS = (
    Verdict(
        "converged",
        "Converged",
        verdict_rules.converged,
        (
            "explained",
            "explained in validation",
            "attainable at least",
            "accuracy",
            "loss",
            "validation loss",
            "change of the loss",
        ),
        remedies.converged,
        remedies.converged_experiment,
        is_healthy=True,
    ),
    Verdict(
        "still_learning",
        "Still learning",
        verdict_rules.still_learning,
        (
            "loss",
            "validation loss",
            "epochs",
            "epochs left",
            "change of the loss",
            "change of validation loss",
            "gain of one step",
            "explained",
        ),
        remedies.still_learning,
        remedies.still_learning_experiment,
        is_healthy=True,
    ),
    Verdict(
        "over_fitting",
        "Over-fitting",
        verdict_rules.over_fitting,
        (
            "explained",
            "explained in validation",
            "loss",
            "training loss of the kept epoch",
            "validation loss",
            "rise of validation loss",
            "gap to validation loss",
            "best epoch",
            "kept epoch",
            "epochs",
        ),
        remedies.over_fitting,
        remedies.over_fitting_experiment,
        is_healthy=True,
    ),
    Verdict(
        "not_finite",
        "NaN or infinity",
        verdict_rules.not_finite,
        ("first not finite", "loss"),
        remedies.not_finite,
        lambda m, k: "Watch max(abs(net.params)) over the first epochs: it should stay in the hundreds at most.",
    ),
    Verdict(
        "constant_labels",
        "The targets never change",
        verdict_rules.constant_labels,
        ("lowest target", "highest target", "samples"),
        lambda m, k: "Check how y was made: every sample has the same target, so there is nothing to learn.",
        lambda m, k: "Print numpy.unique(y, return_counts=True): there should be two or more values.",
    ),
    Verdict(
        "constant_inputs",
        "The inputs never change",
        verdict_rules.constant_inputs,
        ("constant inputs", "inputs", "samples"),
        lambda m, k: "Check how X was made: every sample has the same inputs, so no net can tell them apart.",
        lambda m, k: "Print X.std(axis=0): it should be above zero for the inputs that matter.",
    ),
    Verdict(
        "mis_encoded_labels",
        "Labels in a wrong coding",
        verdict_rules.mis_encoded_labels,
        ("coding", "lowest target", "highest target", "output activation"),
        lambda m, k: f"Recode y: {m.label_problem}.",
        lambda m, k: "Train again with the recoded y: the loss should fall below the base rate's within some epochs.",
    ),
    Verdict(
        "unreachable_targets",
        "The outputs cannot reach the targets",
        verdict_rules.unreachable_targets,
        ("output range", "lowest output", "highest output", "lowest target", "highest target", "share out of reach"),
        remedies.unreachable,
        lambda m, k: "Feed the output function -100, 0 and 100: the results should cover the range of the targets.",
    ),
    Verdict(
        "wrong_sign",
        "The loss has the wrong sign",
        verdict_rules.wrong_sign,
        ("agreement", "loss", "base rate's loss", "first loss", "explained"),
        lambda m, k: (
            "Flip the sign of the update: subtract the learning rate times the gradient of (output - target), once."
        ),
        lambda m, k: (
            "After the flip the loss of the very first step should fall; fastmlp.check_gradients checks it numerically."
        ),
    ),
    Verdict(
        "broken_updates",
        "The updates do not follow the gradient",
        verdict_rules.broken_updates,
        ("gain of one step", "change of the loss", "loss", "recorded loss", "best step"),
        remedies.broken,
        lambda m, k: (
            f"Take one step by hand, params -= {number(one(m.landscape.best_step, k))} * gradient, with the "
            f"true gradient: the loss should fall by {100 * one(verdict_quantities.gain(m), k):.0f} %."
        ),
    ),
    Verdict(
        "symmetric_units",
        "Hidden units are copies of each other",
        verdict_rules.symmetric_units,
        ("duplicate units", "layer of duplicates", "explained"),
        lambda m, k: (
            f"Draw all weights independently at random (init='auto'): {100 * one(m.duplicates, k):.0f} % of "
            f"the units of layer {layer_name(m.duplicates_layer, k)} have equal weights, and equal gradients "
            "keep them so."
        ),
        lambda m, k: "Add normal noise of 0.1 to every weight and train on: the loss should start to fall.",
    ),
    Verdict(
        "positive_weights",
        "All weights have one sign",
        verdict_rules.positive_weights,
        ("positive weights", "weights", "explained"),
        remedies.positive,
        lambda m, k: "Subtract 0.5 from weights drawn from [0, 1), or their mean, and train again from there.",
    ),
    Verdict(
        "unscaled_inputs",
        "The inputs are not scaled",
        verdict_rules.unscaled_inputs,
        ("largest input spread", "typical input spread", "largest input offset", "saturated units", "explained"),
        remedies.unscaled,
        lambda m, k: "Train the same net on standardised inputs for as many epochs and compare the losses.",
    ),
    Verdict(
        "unscaled_targets",
        "The targets are not scaled",
        verdict_rules.unscaled_targets,
        ("target spread", "target mean", "explained", "attainable at least", "change of the loss"),
        lambda m, k: (
            f"Standardise the targets, y = (y - y.mean()) / y.std(): their spread is {number(m.target_spread)} "
            f"and their mean {number(m.target_mean)}, where a net's first outputs are around 0 and 1. Scale "
            "predictions back."
        ),
        lambda m, k: "Train the same net on standardised targets for as many epochs and compare `explained`.",
    ),
    Verdict(
        "dead_units",
        "Dead units",
        verdict_rules.dead_units,
        ("dead units", "layer of dead units", "explained"),
        remedies.dead,
        lambda m, k: "Train the same net with leaky_relu: units that were dead get gradients, and the loss changes.",
    ),
    Verdict(
        "saturated_units",
        "Saturated hidden units",
        verdict_rules.saturated_units,
        ("saturated units", "layer of saturated units", "gradient", "explained"),
        remedies.saturated,
        lambda m, k: "Halve all weights and train on: the gradient's norm should grow several times.",
    ),
    Verdict(
        "vanishing_gradient",
        "The gradient vanishes",
        verdict_rules.vanishing_gradient,
        ("first to last layer", "layers", "gradient", "explained"),
        remedies.vanishing,
        lambda m, k: "Train with two hidden layers: the ratio should come above 0.1 and the loss fall.",
    ),
    Verdict(
        "exploding_gradient",
        "The gradient explodes",
        verdict_rules.exploding_gradient,
        ("largest to last layer", "gradient", "loss", "base rate's loss", "layers"),
        remedies.exploding,
        lambda m, k: (
            "Draw new weights with init_scale=1 and look at the first loss: it should be near the base rate's."
        ),
    ),
    Verdict(
        "shuffled_labels",
        "The labels do not belong to their rows",
        verdict_rules.shuffled_labels,
        ("signal", "linear", "nearest neighbours", "random features", "explained", "samples"),
        lambda m, k: (
            "Check that X and y are in the same order, by joining them on their key again: no simple model "
            "predicts y any better than it would predict shuffled labels."
        ),
        lambda m, k: (
            "Shuffle y on purpose and compare the validation losses: if they are alike, the labels contain no "
            "information."
        ),
    ),
    Verdict(
        "independent_outputs",
        "One-hot targets on independent outputs",
        verdict_rules.independent_outputs,
        ("output activation", "outputs", "explained", "gradient"),
        lambda m, k: (
            f"Use loss='softmax_cross_entropy' for the {m.model.n_outputs} exclusive classes (or one sigmoid "
            "with binary_cross_entropy for two): independent outputs all settle at the base rate first."
        ),
        lambda m, k: (
            "Train the same hidden layers with softmax_cross_entropy from the same seed and compare the accuracy."
        ),
    ),
    Verdict(
        "learning_rate_too_high",
        "The learning rate is too high",
        verdict_rules.learning_rate_too_high,
        (
            "learning rate",
            "longest first step",
            "best step",
            "largest curvature",
            "dead units",
            "saturated units",
            "swing of the loss",
            "loss",
            "base rate's loss",
            "lowest loss",
            "recorded loss",
        ),
        rate_remedies.rate_too_high,
        rate_remedies.rate_too_high_experiment,
    ),
    Verdict(
        "learning_rate_too_low",
        "The learning rate is too low",
        verdict_rules.learning_rate_too_low,
        (
            "learning rate",
            "longest first step",
            "safe step",
            "gain of a safe step",
            "change of the loss",
            "epochs",
            "steps",
            "epochs left",
        ),
        rate_remedies.rate_too_low,
        lambda m, k: (
            "Train ten epochs from here with the higher rate: the loss should fall by more than in all so far."
        ),
    ),
    Verdict(
        "clip_norm_too_low",
        "Gradients are clipped too short",
        verdict_rules.clip_norm_too_low,
        ("clip norm", "gradient", "learning rate", "change of the loss", "gain of a safe step", "epochs"),
        rate_remedies.clip,
        lambda m, k: "Train ten epochs from here without clip_norm: the loss should fall by more than in all so far.",
    ),
    Verdict(
        "weight_decay_too_high",
        "Weight decay is too strong",
        verdict_rules.weight_decay_too_high,
        ("weight decay", "learning rate", "epochs", "size of the weights", "loss", "base rate's loss", "explained"),
        remedies.decay,
        lambda m, k: "Train the same net with weight_decay=0 from the same seed: its loss should fall below this one.",
    ),
    Verdict(
        "dropout_too_high",
        "Dropout leaves too little of the net",
        verdict_rules.dropout_too_high,
        (
            "dropout",
            "share of the outputs by dropout",
            "loss under dropout",
            "loss",
            "base rate's loss",
            "epochs",
            "narrowest hidden layer",
        ),
        remedies.less_dropout,
        lambda m, k: "Train the same net with dropout=0 from the same seed: its loss should fall below this one.",
    ),
    Verdict(
        "too_small",
        "The net is too small",
        verdict_rules.too_small,
        (
            "narrowest hidden layer",
            "explained",
            "attainable at least",
            "linear",
            "nearest neighbours",
            "random features",
        ),
        remedies.too_small,
        lambda m, k: "Train a net of the wider size from three seeds: all should reach a lower loss than this one.",
    ),
    Verdict(
        "base_rate",
        "Collapsed to the base rate",
        verdict_rules.base_rate,
        (
            "variation of the outputs",
            "loss",
            "base rate's loss",
            "accuracy",
            "share of the commonest class",
            "gradient",
            "penalty",
        ),
        remedies.base_rate,
        lambda m, k: (
            "Train from five other seeds: if all end here, the cause is a setting and not the initial weights."
        ),
    ),
    Verdict(
        "plateau",
        "A plateau, saddle or local minimum",
        verdict_rules.plateau,
        (
            "gradient",
            "curvature",
            "smallest curvature",
            "largest curvature",
            "gain of one step",
            "merged samples",
            "loss",
            "explained",
        ),
        remedies.plateau,
        remedies.plateau_experiment,
    ),
    Verdict(
        "unclear",
        "No known failure",
        lambda m: verdict_quantities.uniform(m, 0.08),
        ("loss", "base rate's loss", "explained", "attainable at least", "gradient"),
        remedies.unclear,
        lambda m, k: "Train three more seeds: a cause in the settings affects all of them.",
    ),
)
NAMES = tuple(row.name for row in VERDICTS)


def score_verdicts(m: Measurements) -> np.ndarray:
    """Return the confidence of every verdict, (n_verdicts, n_nets), in the order of VERDICTS."""
    return np.stack([np.broadcast_to(np.nan_to_num(row.score(m)), (m.model.n_nets,)) for row in VERDICTS])
