"""Verdicts on what was learned: healthy states."""

from __future__ import annotations

import numpy as np

from ..data_checks import MIN_SAMPLES
from .evidence import Evidence, ramp
from .steps import wrong_learning_rate
from .verdict import Net, Verdict, counted_number, listed, number, percent, sentence

BEGUN = 0.02  # skill below which a net may be as it was at the start

# ---- held-out samples


def generalisation_gap(m: Evidence) -> np.ndarray:
    """Return the generalisation gap: how much better a net is on training samples than on held-out samples.

    It is a fraction of the targets' variance, or of the base rate's loss if it comes from records. NaN if nothing is
    known about held-out samples.
    """
    measured = m.explained - m.validation_explained
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = (m.curve.validation - np.fmin(m.curve.training, m.excess)) / m.base_excess
    return np.where(np.isfinite(measured), measured, recorded)


def training_skill(m: Evidence) -> np.ndarray:
    """Return how much of its training samples a net explains: of their variance or, from records, of the base rate's
    loss; 0 for a net that is no better than a constant.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = 1.0 - np.fmin(m.curve.training, m.excess) / m.base_excess
    return np.where(np.isfinite(m.explained), m.explained, recorded)


def memorised(m: Evidence) -> np.ndarray:
    """Return the confidence that a net has memorised its training samples; 0 if nothing is known about others.

    A net that explains none of its training samples has memorised nothing, whatever the gap: it is hardly trained.
    """
    return ramp(generalisation_gap(m), 0.1, 0.22) * ramp(training_skill(m), 0.0, 0.2)


def unknown_elsewhere(m: Evidence) -> np.ndarray:
    """Return how far a net beats simple models on its training samples, if no validation data confirm that it learned.

    Without them it may as well have memorised the samples. 0 if the generalisation gap is known.
    """
    beyond = ramp(m.explained - m.data.attainable, 0.15, 0.4) * (m.data.n_samples >= 2 * MIN_SAMPLES)
    return beyond * np.isnan(generalisation_gap(m))


def improving(m: Evidence) -> np.ndarray:
    """Return the confidence that the validation loss still falls at the last epoch."""
    return ramp(m.curve.validation_change, 0.01, 0.05) * (1.0 - m.past_best)


def _gap_in_words(net: Net) -> str:
    """Return a sentence with the explained variance, or the loss, in training and validation."""
    if np.isfinite(net.validation_explained):
        return (
            f"The net explains {percent(net.explained)} of the variance of its samples and "
            f"{percent(net.validation_explained)} of that of validation samples."
        )
    training, held_out = net.curve.training + net.floor, net.held_out_loss
    return f"The loss of the kept epoch is {number(training)} in training and {number(held_out)} in validation."


def nothing_left(m: Evidence) -> np.ndarray:
    """Return for each net whether there is nothing left to learn from the samples.

    All samples are right, or the targets of equal inputs differ by as much as the net does not explain.
    """
    is_right = (m.explained >= 1.0 - 1e-8) | (m.accuracy == 1.0)
    return is_right | (1.0 - m.explained <= 1.1 * m.data.contradicted)


# ---- the verdicts


class Converged(Verdict):
    name, title, is_healthy = "converged", "Converged", True
    evidence = (
        "explained, explained in validation, attainable at least, accuracy, loss, validation loss, change of the loss"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        doubts = (1.0 - 0.7 * m.labels_are_noise) * (1.0 - 0.6 * memorised(m)) * (m.target_high > m.target_low)
        doubts = doubts * (1.0 - 0.5 * unknown_elsewhere(m))
        least = 0.4 * (1.0 - 0.5 * m.fell_in_last_epoch)
        return 0.95 * m.finite * m.learned * np.maximum(m.at_rest, least) * doubts

    def remedy(self, net: Net) -> str:
        text = ": the net has learned what these data show"
        if not net(nothing_left):
            text = (
                ": training has come to rest. Whether other steps or a wider net would lower the loss further, only a "
                "trial shows"
            )
        gap = f". {_gap_in_words(net).rstrip('.')}" if net(generalisation_gap) > 0.05 else ""
        return f"Nothing to change{text}{gap}."

    def experiment(self, net: Net) -> str:
        seen = "that it has not seen"
        if np.isfinite(net(generalisation_gap)):
            seen = "that neither training nor the choice of the net has seen"
        return f"Evaluate it on data {seen}."


class StillLearning(Verdict):
    name, title, is_healthy = "still_learning", "Still learning", True
    evidence = (
        "loss, validation loss, epochs, epochs left, change of the loss, change of validation loss, gain of one step, "
        "explained"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        distance = np.maximum(ramp(m.remaining, 0.01, 0.05), ramp(1.0 - m.learned, 0.0, 0.4))
        falls = ramp(m.curve.change, 0.002, 0.02) * distance * ramp(m.curve.back_and_forth, 12.0, 4.0)
        could = ramp(m.gain, 0.004, 0.04)
        fell = ramp(1.0 - m.curve.last / m.curve.first, 0.0, 0.01)
        # A converged net still gains a little with every step, and one that no step has changed could gain much.
        without_curve = could * (1.0 - 0.3 * m.learned) * (1.0 - 0.4 * ramp(m.skill, 0.02, -0.02))
        begun = 0.75 * np.maximum(could, fell)  # for a curve that is too short for `falls`
        begun = begun * (1.0 - 0.5 * ramp(m.curve.last / m.curve.first, 1.0, 1.1))
        moving = np.where(m.has_curve, falls, np.where(m.without_history, without_curve, begun))
        held_out = np.where(np.isnan(m.curve.validation_change), 1.0, ramp(m.curve.validation_change, 0.0, 0.01))
        if m.updates.schedule:  # a schedule flattens the end of any curve: use the gradient instead
            moving = np.maximum(moving, ramp(m.gain, 0.004, 0.02) * ramp(1.0 - m.learned, 0.0, 0.4))
            held_out = np.maximum(held_out, 0.75)
        held_out = held_out * (1.0 - 0.95 * m.past_best) * (1.0 - 0.8 * memorised(m) * (1.0 - improving(m)))
        rising = ramp(m.curve.half_change, -0.005, -0.03)
        moving = moving * (1.0 - 0.9 * m.merged_at_rest) * (1.0 - rising) * (m.curve.diverged == 0)
        moving = moving * (1.0 - 0.6 * wrong_learning_rate(m)) * (1.0 - 0.5 * unknown_elsewhere(m))
        moving = moving * held_out * max(m.learnable, 0.2) * (1.0 - 0.7 * m.labels_are_noise)
        return 0.8 * m.finite * moving

    def remedy(self, net: Net) -> str:
        epochs, left = net.curve.epochs, net.epochs_left
        if net.updates.schedule:
            return (
                f"Train a new net for more epochs, such as {number(2 * epochs)}: the schedule {net.updates.schedule!r} "
                f"has lowered the learning rate over {counted_number(epochs, 'epoch')}, so the loss no longer falls "
                "although it could."
            )
        if np.isfinite(left):
            ratio = left / max(epochs, 1.0)
            share = f"{ratio:.1f} times" if ratio >= 0.95 else f"{100 * ratio:.2g} % of"
            loss = "validation loss" if np.isfinite(net.curve.validation_projected) else "loss"
            return (
                f"Train on: at this rate the {loss} converges after about {counted_number(left, 'more epoch')}, "
                f"{share} the epochs so far."
            )
        if np.isfinite(epochs):
            return "Train on: the loss still falls, but too unevenly or for too few epochs for a projection."
        if net.skill < BEGUN:
            return (
                "Give diagnose the history, which shows whether the loss falls: the net is no better than a constant, "
                f"as any net is at first, and one step would lower its loss by {percent(net.gain)}."
            )
        if net(unknown_elsewhere) > 0.5:
            return (
                "Give diagnose the history or validation data before you train on: the net explains more of these "
                "samples than simple models explain of held-out samples, and only validation data show whether it has "
                "learned or memorised them."
            )
        return "Train on, and give diagnose the history, from which it projects the remaining epochs."

    def experiment(self, net: Net) -> str:
        if net.updates.schedule:
            return "Compare its loss with this one: it should end lower."
        if np.isnan(net.curve.epochs) and net.skill < BEGUN:
            return "Look at the losses of the last epochs: if they fall, the net is still learning."
        return "Call fit again, which continues from here: the loss should go on falling."


class OverFitting(Verdict):
    name, title, is_healthy = "over_fitting", "Over-fitting", True
    evidence = "explained, explained in validation, loss, validation loss, best epoch, kept epoch, epochs"

    def confidence(self, m: Evidence) -> np.ndarray:
        rise = ramp(m.curve.validation_rise, 0.03, 0.15) * ramp(m.curve.gap, 0.15, 0.5)
        apart = memorised(m) * (1.0 - 0.6 * improving(m))
        return 0.96 * np.maximum(rise, apart) * m.finite * (1.0 - 0.5 * m.labels_are_noise)

    def remedy(self, net: Net) -> str:
        best, end, final_epoch = net.curve.best, net.curve.epochs, net.curve.final_epoch
        steps = []
        if net.updates.early_stopping:
            kept_epoch = f"{final_epoch:,.0f} of {end:,.0f}" if final_epoch < end else "the last"
            steps.append(f"Stopping earlier gains no more: the best epoch, {kept_epoch}, is kept already")
        elif np.isnan(best):
            steps.append("Stop earlier (early_stopping=10 with validation data keeps the best epoch)")
        elif best < 0.9 * end:
            steps.append(f"Stop earlier (early_stopping=10 keeps the best epoch, {best:,.0f} of {end:,.0f})")
        remedies = []
        if 0 < net.dropout < 0.5:
            remedies.append(f"raise dropout from {number(net.dropout)} to {number(min(0.5, net.dropout + 0.2))}")
        elif net.dropout == 0 and net.narrowest:
            remedies.append("add dropout=0.2")
        remedies.append(f"raise l2 from {number(net.l2)} to {number(10 * net.l2)}" if net.l2 > 0 else "set l2=1e-3")
        remedies += ["halve the hidden units"] if net.narrowest > 2 else []
        steps.append(f"{sentence(listed(remedies))}; more data helps most")
        return f"{_gap_in_words(net)} {'. '.join(steps)}."

    def experiment(self, net: Net) -> str:
        if net.updates.early_stopping or net.curve.best >= 0.9 * net.curve.epochs:
            loss = number(net.held_out_loss)
            return (
                f"Train again with the first of these changes: the kept epoch's validation loss should be below {loss}."
            )
        return "Train again with early_stopping=10 and validation data: the kept epoch's validation loss is lower."


VERDICTS = Converged(), StillLearning(), OverFitting()
