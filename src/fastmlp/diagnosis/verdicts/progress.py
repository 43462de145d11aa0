"""Verdicts on what was learned: healthy states, and symptoms without a known cause."""

from __future__ import annotations

import numpy as np

from ..data_checks import MIN_SAMPLES
from ..training_settings import ADAPTIVE
from .evidence import Evidence, log_ramp, ramp
from .steps import wrong_learning_rate
from .verdict import Net, Verdict, counted_number, listed, number, percent, sentence
from .weights import LEAST_L2, collapsed, hidden_names

BEGUN = 0.02  # skill below which a net may be as it was at the start
RESTART = (
    "begin again with another random_state, best with a Population of 20 nets and its best() (reset() draws the same "
    "weights again)"
)

# ---- held-out samples


def generalisation_gap(m: Evidence) -> np.ndarray:
    """Return the generalisation gap: how much better a net is on training samples than on held-out samples.

    It is a fraction of the targets' variance, or of the base rate's loss if it comes from records. NaN if nothing is
    known about held-out samples.
    """
    measured = m.explained - m.explained_in_validation
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = (m.kept_validation_loss - np.fmin(m.kept_training_loss, m.excess)) / m.base_excess
    return np.where(np.isfinite(measured), measured, recorded)


def training_skill(m: Evidence) -> np.ndarray:
    """Return how much of its training samples a net explains: of their variance or, from records, of the base rate's
    loss; 0 for a net that is no better than a constant.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recorded = 1.0 - np.fmin(m.kept_training_loss, m.excess) / m.base_excess
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
    beyond = ramp(m.explained - m.attainable, 0.15, 0.4) * (m.n_checked >= 2 * MIN_SAMPLES)
    return beyond * np.isnan(generalisation_gap(m))


def improving(m: Evidence) -> np.ndarray:
    """Return the confidence that the validation loss still falls at the last epoch."""
    return ramp(m.validation_change, 0.01, 0.05) * (1.0 - m.past_best)


def _gap_in_words(net: Net) -> str:
    """Return a sentence with the explained variance, or the loss, in training and validation."""
    if np.isfinite(net.explained_in_validation):
        return (
            f"The net explains {percent(net.explained)} of the variance of its samples and "
            f"{percent(net.explained_in_validation)} of that of validation samples."
        )
    training, held_out = net.kept_training_loss + net.floor, net.held_out_loss
    return f"The loss of the kept epoch is {number(training)} in training and {number(held_out)} in validation."


def nothing_left(m: Evidence) -> np.ndarray:
    """Return for each net whether there is nothing left to learn from the samples.

    All samples are right, or the targets of equal inputs differ by as much as the net does not explain.
    """
    is_right = (m.explained >= 1.0 - 1e-8) | (m.accuracy == 1.0)
    return is_right | (1.0 - m.explained <= 1.1 * m.contradicted)


# ---- the verdicts


class Converged(Verdict):
    name, title, is_healthy = "converged", "Converged", True
    evidence = (
        "explained, explained in validation, attainable at least, accuracy, loss, validation loss, change of the loss"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        doubts = (1.0 - 0.7 * m.labels_are_noise) * (1.0 - 0.6 * memorised(m)) * (m.highest_target > m.lowest_target)
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
        falls = ramp(m.change, 0.002, 0.02) * distance * ramp(m.back_and_forth, 12.0, 4.0)
        could = ramp(m.gain, 0.004, 0.04)
        fell = ramp(1.0 - m.last_record / m.first_record, 0.0, 0.01)
        # A converged net still gains a little with every step, and one that no step has changed could gain much.
        without_curve = could * (1.0 - 0.3 * m.learned) * (1.0 - 0.4 * ramp(m.skill, 0.02, -0.02))
        begun = 0.75 * np.maximum(could, fell)  # for a curve that is too short for `falls`
        begun = begun * (1.0 - 0.5 * ramp(m.last_record / m.first_record, 1.0, 1.1))
        moving = np.where(m.has_curve, falls, np.where(m.without_history, without_curve, begun))
        held_out = np.where(np.isnan(m.validation_change), 1.0, ramp(m.validation_change, 0.0, 0.01))
        if m.schedule:  # a schedule flattens the end of any curve: use the gradient instead
            moving = np.maximum(moving, ramp(m.gain, 0.004, 0.02) * ramp(1.0 - m.learned, 0.0, 0.4))
            held_out = np.maximum(held_out, 0.75)
        held_out = held_out * (1.0 - 0.95 * m.past_best) * (1.0 - 0.8 * memorised(m) * (1.0 - improving(m)))
        rising = ramp(m.half_change, -0.005, -0.03)
        moving = moving * (1.0 - 0.9 * m.merged_at_rest) * (1.0 - rising) * (m.diverged == 0)
        moving = moving * (1.0 - 0.6 * wrong_learning_rate(m)) * (1.0 - 0.5 * unknown_elsewhere(m))
        moving = moving * held_out * max(m.learnable, 0.2) * (1.0 - 0.7 * m.labels_are_noise)
        return 0.8 * m.finite * moving

    def remedy(self, net: Net) -> str:
        epochs, left = net.epochs, net.epochs_left
        if net.schedule:
            return (
                f"Train a new net for more epochs, such as {number(2 * epochs)}: the schedule {net.schedule!r} "
                f"has lowered the learning rate over {counted_number(epochs, 'epoch')}, so the loss no longer falls "
                "although it could."
            )
        if np.isfinite(left):
            ratio = left / max(epochs, 1.0)
            share = f"{ratio:.1f} times" if ratio >= 0.95 else f"{100 * ratio:.2g} % of"
            loss = "validation loss" if np.isfinite(net.validation_projected) else "loss"
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
        if net.schedule:
            return "Compare its loss with this one: it should end lower."
        if np.isnan(net.epochs) and net.skill < BEGUN:
            return "Look at the losses of the last epochs: if they fall, the net is still learning."
        return "Call fit again, which continues from here: the loss should go on falling."


class OverFitting(Verdict):
    name, title, is_healthy = "over_fitting", "Over-fitting", True
    evidence = "explained, explained in validation, loss, validation loss, best epoch, kept epoch, epochs"

    def confidence(self, m: Evidence) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = ramp(m.kept_validation_loss / m.lowest_validation_loss, 1.03, 1.15)
            rise = rise * ramp(m.kept_validation_loss / m.kept_training_loss, 1.15, 1.5)
        apart = memorised(m) * (1.0 - 0.6 * improving(m))
        return 0.96 * np.maximum(rise, apart) * m.finite * (1.0 - 0.5 * m.labels_are_noise)

    def remedy(self, net: Net) -> str:
        best, end, final_epoch = net.best_epoch, net.epochs, net.kept_epoch
        steps = []
        if net.early_stopping:
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
        if net.early_stopping or net.best_epoch >= 0.9 * net.epochs:
            loss = number(net.held_out_loss)
            return (
                f"Train again with the first of these changes: the kept epoch's validation loss should be below {loss}."
            )
        return "Train again with early_stopping=10 and validation data: the kept epoch's validation loss is lower."


HEALTHY = Converged(), StillLearning(), OverFitting()

# ---- symptoms


class Plateau(Verdict):
    """A loss that stands still, at that of the best constant or below it: what to do is the same."""

    name, title = "plateau", "A plateau, saddle or local minimum"
    evidence = (
        "gradient, smallest curvature, largest curvature, gain of one step, merged samples, variation of the outputs, "
        "loss, base rate's loss, explained"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        by_curve = ramp(np.abs(m.change), 0.03, 0.004)
        by_gradient = ramp(m.gain, 0.02, 0.002)
        if m.schedule:
            by_curve = np.minimum(by_curve, by_gradient)
        is_at_rest = np.where(m.has_curve, by_curve, by_gradient * m.without_history) * ramp(m.gain, 0.3, 0.1)
        is_at_rest = np.maximum(is_at_rest, m.merged_at_rest)
        downhill = log_ramp(-m.smallest_curvature / np.maximum(np.abs(m.largest_curvature), 1e-12), 3e-4, 6e-3)
        at_saddle = 1.08 * downhill * ramp(m.skill, 0.12, 0.03) * ramp(m.skill, -0.3, -0.1)
        kind = np.maximum(ramp(m.skill, 0.03, 0.12), at_saddle) * (1.0 - 0.6 * wrong_learning_rate(m))
        below = 0.73 * is_at_rest * kind * m.stuck * m.learnable * (1.0 - 0.5 * m.stopped_early)
        return np.maximum(below, collapsed(m) * (m.l2 <= LEAST_L2))

    def remedy(self, net: Net) -> str:
        down = -net.smallest_curvature
        if self._is_saddle(net):
            return (
                "Leave the saddle: use 'rprop' or 'adam', whose steps do not shrink with the gradient, or begin again "
                f"with another random_state; the loss has negative curvature, -{number(down)}, in one direction."
            )
        observation = "the gradient is almost zero here"
        if net(collapsed) > 0.5:
            observation = "the outputs are those of the best constant"
        elif not net.gain < 0.02:
            observation = "the loss stands still"
        if net.merged_samples > 0:
            observation = (
                f"{net.merged_samples * net.n_samples:.0f} of {net.n_samples} samples get an output that is the mean "
                f"of different targets, and {observation}, as in a local minimum"
            )
        elif not self._bends_down(net) and np.isfinite(down):
            observation += " and the loss has no direction of negative curvature, as in a local minimum"
        elif net.rule in ADAPTIVE:
            observation += f", and {net.rule}, which is designed for plateaus, has not left this one"
        return f"{sentence(listed(self._changes(net)))}: {observation}."

    def _changes(self, net: Net) -> list[str]:
        """Return what may help, the first first, without what the net has already."""
        wider = f"double the hidden units from {net.narrowest}" if net.narrowest else "add a hidden layer of 16 units"
        changes = [RESTART, wider if net.model.has_weights else "double the hidden units"]
        if net.narrowest and not hidden_names(net) & {"tanh", "relu", "leaky_relu"}:
            changes.append("use tanh or relu units")
        if net.rule not in ADAPTIVE and not net.merged_samples > 0:
            unless = "" if net.rule else " if you have not"
            changes.append(f"train with 'rprop' or 'adam'{unless}, whose steps do not shrink with the gradient")
        return changes

    def _bends_down(self, net: Net) -> bool:
        """Return whether the loss has negative curvature in some direction, as at a saddle, which can be left."""
        return -net.smallest_curvature > 1e-3 * abs(net.largest_curvature)

    def _is_saddle(self, net: Net) -> bool:
        """Return whether another optimiser would leave the plateau: at a saddle, where plain descent is slow."""
        return self._bends_down(net) and net.rule not in ADAPTIVE and not net.merged_samples > 0

    def experiment(self, net: Net) -> str:
        if self._is_saddle(net):
            return "Train on from here with 'rprop' for 200 epochs: a plateau is left, a minimum is not."
        return (
            "Train 20 nets from other random states, Population(..., n_nets=20): if some end well below "
            f"{number(net.loss)}, the cause is the initial weights; if all end here, it is the net's size or a setting."
        )


class Unclear(Verdict):
    name, title = "unclear", "No known failure"
    evidence = "loss, base rate's loss, explained, attainable at least, gradient"
    test = "Train three more seeds: a cause in the settings affects all of them."

    def confidence(self, m: Evidence) -> np.ndarray:
        return m.uniform(0.08)

    def remedy(self, net: Net) -> str:
        missing = ["the history"] if np.isnan(net.epochs) else []
        missing += ["validation data"] if np.isnan(net(generalisation_gap)) else []
        if missing:
            return f"Give diagnose {listed(missing, 'and')} as well: they show what the weights of a net alone do not."
        return (
            "Compare with nets from other random states and with a wider one: no single cause stands out in the "
            "numbers."
        )


SYMPTOMS = Plateau(), Unclear()
