"""The parts of a verdict: its rule, evidence, remedy and experiment; and the numbers of one net that its texts name."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from .evidence import Evidence


class Net:
    """Numbers of one net: attributes are those of its measurements, with the value of the net for an array."""

    def __init__(self, measurements: Any, k: int):
        self.all, self.k = measurements, k

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.all, name)
        return Net(value, self.k) if hasattr(value, "_fields") else self.of(value)

    def of(self, value: Any) -> Any:
        """Return the value of this net, of an array (n_nets,) or of what is common to all nets."""
        if isinstance(value, np.ndarray) and value.ndim:
            return float(value[self.k])
        return value.item() if isinstance(value, np.ndarray) else value

    def __call__(self, function: Callable[[Evidence], Any]) -> Any:
        """Return the value of this net of a function of the evidence on all nets."""
        return self.of(function(self.all))

    @property
    def learning_rate(self) -> float:
        """Learning rate as it was given, without the factor by which momentum lengthens steps."""
        return self.updates.learning_rate * (1.0 - self.updates.momentum)

    @property
    def dropout(self) -> float:
        """Largest dropout rate among the hidden layers."""
        return float(self.model.dropped[self.k].max(initial=0.0))

    @property
    def l2(self) -> float:
        return float(self.of(self.model.l2))


class Verdict:
    """A verdict on nets: subclasses say what it is called, when it holds, what to show and what to do.

    name, title : what programs and people call it
    evidence : names of its numbers, separated by commas: those of EVIDENCE, or of attributes
    test : how to confirm the verdict, if that is the same for all nets
    is_healthy : whether nothing is broken
    """

    name: str
    title: str
    evidence: str
    test: str
    is_healthy = False

    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence for each net, (n_nets,), 0 if it does not apply.

        A cause that is observed directly (a value that is not finite, constant labels) has a confidence near 1.
        Symptoms (a plateau) score below the causes that explain them. A number that could not be measured is NaN and
        adds nothing.
        """
        raise NotImplementedError

    def remedy(self, net: Net) -> str:
        """Return what to change, by how much, and why; nothing that the net has already."""
        raise NotImplementedError

    def experiment(self, net: Net) -> str:
        """Return how to confirm the verdict."""
        return self.test

    def evidence_of(self, net: Net) -> dict[str, float | str]:
        """Return the evidence on a net by name, without entries that could not be measured."""
        values = {name: _value(EVIDENCE.get(name, name.replace(" ", "_")), net) for name in self.evidence.split(", ")}
        return {name: value for name, value in values.items() if value != "" and value == value}


def _value(source: str | Callable[[Net], float | str], net: Net) -> float | str:
    value = attrgetter(source)(net) if isinstance(source, str) else source(net)
    return value if isinstance(value, str) else float(value)


def number(value: float) -> str:
    """Return a number formatted for a sentence: three significant digits, an exponent only for extreme sizes."""
    if not np.isfinite(value):
        return str(value)
    if abs(value) < 1e-12:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def listed(items: list[str], last: str = "or") -> str:
    """Return items as an enumeration: "a", "a or b", "a, b or c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted_number(value: float, noun: str) -> str:
    """Return a number, formatted for a sentence, with its noun in the singular or plural."""
    return f"{number(value)} {noun if number(value) == '1' else noun + 's'}"


def _output_range(net: Net) -> str:
    bounds = net.bounds
    if not np.isfinite([bounds.low, bounds.high]).any():
        return "unbounded"
    return f"[{number(bounds.low)}, {number(bounds.high)}], {bounds.source}"


# Where a number comes from whose name is not that of an attribute of the measurements: an attribute, or a function.
EVIDENCE: dict[str, str | Callable[[Net], float | str]] = {
    "inputs": "data.n_features",
    "layers": "model.layout.n_layers",
    "weights": "n_weights",
    "narrowest hidden layer": "narrowest",
    "output activation": lambda net: net.model.activations[-1].name,
    "base rate's loss": "base_loss",
    "attainable at least": "data.attainable",
    "validation loss": "held_out_loss",
    "explained in validation": "validation_explained",
    "merged samples": "merged",
    "variation of the outputs": "variation",
    "output range": _output_range,
    "lowest output": "output_low",
    "highest output": "output_high",
    "lowest target": "target_low",
    "highest target": "target_high",
    "share out of reach": "unreachable",
    "coding": "label_problem",
    "first not finite": lambda net: net.bad_data or net.all.places[int(net.first_bad)],
    "positive weights": "positive",
    "saturated units": "saturated",
    "layer of saturated units": "saturated_layer",
    "dead units": "dead",
    "layer of dead units": "dead_layer",
    "duplicate units": "duplicates",
    "layer of duplicates": "duplicates_layer",
    "first to last layer": "first_to_last",
    "largest to last layer": "largest_to_last",
    "gain of a safe step": "relative_safe_gain",
    "gain of one step": "gain",
    "longest first step": "longest_step",
    "steps": "n_steps",
    "weight decay": "updates.weight_decay",
    "penalty": "l2",
    "size of the weights": "weight_size",
    "clip norm": "updates.clip_norm",
    "share of the outputs by dropout": "mask_share",
    "loss under dropout": "mask_loss",
    "epochs": "curve.epochs",
    "first loss": lambda net: net.curve.first + net.floor,
    "recorded loss": lambda net: net.curve.last + net.floor,
    "lowest loss": lambda net: net.curve.lowest + net.floor,
    "change of the loss": "curve.change",
    "swing of the loss": "curve.swing",
    "change of validation loss": "curve.validation_change",
    "best epoch": "curve.best",
    "kept epoch": "curve.final_epoch",
    "largest input spread": "data.scale.largest_spread",
    "typical input spread": "data.scale.typical_spread",
    "largest input offset": "data.scale.largest_offset",
    "constant inputs": "data.n_constant",
    "signal": "data.signal",
    "linear": "data.linear",
    "nearest neighbours": "data.neighbours",
    "random features": "data.random_features",
}
