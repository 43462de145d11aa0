"""Verdicts on the net: its weights, hidden units and size, and what training adds to the loss of its outputs."""

from __future__ import annotations

import numpy as np

from ..data_checks import MIN_SAMPLES
from .evidence import Evidence, log_ramp, ramp
from .steps import decayed, untrained, wrong_learning_rate
from .verdict import Net, Verdict, number, percent

LEAST_L2 = 1e-4  # penalties up to it are never the cause


def collapsed(m: Evidence) -> np.ndarray:
    """Return the confidence that the outputs have become those of the best constant, the base rate."""
    constant = ramp(m.variation, 0.25, 0.1) * ramp(m.skill, 0.1, 0.03) * ramp(m.skill, -0.1, -0.03)
    untouched = ramp(m.gain, 0.01, 0.05)  # without a history, a net that could learn may not have begun
    moving = np.where(m.without_history, untouched, ramp(m.gain, 0.02, 0.1))
    moving = np.where(m.has_curve, ramp(m.change, 0.003, 0.02), moving)
    tried = np.where(m.without_history, 1.0, ramp(m.epochs, 5, 20)) * (1.0 - 0.9 * moving)
    constant = constant * (1.0 - 0.6 * wrong_learning_rate(m))
    return 0.74 * tried * constant * m.stuck * max(m.learnable, 0.3)


def penalised(m: Evidence) -> np.ndarray:
    """Return the confidence that weight decay, or an L2 penalty, takes away what the net learns."""
    by_l2 = (m.l2 > LEAST_L2) * collapsed(m) / 0.74 * 0.87
    return np.maximum(decayed(m), by_l2)


def hidden_names(net: Net) -> set[str]:
    return {row.name for row in net.model.activations[:-1]} if net.model.has_weights else set()


def _high_rate(net: Net) -> str:
    """Return a sentence on a cause that cannot be told from an effect if the learning rate is not known, or ""."""
    if np.isfinite(net.learning_rate):
        return ""
    return " A learning rate that is far too high has this effect, too: give diagnose the history to tell."


class UnsuitableWeights(Verdict):
    """Weights that are equal, or of one sign: what to do is the same."""

    name, title = "unsuitable_weights", "The weights are equal, or all of one sign"
    evidence = "duplicate units, layer of duplicate units, positive weights, weights, explained"
    test = "Subtract their mean from the weights, add normal noise of 0.1, and train on: the loss should fall."

    def confidence(self, m: Evidence) -> np.ndarray:
        return np.maximum(self.symmetric(m), self.positive(m))

    def symmetric(self, m: Evidence) -> np.ndarray:
        # Units that a long step has killed all end at nearly the same weights.
        effect = ramp(m.dead_units, 0.45, 0.8) * m.data_too_large
        return 0.94 * ramp(m.duplicate_units, 0.6, 0.95) * (1.0 - 0.5 * effect) * m.stuck

    def positive(self, m: Evidence) -> np.ndarray:
        surprise = (2.0 * m.positive_weights - 1.0) * np.sqrt(m.n_weights)  # in standard deviations of random signs
        is_positive = ramp(m.positive_weights, 0.62, 0.76) * ramp(surprise, 1.9, 2.6) * ramp(m.skill, 0.6, 0.3)
        # Weights that follow large targets, or that a penalty has taken away, get one sign by themselves.
        drifted = np.maximum(m.unscaled_targets, penalised(m))
        return 0.93 * is_positive * (1.0 - drifted) * m.stuck

    def remedy(self, net: Net) -> str:
        width, next_width = net.model.layout.layer_sizes[:2]
        bound = np.sqrt(6.0 / (width + next_width))
        draw = f"Draw all weights at random around zero, rng.uniform(-{bound:.2g}, {bound:.2g}) for the first layer, "
        if net(self.symmetric) >= net(self.positive):
            return (
                f"{draw}or init='auto': {percent(net.duplicate_units)} of the units of layer "
                f"{net.layer_of_duplicate_units:.0f} have equal weights, and equal gradients keep them so."
            )
        return (
            f"{draw}or init='auto': now {percent(net.positive_weights)} of them are positive, so all units compute "
            "nearly the same weighted sum of the inputs."
        )


