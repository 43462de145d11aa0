"""The verdicts: one row each. A row has a name, a title, how sure it is, which facts bear it out, what to do about it
and how to make sure. Everything else (reports, counts, tests, the documentation) follows from the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import scores as scores
from .facts import dropout, layer_name, number, one, rate
from .measurements import Measurements

Text = Callable[[Measurements, int], str]  # of net k


class Verdict(NamedTuple):
    name: str
    title: str
    score: Callable[[Measurements], np.ndarray]  # confidences (n_nets,)
    facts: tuple[str, ...]  # of facts.FACTS, the evidence
    remedy: Text
    experiment: Text
    is_healthy: bool = False


def _still_learning_remedy(m: Measurements, k: int) -> str:
    left = one(m.curve.projected, k)
    if np.isfinite(left) and left > 0:
        share = left / max(one(m.curve.epochs, k), 1.0)
        return f"Train on: about {number(left)} more epochs are left at this pace, {share:.1f} times those it has had."
    return "Train on, and give diagnose the history, from which it projects the epochs that are left."


def _base_rate_remedy(m: Measurements, k: int) -> str:
    l2 = float(np.broadcast_to(m.subject.l2, m.subject.n_nets)[k])
    if l2 > 1e-4:
        return (
            f"Lower l2 from {number(l2)} to {number(l2 / 1000)}: the penalty costs more than what the weights can gain."
        )
    return (
        "Draw new weights with net.reset() and a wider start (init='glorot_uniform', tanh or relu units), double "
        "the hidden units, and train with 'rprop' or 'adam', whose steps do not shrink with the gradient."
    )


def _rate_too_high_remedy(m: Measurements, k: int) -> str:
    used, largest = rate(m, k), one(m.landscape.largest, k)
    if m.updates.is_plain_descent and np.isfinite(used) and largest > 0 and used * largest > 1:
        return (
            f"Lower the learning rate from {number(used)} to {number(0.5 / largest)}: steps longer than "
            f"{number(2 / largest)}, 2 over the largest curvature, climb."
        )
    if np.isfinite(used):
        return f"Lower the learning rate from {number(used)} to {number(used / 10)}, or set clip_norm=1.0."
    return "Lower the learning rate to a tenth, or set clip_norm=1.0."


def _rate_too_low_remedy(m: Measurements, k: int) -> str:
    safe, used = one(m.landscape.safe_step, k), rate(m, k)
    if np.isfinite(used) and m.updates.is_plain_descent and safe > used:
        return (
            f"Raise the learning rate from {number(used)} to {number(safe)}, {number(safe / used)} times as much: "
            "it suits the largest curvature of the loss."
        )
    if np.isfinite(used):
        return (
            f"Raise the learning rate from {number(used)} to {number(30 * used)}, and again if the loss still creeps."
        )
    return (
        f"Raise the learning rate, thirty times to begin with; for plain gradient descent {number(safe)} suits the "
        "curvature."
    )


def _clip_remedy(m: Measurements, k: int) -> str:
    clip, length = one(m.updates.clip_norm, k), one(m.landscape.gradient, k)
    return (
        f"Raise clip_norm from {number(clip)} to {number(2 * length)}, or leave it out: the gradient is "
        f"{number(length)} long, so clipping makes each step {number(length / clip)} times shorter."
    )


def _decay_remedy(m: Measurements, k: int) -> str:
    decay = one(m.updates.weight_decay, k)
    return (
        f"Lower weight_decay from {number(decay)} to {number(decay / 1000)}: every step takes "
        f"{number(100 * rate(m, k) * decay)} % of the weights, more than the gradient gives back."
    )


def _dropout_remedy(m: Measurements, k: int) -> str:
    used, share = dropout(m, k), one(m.masks.mask_share, k)
    return (
        f"Lower dropout from {number(used)} to {number(min(0.2, used / 4))}, or widen the hidden layers: which units "
        f"are left out makes {100 * share:.0f} % of the outputs' variance, and the inputs the rest."
    )


def _unscaled_remedy(m: Measurements, k: int) -> str:
    d = m.data
    return (
        "Standardise each input, X = (X - X.mean(axis=0)) / X.std(axis=0): their standard deviations are "
        f"{number(d.typical_spread)} in the middle and {number(d.largest_spread)} at most, and should be 1, with "
        "means of 0."
    )


def _unreachable_remedy(m: Measurements, k: int) -> str:
    low, high = number(m.bounds.low), number(m.bounds.high)
    if not m.subject.has_weights:
        return (
            f"Apply one sigmoid only: outputs lie in [{low}, {high}], as those of {m.bounds.source} do, and the "
            f"targets go from {number(m.target_low)} to {number(m.target_high)}. Use expit(z), or 1 / (1 + "
            "exp(-z)), by itself."
        )
    return (
        f"{m.bounds.source.capitalize()} reaches from {low} to {high}, and {100 * one(m.unreachable, k):.0f} % of "
        f"the targets lie beyond: use an identity output with squared_error, or rescale y into [{low}, {high}]."
    )


def _positive_remedy(m: Measurements, k: int) -> str:
    width = m.subject.layout.layer_sizes[0]
    bound = np.sqrt(6.0 / (width + m.subject.layout.layer_sizes[1]))
    return (
        f"Draw weights around zero: rng.uniform(-{bound:.2g}, {bound:.2g}) for the first layer, or init='auto'; now "
        f"{100 * one(m.positive, k):.0f} % of them are positive, so units all see the sum of the inputs and differ "
        "little."
    )


def _saturated_remedy(m: Measurements, k: int) -> str:
    return (
        f"Start with smaller weights: divide those of layer {layer_name(m.saturated_layer, k)} by "
        f"{number(_shrink(m, k))} (init='auto' draws such), and standardise the inputs."
    )


def _shrink(m: Measurements, k: int) -> float:
    layer = int(one(m.saturated_layer, k)) - 1
    W, _ = m.subject.layers(m.subject.params[k : k + 1])[max(layer, 0)]
    wanted = np.sqrt(2.0 / sum(W.shape[1:]))
    return max(2.0, float(np.sqrt((W * W).mean()) / wanted))


def _dead_remedy(m: Measurements, k: int) -> str:
    return (
        "Draw new weights (net.reset()) and use leaky_relu, or a learning rate a tenth as large: "
        f"{100 * one(m.dead, k):.0f} % of the units of layer {layer_name(m.dead_layer, k)} are never active, so no "
        "gradient can bring them back."
    )


def _too_small_remedy(m: Measurements, k: int) -> str:
    if m.is_linear:
        return (
            "Add a hidden layer with a nonlinear activation, of 16 units to start with: now the net is a linear "
            "function."
        )
    return f"Widen the hidden layers from {m.narrowest} to {max(8, 4 * m.narrowest)} units."


def _not_finite_remedy(m: Measurements, k: int) -> str:
    if m.bad_data:
        return f"Impute or drop what is not finite in the data: {m.bad_data}."
    place = m.places[int(m.first_bad[k])]
    return (
        f"Begin again from new weights (net.reset()) with a tenth of the learning rate and clip_norm=1.0: {place} "
        f"{'is' if place.endswith('loss') else 'are'} no longer finite, and nothing can be learned from there on."
    )


def _over_fitting_remedy(m: Measurements, k: int) -> str:
    return (
        "Stop earlier (early_stopping=10 keeps the best epoch), add dropout=0.2 or l2=1e-3, or halve the hidden "
        "units; more data helps most."
    )


def _broken_remedy(m: Measurements, k: int) -> str:
    return (
        "Check the backward pass with fastmlp.check_gradients, and that only weights and biases are updated: "
        "activations and pre-activations are results of the forward pass, and writing to the first of them "
        "overwrites X."
    )


def _plateau_remedy(m: Measurements, k: int) -> str:
    down = -one(m.landscape.smallest, k)
    if down > 1e-3 * abs(one(m.landscape.largest, k)):
        return (
            "Leave the saddle: use 'rprop' or 'adam', whose steps do not shrink with the gradient, or begin again "
            f"from other weights; the loss bends down by {number(down)} in one direction."
        )
    widened = f", or double the hidden units from {m.narrowest}" if m.narrowest else ""
    return (
        "Begin again from other weights (another random_state, or a Population of 20 nets and its "
        f"best()){widened}: the gradient is almost zero here."
    )


VERDICTS = (
    Verdict("converged", "Converged", scores.converged,
            ("explained", "attainable", "accuracy", "loss", "change of the loss"),
            lambda m, k: "Nothing to change: the net has learned what these data show.",
            lambda m, k: "Evaluate it on data that it has not seen.", is_healthy=True),
    Verdict("still_learning", "Still learning", scores.still_learning,
            ("loss", "epochs", "epochs left", "change of the loss", "gain of one step", "explained"),
            _still_learning_remedy,
            lambda m, k: "Call fit again, which continues from here: the loss should go on falling.", is_healthy=True),
    Verdict("over_fitting", "Over-fitting", scores.over_fitting,
            ("explained", "explained in validation", "validation loss", "rise of validation loss",
             "gap to validation loss"),
            _over_fitting_remedy,
            lambda m, k: "Train again with early_stopping=10 and validation data: the kept epoch's validation loss "
                "is lower.",
            is_healthy=True),
    Verdict("not_finite", "NaN or infinity", scores.not_finite, ("first not finite", "loss"), _not_finite_remedy,
            lambda m, k: "Watch max(abs(net.params)) over the first epochs: it should stay in the hundreds at most."),
    Verdict("constant_labels", "The targets never change", scores.constant_labels,
            ("lowest target", "highest target", "samples"),
            lambda m, k: "Check how y was made: every sample has the same target, so there is nothing to learn.",
            lambda m, k: "Print numpy.unique(y, return_counts=True): there should be two or more values."),
    Verdict("constant_inputs", "The inputs never change", scores.constant_inputs,
            ("constant inputs", "inputs", "samples"),
            lambda m, k: "Check how X was made: every sample has the same inputs, so no net can tell them apart.",
            lambda m, k: "Print X.std(axis=0): it should be above zero for the inputs that matter."),
    Verdict("mis_encoded_labels", "Labels in a wrong coding", scores.mis_encoded_labels,
            ("coding", "lowest target", "highest target", "output activation"),
            lambda m, k: f"Recode y: {m.label_problem}.",
            lambda m, k: "Train again with the recoded y: the loss should fall below the base rate's within some "
                "epochs."),
    Verdict("unreachable_targets", "The outputs cannot reach the targets", scores.unreachable_targets,
            ("output range", "lowest output", "highest output", "lowest target", "highest target",
             "share out of reach"),
            _unreachable_remedy,
            lambda m, k: "Feed the output function -100, 0 and 100: what comes out should cover the targets."),
    Verdict("wrong_sign", "The loss has the wrong sign", scores.wrong_sign,
            ("agreement", "loss", "base rate's loss", "first loss", "explained"),
            lambda m, k: "Flip the sign of the update: subtract the learning rate times the gradient of (output - "
                "target), once.",
            lambda m, k: "After the flip the loss of the very first step should fall; fastmlp.check_gradients "
                "tells by numbers."),
    Verdict("broken_updates", "The updates do not follow the gradient", scores.broken_updates,
            ("gain of one step", "change of the loss", "loss", "recorded loss", "best step"), _broken_remedy,
            lambda m, k: (
                f"Take one step by hand, params -= {number(one(m.landscape.best_step, k))} * gradient, with the "
                f"true gradient: the loss should fall by {100 * one(scores.gain(m), k):.0f} %."
            )),
    Verdict("symmetric_units", "Hidden units are copies of each other", scores.symmetric_units,
            ("duplicate units", "layer of duplicates", "explained"),
            lambda m, k: (
                f"Draw the weights at random, each by itself (init='auto'): {100 * one(m.duplicates, k):.0f} % of "
                f"the units of layer {layer_name(m.duplicates_layer, k)} have equal weights, and equal gradients "
                "keep them so."
            ),
            lambda m, k: "Add normal noise of 0.1 to every weight and train on: the loss should start to fall."),
    Verdict("positive_weights", "All weights have one sign", scores.positive_weights,
            ("positive weights", "weights", "explained"), _positive_remedy,
            lambda m, k: "Subtract 0.5 from weights drawn from [0, 1), or their mean, and train again from there."),
    Verdict("unscaled_inputs", "The inputs are not scaled", scores.unscaled_inputs,
            ("largest input spread", "typical input spread", "largest input offset", "saturated units", "explained"),
            _unscaled_remedy,
            lambda m, k: "Train the same net on standardised inputs for as many epochs and compare the losses."),
    Verdict("unscaled_targets", "The targets are not scaled", scores.unscaled_targets,
            ("target spread", "target mean", "explained", "attainable", "change of the loss"),
            lambda m, k: (
                f"Standardise the targets, y = (y - y.mean()) / y.std(): their spread is {number(m.target_spread)} "
                f"and their mean {number(m.target_mean)}, where a net's first outputs are around 0 and 1. Scale "
                "predictions back."
            ),
            lambda m, k: "Train the same net on standardised targets for as many epochs and compare `explained`."),
    Verdict("dead_units", "Dead units", scores.dead_units, ("dead units", "layer of dead units", "explained"),
            _dead_remedy,
            lambda m, k: "Train the same net with leaky_relu: units that were dead get gradients, and the loss moves."),
    Verdict("saturated_units", "Saturated hidden units", scores.saturated_units,
            ("saturated units", "layer of saturated units", "gradient", "explained"), _saturated_remedy,
            lambda m, k: "Halve all weights and train on: the gradient's norm should grow several times."),
    Verdict("vanishing_gradient", "The gradient vanishes", scores.vanishing_gradient,
            ("first to last layer", "layers", "gradient", "explained"),
            lambda m, k: (
                "Use relu with he_uniform weights, or fewer layers: the first layer's gradient is "
                f"{number(one(m.first_to_last, k))} of the last one's, so it does not learn."
            ),
            lambda m, k: "Train with relu or two hidden layers: the ratio should come above 0.1 and the loss fall."),
    Verdict("exploding_gradient", "The gradient explodes", scores.exploding_gradient,
            ("largest to last layer", "gradient", "loss", "base rate's loss", "layers"),
            lambda m, k: (
                "Start with smaller weights (init='auto', init_scale=1) and set clip_norm=1.0: from the last layer "
                f"to an earlier one the gradient grows {number(one(m.largest_to_last, k))} times."
            ),
            lambda m, k: "Draw new weights with init_scale=1 and look at the first loss: it should be near the "
                "base rate's."),
    Verdict("shuffled_labels", "The labels do not belong to their rows", scores.shuffled_labels,
            ("signal", "linear", "nearest neighbours", "random features", "explained", "samples"),
            lambda m, k: (
                "Check that X and y are in the same order, by joining them on their key again: no simple model "
                "predicts y any better than it would predict shuffled labels."
            ),
            lambda m, k: "Shuffle y on purpose and compare the validation losses: if they are alike, the labels "
                "hold nothing."),
    Verdict("independent_outputs", "One-hot targets on independent outputs", scores.independent_outputs,
            ("output activation", "outputs", "explained", "gradient"),
            lambda m, k: (
                f"Use loss='softmax_cross_entropy' for the {m.subject.n_outputs} exclusive classes (or one sigmoid "
                "with binary_cross_entropy for two): independent outputs all settle at the base rate first."
            ),
            lambda m, k: "Train the same hidden layers with softmax_cross_entropy from the same seed and compare "
                "the accuracy."),
    Verdict("learning_rate_too_high", "The learning rate is too high", scores.learning_rate_too_high,
            ("learning rate", "largest curvature", "swing of the loss", "loss", "lowest loss", "recorded loss"),
            _rate_too_high_remedy,
            lambda m, k: "Train ten epochs from here with the lower rate: the loss should fall smoothly."),
    Verdict("learning_rate_too_low", "The learning rate is too low", scores.learning_rate_too_low,
            ("learning rate", "safe step", "gain of a safe step", "change of the loss", "epochs", "epochs left"),
            _rate_too_low_remedy,
            lambda m, k: "Train ten epochs from here with the higher rate: the loss should fall by more than in "
                "all so far."),
    Verdict("clip_norm_too_low", "Gradients are clipped too short", scores.clip_norm_too_low,
            ("clip norm", "gradient", "learning rate", "change of the loss", "gain of a safe step", "epochs"),
            _clip_remedy,
            lambda m, k: "Train ten epochs from here without clip_norm: the loss should fall by more than in all so "
                "far."),
    Verdict("weight_decay_too_high", "Weight decay is too strong", scores.weight_decay_too_high,
            ("weight decay", "learning rate", "epochs", "size of the weights", "loss", "base rate's loss", "explained"),
            _decay_remedy,
            lambda m, k: "Train the same net with weight_decay=0 from the same seed: its loss should fall below this "
                "one."),
    Verdict("dropout_too_high", "Dropout leaves too little of the net", scores.dropout_too_high,
            ("dropout", "share of the outputs by dropout", "loss under dropout", "loss", "base rate's loss", "epochs",
             "narrowest hidden layer"),
            _dropout_remedy,
            lambda m, k: "Train the same net with dropout=0 from the same seed: its loss should fall below this one."),
    Verdict("too_small", "The net is too small", scores.too_small,
            ("narrowest hidden layer", "explained", "attainable", "linear", "nearest neighbours", "random features"),
            _too_small_remedy,
            lambda m, k: "Train a net of the wider size from three seeds: all should reach a lower loss than this "
                "one."),
    Verdict("base_rate", "Collapsed to the base rate", scores.base_rate,
            ("variation of the outputs", "loss", "base rate's loss", "accuracy", "share of the commonest class",
             "gradient", "penalty"), _base_rate_remedy,
            lambda m, k: "Train from five other seeds: if all end here, the cause is not the start but a setting."),
    Verdict("plateau", "A plateau, saddle or local minimum", scores.plateau,
            ("gradient", "curvature", "smallest curvature", "largest curvature", "gain of one step", "explained"),
            _plateau_remedy,
            lambda m, k: "Train on from here with 'rprop' for 200 epochs: a plateau is left, a minimum is not."),
    Verdict("unclear", "No known failure", lambda m: scores.everywhere(m, 0.08),
            ("loss", "base rate's loss", "explained", "attainable", "gradient"),
            lambda m, k: "Give diagnose the history and validation data as well: they tell what one state of a net "
                "cannot.",
            lambda m, k: "Train three more seeds: a cause that lies in the settings shows in all of them."),
)  # fmt: skip
NAMES = tuple(row.name for row in VERDICTS)


def judge(m: Measurements) -> np.ndarray:
    """Confidences (n_verdicts, n_nets), in the order of VERDICTS."""
    return np.stack([np.broadcast_to(np.nan_to_num(row.score(m)), (m.subject.n_nets,)) for row in VERDICTS])
