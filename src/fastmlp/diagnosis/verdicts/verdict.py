"""The parts of a verdict: its rule, evidence, remedy and experiment; and the numbers of one net that its texts name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from .evidence import Evidence


class Net:
    """Numbers of one net: attributes are those of its evidence, with the value of the net for an array."""

    def __init__(self, evidence: Evidence, k: int):
        self.all, self.k = evidence, k

    def __getattr__(self, name: str) -> Any:
        return self.of(getattr(self.all, name))

    def of(self, value: Any) -> Any:
        """Return the value of this net, of an array (n_nets,) or of what is common to all nets."""
        if isinstance(value, np.ndarray) and value.ndim:
            return float(value[self.k])
        return value.item() if isinstance(value, np.ndarray) else value

    def __call__(self, function: Callable[[Evidence], Any]) -> Any:
        """Return the value of this net of a function of the evidence on all nets."""
        return self.of(function(self.all))


class Verdict(ABC):
    """A verdict on nets: subclasses say what it is called, when it holds, what to show and what to do.

    name, title : what programs and people call it
    evidence : names of its numbers, separated by commas: those of EVIDENCE, or of attributes with spaces
    test : how to confirm the verdict, if that is the same for all nets
    is_healthy : whether nothing is broken
    """

    name: str
    title: str
    evidence: str
    test: str
    is_healthy = False

    @abstractmethod
    def confidence(self, m: Evidence) -> np.ndarray:
        """Return the confidence for each net, (n_nets,), 0 if it does not apply.

        A cause that is observed directly (a value that is not finite, constant labels) has a confidence near 1.
        Symptoms (a plateau) score below the causes that explain them. A number that could not be measured is NaN and
        adds nothing.
        """

    @abstractmethod
    def remedy(self, net: Net) -> str:
        """Return what to change, by how much, and why; nothing that the net has already."""

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


# Where a number comes from whose name is not that of an attribute of the evidence: an attribute, or a function.
EVIDENCE: dict[str, str | Callable[[Net], float | str]] = {
    "inputs": "n_features",
    "layers": "model.layout.n_layers",
    "weights": "n_weights",
    "narrowest hidden layer": "narrowest",
    "output activation": lambda net: net.model.activations[-1].name,
    "base rate's loss": "base_loss",
    "attainable at least": "attainable",
    "validation loss": "held_out_loss",
    "variation of the outputs": "variation",
    "output range": _output_range,
    "coding": "label_problem",
    "first not finite": lambda net: net.bad_data or net.all.places[int(net.first_bad)],
    "gain of a safe step": "relative_safe_gain",
    "gain of one step": "gain",
    "steps": "n_steps",
    "penalty": "l2",
    "size of the weights": "weight_size",
    "share of the outputs by dropout": "mask_share",
    "loss under dropout": "mask_loss",
    "first loss": lambda net: net.first_record + net.floor,
    "recorded loss": lambda net: net.last_record + net.floor,
    "lowest loss": lambda net: net.lowest_record + net.floor,
    "change of the loss": "change",
    "swing of the loss": "swing",
    "change of validation loss": "validation_change",
}