class WeightsTooLarge(Verdict):
    """Weights so large that they saturate units or make gradients explode: what to do is the same."""

    name, title = "weights_too_large", "The weights are too large"
    evidence = "saturated units, layer of saturated units, largest to last layer, gradient, loss, base rate's loss"
    test = "Draw new weights with init='auto' and look at the first loss: it should be near the base rate's."

    def confidence(self, m: Evidence) -> np.ndarray:
        return np.maximum(self.saturated(m), self.exploding(m))

    def saturated(self, m: Evidence) -> np.ndarray:
        # The weights of a narrow net in a local minimum grow without end: saturation is the effect there.
        effect = np.maximum(0.5 * ramp(m.narrowest, 6, 4) * ramp(m.skill, 0.2, 0.3), 0.7 * m.lost_by_steps)
        return 0.88 * ramp(m.saturated_units, 0.5, 0.8) * (1.0 - effect) * m.stuck

    def exploding(self, m: Evidence) -> np.ndarray:
        is_large = log_ramp(m.largest_to_last_layer, 30.0, 300.0)
        return 0.92 * (m.model.layout.n_layers >= 3) * is_large * ramp(m.skill, 0.2, -1.0) * m.stuck

    def remedy(self, net: Net) -> str:
        if net(self.exploding) > net(self.saturated):
            return (
                "Start with smaller weights (init='auto', init_scale=1): from the last layer to an earlier one the "
                f"gradient grows {number(net.largest_to_last_layer)} times."
            )
        scaled = max(net.largest_input_spread, net.largest_input_offset) <= 2
        return (
            f"Start with smaller weights: divide those of layer {net.layer_of_saturated_units:.0f} by "
            f"{number(self._ratio(net))} (init='auto' draws weights of that "
            f"size){'' if scaled else ', and standardise the inputs'}.{_high_rate(net)}"
        )

    def _ratio(self, net: Net) -> float:
        W, _ = net.model.layers(net.model.params[net.k : net.k + 1])[max(int(net.layer_of_saturated_units) - 1, 0)]
        initial_size = np.sqrt(2.0 / sum(W.shape[1:]))
        return max(2.0, float(np.sqrt((W * W).mean()) / initial_size))


class DeadUnits(Verdict):
    name, title = "dead_units", "Dead units"
    evidence = "dead units, layer of dead units, explained"
    test = "Train the same net with leaky_relu: units that were dead get gradients, and the loss changes."

    def confidence(self, m: Evidence) -> np.ndarray:
        return 0.93 * ramp(m.dead_units, 0.45, 0.8) * (1.0 - 0.7 * m.lost_by_steps) * m.stuck

    def remedy(self, net: Net) -> str:
        return (
            "Train a net with leaky_relu units, or one from another random_state with a learning rate a tenth as large "
            f"(reset() draws the same weights again): {percent(net.dead_units)} of the units of layer "
            f"{net.layer_of_dead_units:.0f} are never active, so no gradient can bring them back.{_high_rate(net)}"
        )


class VanishingGradient(Verdict):
    name, title = "vanishing_gradient", "The gradient vanishes"
    evidence = "first to last layer, layers, gradient, explained"
    test = "Train with two hidden layers: the ratio should come above 0.1 and the loss fall."

    def confidence(self, m: Evidence) -> np.ndarray:
        vanishes = (m.model.layout.n_layers >= 4) * log_ramp(m.first_to_last_layer, 2e-2, 1e-3)
        other_cause = np.maximum(ramp(m.dead_units, 0.9, 1.0), penalised(m))
        return 0.9 * vanishes * ramp(m.skill, 0.5, 0.2) * (1.0 - other_cause) * m.stuck

    def remedy(self, net: Net) -> str:
        change = "Use relu with he_uniform weights, or fewer layers"
        if hidden_names(net) & {"relu", "leaky_relu"}:
            change = "Use fewer layers, or begin with larger weights (init='he_uniform', init_scale=1)"
        return (
            f"{change}: the first layer's gradient is {number(net.first_to_last_layer)} of the last one's, so it does "
            "not learn."
        )


