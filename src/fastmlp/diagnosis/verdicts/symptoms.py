"""Verdicts on symptoms without a known cause."""

from __future__ import annotations

import numpy as np

from .evidence import Evidence, log_ramp, ramp
from .penalties import LEAST_L2, collapsed
from .progress import generalisation_gap
from .steps import wrong_learning_rate
from .verdict import Net, Verdict, listed, number, sentence
from .weights import hidden_names

RESTART = (
    "begin again with another random_state, best with a Population of 20 nets and its best() (reset() draws the same "
    "weights again)"
)


class Plateau(Verdict):
    """A loss that stands still, at that of the best constant or below it: what to do is the same."""

    name, title = "plateau", "A plateau, saddle or local minimum"
    evidence = (
        "gradient, smallest curvature, largest curvature, gain of one step, merged samples, variation of the outputs, "
        "loss, base rate's loss, explained"
    )

    def confidence(self, m: Evidence) -> np.ndarray:
        by_curve = ramp(np.abs(m.curve.change), 0.03, 0.004)
        by_gradient = ramp(m.gain, 0.02, 0.002)
        if m.updates.schedule:
            by_curve = np.minimum(by_curve, by_gradient)
        is_at_rest = np.where(m.has_curve, by_curve, by_gradient * m.without_history) * ramp(m.gain, 0.3, 0.1)
        is_at_rest = np.maximum(is_at_rest, m.merged_at_rest)
        downhill = log_ramp(-m.smallest_curvature / np.maximum(np.abs(m.largest_curvature), 1e-12), 3e-4, 6e-3)
        at_saddle = 1.08 * downhill * ramp(m.skill, 0.12, 0.03) * ramp(m.skill, -0.3, -0.1)
        kind = np.maximum(ramp(m.skill, 0.03, 0.12), at_saddle) * (1.0 - 0.6 * wrong_learning_rate(m))
        below = 0.73 * is_at_rest * kind * m.stuck * m.learnable * (1.0 - 0.5 * m.curve.stopped_early)
        return np.maximum(below, collapsed(m) * (np.asarray(m.model.l2) <= LEAST_L2))

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
        if net.merged > 0:
            observation = (
                f"{net.merged * net.n_samples:.0f} of {net.n_samples} samples get an output that is the mean of "
                f"different targets, and {observation}, as in a local minimum"
            )
        elif not self._bends_down(net) and np.isfinite(down):
            observation += " and the loss has no direction of negative curvature, as in a local minimum"
        elif net.updates.is_adaptive:
            observation += f", and {net.updates.rule}, which is designed for plateaus, has not left this one"
        return f"{sentence(listed(self._changes(net)))}: {observation}."

    def _changes(self, net: Net) -> list[str]:
        """Return what may help, the first first, without what the net has already."""
        wider = f"double the hidden units from {net.narrowest}" if net.narrowest else "add a hidden layer of 16 units"
        changes = [RESTART, wider if net.model.has_weights else "double the hidden units"]
        if net.narrowest and not hidden_names(net) & {"tanh", "relu", "leaky_relu"}:
            changes.append("use tanh or relu units")
        if not net.updates.is_adaptive and not net.merged > 0:
            unless = "" if net.updates.rule else " if you have not"
            changes.append(f"train with 'rprop' or 'adam'{unless}, whose steps do not shrink with the gradient")
        return changes

    def _bends_down(self, net: Net) -> bool:
        """Return whether the loss has negative curvature in some direction, as at a saddle, which can be left."""
        return -net.smallest_curvature > 1e-3 * abs(net.largest_curvature)

    def _is_saddle(self, net: Net) -> bool:
        """Return whether another optimiser would leave the plateau: at a saddle, where plain descent is slow."""
        return self._bends_down(net) and not net.updates.is_adaptive and not net.merged > 0

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
        missing = ["the history"] if np.isnan(net.curve.epochs) else []
        missing += ["validation data"] if np.isnan(net(generalisation_gap)) else []
        if missing:
            return f"Give diagnose {listed(missing, 'and')} as well: they show what the weights of a net alone do not."
        return (
            "Compare with nets from other random states and with a wider one: no single cause stands out in the "
            "numbers."
        )


VERDICTS = Plateau(), Unclear()
