"""Remedies and experiments: functions that write what to change, with numbers, for verdicts that need more than a text.

A remedy depends on what is known about the net and its training (activation, width, dropout, penalty, update rule,
clipping, early stopping), so that it never recommends a change that was already made.
"""

from __future__ import annotations

import numpy as np

from . import verdict_quantities
from .evidence import dropout as largest_dropout
from .evidence import epochs_left, layer_name, number, one, rate
from .measurements import Measurements
from .short_descent import STEPS, VALIDATION

BEGUN = 0.02  # skill below which a net may be as it was at the start
RESTART = (
    "begin again with another random_state, best with a Population of 20 nets and its best() (reset() draws the same "
    "weights again)"
)


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def listed(items: list[str], last: str = "or") -> str:
    """Return items as an enumeration: "a", "a or b", "a, b or c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted_number(value: float, noun: str) -> str:
    """Return a number, formatted for a sentence, with its noun in the singular or plural."""
    return f"{number(value)} {noun if number(value) == '1' else noun + 's'}"


def hidden_names(m: Measurements) -> set[str]:
    return {row.name for row in m.model.activations[:-1]} if m.model.has_weights else set()


def clipping(m: Measurements, k: int) -> str:
    """Return the advice to clip gradients, or "" if they are already clipped or the rule ignores their length."""
    clip_norm = one(m.updates.clip_norm, k)
    return "" if 0 < clip_norm <= 1 or m.updates.rule == "rprop" else ", or set clip_norm=1.0"


def wider(m: Measurements) -> str:
    if not m.model.has_weights:
        return "double the hidden units"
    return f"double the hidden units from {m.narrowest}" if m.narrowest else "add a hidden layer of 16 units"


def still_learning(m: Measurements, k: int) -> str:
    if m.descent is not None and one(verdict_quantities.shows_more(m), k) > 0.5:
        d, epochs = m.descent, one(m.curve.epochs, k)
        longer = f", or train a new net for more epochs, such as {number(2 * epochs)}" if np.isfinite(epochs) else ""
        return (
            f"Train on with other steps{longer}: {STEPS} steps of L-BFGS from here lower the loss of {d.n_samples:,} "
            f"samples from {number(d.before)} to {number(d.after)}, and that of {d.others}, which they do not use, "
            f"from {number(d.others_before)} to {number(d.others_after)}."
        )
    if m.updates.schedule:
        epochs = one(m.curve.epochs, k)
        return (
            f"Train a new net for more epochs, such as {number(2 * epochs)}: the schedule {m.updates.schedule!r} has "
            f"lowered the learning rate over {counted_number(epochs, 'epoch')}, so the loss no longer falls although "
            "it could."
        )
    by_validation = one(m.curve.validation_projected, k)
    left = one(epochs_left(m), k)
    if np.isfinite(left):
        ratio = left / max(one(m.curve.epochs, k), 1.0)
        share = f"{ratio:.1f} times" if ratio >= 0.95 else f"{100 * ratio:.2g} % of"
        loss = "validation loss" if np.isfinite(by_validation) else "loss"
        return (
            f"Train on: at this rate the {loss} converges after about {counted_number(left, 'more epoch')}, "
            f"{share} the epochs so far."
        )
    if np.isnan(one(m.curve.epochs, k)):
        if one(m.skill, k) < BEGUN:
            return (
                "Give diagnose the history, which shows whether the loss falls: the net is no better than a constant, "
                f"as any net is at first, and one step would lower its loss by "
                f"{100 * one(verdict_quantities.gain(m), k):.0f} %."
            )
        if one(verdict_quantities.unknown_elsewhere(m), k) > 0.5:
            return (
                "Give diagnose the history or validation data before you train on: the net explains more of these "
                "samples than simple models explain of held-out samples, and only validation data show whether it has "
                "learned or memorised them."
            )
        return "Train on, and give diagnose the history, from which it projects the remaining epochs."
    return "Train on: the loss still falls, but too unevenly or for too few epochs for a projection."


def base_rate(m: Measurements, k: int) -> str:
    l2 = float(np.broadcast_to(m.model.l2, m.model.n_nets)[k])
    if l2 > 1e-4:
        return f"Lower l2 from {number(l2)} to {number(l2 / 1000)}: the penalty outweighs what larger weights gain."
    steps = [RESTART, wider(m)]
    if m.model.has_weights and m.narrowest and not hidden_names(m) & {"tanh", "relu", "leaky_relu"}:
        steps.append("use tanh or relu units")
    if not m.updates.is_adaptive:
        unless = "" if m.updates.rule else " if you have not"
        steps.append(f"train with 'rprop' or 'adam'{unless}, whose steps do not shrink with the gradient")
    return f"{sentence(', '.join(steps[:-1]))} and {steps[-1]}."


def decay(m: Measurements, k: int) -> str:
    decay = one(m.updates.weight_decay, k)
    return (
        f"Lower weight_decay from {number(decay)} to {number(decay / 1000)}: every step takes "
        f"{number(100 * rate(m, k) * decay)} % of the weights, more than the gradient gives back."
    )


def less_dropout(m: Measurements, k: int) -> str:
    dropout, mask_share = largest_dropout(m, k), one(m.masks.mask_share, k)
    return (
        f"Lower dropout from {number(dropout)} to {number(min(0.2, dropout / 4))}, or widen the hidden layers: the "
        f"dropout masks cause {100 * mask_share:.0f} % of the outputs' variance, and the inputs cause the rest."
    )


def unscaled(m: Measurements, k: int) -> str:
    d = m.data
    return (
        "Standardise each input, X = (X - X.mean(axis=0)) / X.std(axis=0): the median of their standard deviations is "
        f"{number(d.typical_spread)} and the largest is {number(d.largest_spread)}, but each should be 1, with a mean "
        "of 0."
    )


def unreachable(m: Measurements, k: int) -> str:
    low, high = number(m.bounds.low), number(m.bounds.high)
    if not m.model.has_weights:
        return (
            f"Apply one sigmoid only: outputs lie in [{low}, {high}], as those of {m.bounds.source} do, and the "
            f"targets go from {number(m.target_low)} to {number(m.target_high)}. Use expit(z), or 1 / (1 + "
            "exp(-z)), by itself."
        )
    return (
        f"{m.bounds.source.capitalize()} reaches from {low} to {high}, and {100 * one(m.unreachable, k):.0f} % of "
        f"the targets lie beyond: use an identity output with squared_error, or rescale y into [{low}, {high}]."
    )


def positive(m: Measurements, k: int) -> str:
    width = m.model.layout.layer_sizes[0]
    bound = np.sqrt(6.0 / (width + m.model.layout.layer_sizes[1]))
    return (
        f"Draw weights around zero: rng.uniform(-{bound:.2g}, {bound:.2g}) for the first layer, or init='auto'; now "
        f"{100 * one(m.positive, k):.0f} % of them are positive, so all units compute nearly the same weighted sum "
        "of the inputs."
    )


def saturated(m: Measurements, k: int) -> str:
    scaled = max(m.data.largest_spread, m.data.largest_offset) <= 2
    return (
        f"Start with smaller weights: divide those of layer {layer_name(m.saturated_layer, k)} by "
        f"{number(_weight_ratio(m, k))} (init='auto' draws weights of that "
        f"size){'' if scaled else ', and standardise the inputs'}.{high_rate(m, k)}"
    )


def _weight_ratio(m: Measurements, k: int) -> float:
    layer = int(one(m.saturated_layer, k)) - 1
    W, _ = m.model.layers(m.model.params[k : k + 1])[max(layer, 0)]
    initial_size = np.sqrt(2.0 / sum(W.shape[1:]))
    return max(2.0, float(np.sqrt((W * W).mean()) / initial_size))


def dead(m: Measurements, k: int) -> str:
    return (
        "Train a net with leaky_relu units, or one from another random_state with a learning rate a tenth as large "
        f"(reset() draws the same weights again): {100 * one(m.dead, k):.0f} % of the units of layer "
        f"{layer_name(m.dead_layer, k)} are never active, so no gradient can bring them back.{high_rate(m, k)}"
    )


def high_rate(m: Measurements, k: int) -> str:
    """Return a sentence on a cause that cannot be told from an effect if the learning rate is not known, or ""."""
    if np.isfinite(rate(m, k)):
        return ""
    return " A learning rate that is far too high has this effect, too: give diagnose the history to tell."


def vanishing(m: Measurements, k: int) -> str:
    change = "Use relu with he_uniform weights, or fewer layers"
    if hidden_names(m) & {"relu", "leaky_relu"}:
        change = "Use fewer layers, or begin with larger weights (init='he_uniform', init_scale=1)"
    return (
        f"{change}: the first layer's gradient is {number(one(m.first_to_last, k))} of the last one's, so it does not "
        "learn."
    )


def exploding(m: Measurements, k: int) -> str:
    clips = clipping(m, k).replace(", or", " and")
    return (
        f"Start with smaller weights (init='auto', init_scale=1){clips}: from the last layer to an earlier one the "
        f"gradient grows {number(one(m.largest_to_last, k))} times."
    )


def too_small(m: Measurements, k: int) -> str:
    if m.is_linear:
        return (
            "Add a hidden layer with a nonlinear activation, of 16 units to start with: now the net is a linear "
            "function."
        )
    return f"Widen the hidden layers from {m.narrowest} to {max(8, 4 * m.narrowest)} units."


def not_finite(m: Measurements, k: int) -> str:
    if m.bad_data:
        return f"Impute or drop what is not finite in the data: {m.bad_data}."
    array_name = m.places[int(m.first_bad[k])]
    clips = clipping(m, k).replace(", or set", " and")
    return (
        f"Begin again from the first weights (net.reset()) with a tenth of the learning rate{clips}: {array_name} "
        f"{'is' if array_name.endswith('loss') else 'are'} no longer finite, and training cannot continue."
    )


def over_fitting(m: Measurements, k: int) -> str:
    best, end, final_epoch = one(m.curve.best, k), one(m.curve.epochs, k), one(m.curve.final_epoch, k)
    dropout, l2 = largest_dropout(m, k), one(np.broadcast_to(m.model.l2, m.model.n_nets), k)
    steps = []
    if m.updates.early_stopping:
        kept_epoch = f"{final_epoch:,.0f} of {end:,.0f}" if final_epoch < end else "the last"
        steps.append(f"Stopping earlier gains no more: the best epoch, {kept_epoch}, is kept already")
    elif np.isnan(best):
        steps.append("Stop earlier (early_stopping=10 with validation data keeps the best epoch)")
    elif best < 0.9 * end:
        steps.append(f"Stop earlier (early_stopping=10 keeps the best epoch, {best:,.0f} of {end:,.0f})")
    remedies = []
    if 0 < dropout < 0.5:
        remedies.append(f"raise dropout from {number(dropout)} to {number(min(0.5, dropout + 0.2))}")
    elif dropout == 0 and m.narrowest:
        remedies.append("add dropout=0.2")
    remedies.append(f"raise l2 from {number(l2)} to {number(10 * l2)}" if l2 > 0 else "set l2=1e-3")
    remedies += ["halve the hidden units"] if m.narrowest > 2 else []
    steps.append(f"{sentence(listed(remedies))}; more data helps most")
    return f"{gap_in_words(m, k)} {'. '.join(steps)}."


def gap_in_words(m: Measurements, k: int) -> str:
    """Return a sentence with the explained variance, or the loss, in training and validation."""
    if np.isfinite(one(m.validation_explained, k)):
        return (
            f"The net explains {_percent(m.explained, k)} of the variance of its samples and "
            f"{_percent(m.validation_explained, k)} of that of validation samples."
        )
    training, held_out = one(m.curve.training, k) + m.floor, one(verdict_quantities.validation_loss(m), k)
    return f"The loss of the kept epoch is {number(training)} in training and {number(held_out)} in validation."


def _percent(explained: np.ndarray, k: int) -> str:
    return f"{100 * one(explained, k):.0f} %"


def broken(m: Measurements, k: int) -> str:
    if m.updates.ours:  # fastmlp's own backward pass needs no check by the user
        return (
            "Give diagnose the history of the last fit and the samples of that fit: the recorded losses are not those "
            "of these weights on these samples, as after a change of the parameters or with other data."
        )
    return (
        "Check the backward pass with fastmlp.check_gradients, and that only weights and biases are updated: "
        "activations and pre-activations are results of the forward pass, and writing to the first of them "
        "overwrites X."
    )


def plateau(m: Measurements, k: int) -> str:
    down, bends = -one(m.landscape.smallest, k), bool(verdict_quantities.bends_down(m)[k])
    if leaves_by_other_steps(m, k):
        return (
            "Leave the saddle: use 'rprop' or 'adam', whose steps do not shrink with the gradient, or begin again "
            f"with another random_state; the loss has negative curvature, -{number(down)}, in one direction."
        )
    observation = (
        "the gradient is almost zero here" if one(verdict_quantities.gain(m), k) < 0.02 else "the loss stands still"
    )
    merged = one(m.merged, k)
    if merged > 0:
        observation = (
            f"{merged * m.n_samples:.0f} of {m.n_samples} samples get an output that is the mean of different targets, "
            f"and {observation}, as in a local minimum"
        )
    elif not bends and np.isfinite(down):
        observation += " and the loss has no direction of negative curvature, as in a local minimum"
    elif m.updates.is_adaptive:
        observation += f", and {m.updates.rule}, which is designed for plateaus, has not left this one"
    return f"{sentence(RESTART)}, or {wider(m)}: {observation}."


def leaves_by_other_steps(m: Measurements, k: int) -> bool:
    """Return whether another optimiser would leave the plateau: at a saddle, where plain descent is slow."""
    return bool(verdict_quantities.bends_down(m)[k]) and not m.updates.is_adaptive and not m.merged[k] > 0


def plateau_experiment(m: Measurements, k: int) -> str:
    if leaves_by_other_steps(m, k):
        return "Train on from here with 'rprop' for 200 epochs: a plateau is left, a minimum is not."
    return (
        "Train 20 nets from other random states, Population(..., n_nets=20): if some end well below "
        f"{number(one(m.loss, k))}, the cause is the initial weights; if all end here, it is the net's size or a "
        "setting."
    )


def over_fitting_experiment(m: Measurements, k: int) -> str:
    if m.updates.early_stopping or one(m.curve.best, k) >= 0.9 * one(m.curve.epochs, k):
        loss = number(one(verdict_quantities.validation_loss(m), k))
        return f"Train again with the first of these changes: the kept epoch's validation loss should be below {loss}."
    return "Train again with early_stopping=10 and validation data: the kept epoch's validation loss is lower."


def still_learning_experiment(m: Measurements, k: int) -> str:
    if m.descent is not None and one(verdict_quantities.shows_more(m), k) > 0.5:
        function = "net.objective(X, y), net.params" if m.updates.ours else "loss_and_gradient, params"
        call = f"minimize({function}, jac=True, method='L-BFGS-B')"
        return f"Train on with L-BFGS, as by SciPy's {call}: the loss should go on falling."
    if m.updates.schedule:
        return "Compare its loss with this one: it should end lower."
    if np.isnan(one(m.curve.epochs, k)) and one(m.skill, k) < BEGUN:
        return "Look at the losses of the last epochs: if they fall, the net is still learning."
    return "Call fit again, which continues from here: the loss should go on falling."


def converged(m: Measurements, k: int) -> str:
    text = f"Nothing to change{_what_was_tested(m, k)}"
    gap = one(verdict_quantities.generalisation_gap(m), k)
    if gap > 0.05 and np.isfinite(one(m.validation_explained, k)):
        text += (
            f". It explains {_percent(m.explained, k)} of their variance, and "
            f"{_percent(m.validation_explained, k)} of the variance of validation samples"
        )
    elif gap > 0.05:
        text += f". {gap_in_words(m, k).rstrip('.')}"
    if m.data.lone_input >= 0:
        text += (
            f". Input {m.data.lone_input} alone predicts the targets (nearly) perfectly, though: leave it out if it is "
            "the targets under another name, or numbers of rows in an order that depends on them"
        )
    return f"{text}."


def _what_was_tested(m: Measurements, k: int) -> str:
    """Return a clause that says what shows that the data show no more, or that nothing does."""
    d = m.descent
    is_tested = d is not None and d.others == VALIDATION and d.n_samples == m.n_samples
    if is_tested or verdict_quantities.nothing_left(m)[k]:
        return ": the net has learned what these data show"
    if d is not None:
        stronger = "" if d.others == VALIDATION else ". Validation data would test whether these data show more"
        return (
            f" as far as was tested: training has come to rest, and {STEPS} steps of L-BFGS on {d.n_samples:,} samples "
            f"do not lower the loss of {d.others}{stronger}"
        )
    return (
        " as far as was tested: training has come to rest. Whether these data show more, so that other steps or a "
        "wider net would lower the loss, was not tested"
    )


def converged_experiment(m: Measurements, k: int) -> str:
    if np.isfinite(one(verdict_quantities.generalisation_gap(m), k)):
        return "Evaluate it on a test set that neither training nor the choice of the net has seen."
    return "Evaluate it on data that it has not seen."


def unclear(m: Measurements, k: int) -> str:
    missing = ["the history"] if np.isnan(one(m.curve.epochs, k)) else []
    if np.isnan(one(verdict_quantities.generalisation_gap(m), k)):
        missing.append("validation data")
    if missing:
        return f"Give diagnose {listed(missing, 'and')} as well: they show what the weights of a net alone do not."
    return "Compare with nets from other random states and with a wider one: no single cause stands out in the numbers."