class TooSmall(Verdict):
    name, title = "too_small", "The net is too small"
    evidence = "narrowest hidden layer, explained, attainable at least, linear, nearest neighbours, random features"
    test = "Train a net of the wider size from three seeds: all should reach a lower loss than this one."

    def confidence(self, m: Evidence) -> np.ndarray:
        if not m.model.has_weights:
            return m.uniform(0.0)
        bent = max(m.nearest_neighbours, m.random_features) - m.linear if np.isfinite(m.linear) else 0.3
        linear = m.is_linear * ramp(bent, 0.03, 0.12)
        narrow = (not m.is_linear) * ramp(m.narrowest, 6, 3) * (m.n_checked >= MIN_SAMPLES) * ramp(m.skill, 0.02, 0.1)
        at_end = np.where(m.has_curve, m.at_rest, ramp(m.gain, 0.1, 0.02))
        return 0.82 * np.maximum(linear, narrow) * at_end * m.stuck * m.learnable

    def remedy(self, net: Net) -> str:
        if net.is_linear:
            return (
                "Add a hidden layer with a nonlinear activation, of 16 units to start with: now the net is a linear "
                "function."
            )
        return f"Widen the hidden layers from {net.narrowest} to {max(8, 4 * net.narrowest)} units."


WEIGHTS = UnsuitableWeights(), DeadUnits(), WeightsTooLarge(), VanishingGradient(), TooSmall()

# ---- weight decay, penalties and dropout


class WeightDecayTooHigh(Verdict):
    """Weight decay, or a penalty, that is too strong: both keep the weights too small."""

    name, title = "weight_decay_too_high", "Weight decay or the L2 penalty is too strong"
    evidence = (
        "weight decay, penalty, learning rate, epochs, size of the weights, variation of the outputs, loss, "
        "base rate's loss, explained"
    )
    test = "Train the same net without decay and penalty from the same seed: its loss should fall below this one."

    def confidence(self, m: Evidence) -> np.ndarray:
        return penalised(m)

    def remedy(self, net: Net) -> str:
        decay = net.weight_decay
        if net(decayed) < net(penalised):
            text = f"Lower l2 from {number(net.l2)} to {number(net.l2 / 1000)}"
            return f"{text}: the penalty outweighs what larger weights gain."
        return (
            f"Lower weight_decay from {number(decay)} to {number(decay / 1000)}: every step takes "
            f"{number(100 * net.learning_rate * decay)} % of the weights, more than the gradient gives back."
        )


class DropoutTooHigh(Verdict):
    name, title = "dropout_too_high", "Dropout leaves too little of the net"
    evidence = (
        "dropout, share of the outputs by dropout, loss under dropout, loss, base rate's loss, epochs, "
        "narrowest hidden layer"
    )
    test = "Train the same net with dropout=0 from the same seed: its loss should fall below this one."

    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence that the outputs depend on the dropout masks more than on the inputs."""
        # In each layer masks multiply the variance of random sums by 1 / (1 - dropout). At rates for which this factor
        # is close to 1, masks dominate only if the outputs hardly vary at all, which has another cause.
        added = 1.0 / (1.0 - m.model.dropped).prod(axis=1) - 1.0
        decided = log_ramp(added, 0.6, 2.5) * ramp(m.mask_share, 0.65, 0.95)
        decided = decided * ramp(m.epochs, 20, 60) * (1.0 - untrained(m))
        return 0.86 * decided * m.stuck * m.learnable

    def remedy(self, net: Net) -> str:
        return (
            f"Lower dropout from {number(net.dropout)} to {number(min(0.2, net.dropout / 4))}, or widen the hidden "
            f"layers: the dropout masks cause {percent(net.mask_share)} of the outputs' variance, and the inputs cause "
            "the rest."
        )


PENALTIES = WeightDecayTooHigh(), DropoutTooHigh()
