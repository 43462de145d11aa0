"""Prediction: one row at a time, as a service does, and many rows in one call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from competitors import PREDICTION, PRODUCTS, Competitor

from suite import data, reference
from suite.case import CaseEntry, at_most, thread_settings
from suite.training_case import TrainingCase

TOLERANCE = 1e-4  # of a probability
CHECKED = 500  # rows


@dataclass(frozen=True, eq=False)
class PredictionCase:
    """Probabilities of a net with ReLUs and softmax for all rows of `net.X` in one call."""

    name: str
    net: TrainingCase
    unit: str  # "call" or "row"
    most_runs: int = 10_000
    fewest_runs: int = 1
    done_once: bool = False
    verify_runs: int = 1
    group: str = "predict"
    curve: None = None
    trains: bool = False

    @property
    def title(self) -> str:
        rows = f"{len(self.net.X):,} rows in a call" if self.unit == "row" else "one row in a call"
        return f"{self.net.label} {'-'.join(map(str, self.layer_sizes))}, {rows}"

    @property
    def n_units(self) -> int:
        return len(self.net.X) if self.unit == "row" else 1

    @property
    def multiply_adds(self) -> float:
        return sum(i * o for i, o in self.net.shapes) * len(self.net.X) / self.n_units

    def costs(self) -> dict[str, float]:
        return {"FLOP": 2 * self.multiply_adds, "B of parameters": 4 * self.net.n_params / self.n_units}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return thread_settings(2 * self.multiply_adds * self.n_units, cpus)

    def quick(self) -> PredictionCase:
        return replace(self, most_runs=1000)

    @property
    def verification(self) -> PredictionCase:
        return self

    @cached_property
    def expected(self) -> np.ndarray:
        return reference.net_of(self.net, self.net.start).predict(self.net.X[:CHECKED])

    def check(self, competitor: Competitor, answer: np.ndarray) -> dict[str, float]:
        """answer : (n_samples, n_outputs) or its first rows"""
        error = float(np.abs(answer[:CHECKED] - self.expected).max())
        return at_most({"probabilities": error}, {"probabilities": TOLERANCE})

    source = property(lambda self: self.net.source)
    # read by limits/products.py and limits/cuda.py
    layer_sizes = property(lambda self: self.net.layer_sizes)
    batch_size = property(lambda self: len(self.net.X))
    n_params = property(lambda self: self.net.n_params)
    n_steps = 1
    n_nets, precision = 0, "exact"


def _build(name, label, samples, layer_sizes, rows: int, unit: str) -> PredictionCase:
    X, y, source = samples(rows)
    net = TrainingCase(
        name, label, "predict", "row", layer_sizes, "relu", "softmax", "softmax_cross_entropy", "adam", 1e-3, X, y,
        len(X), 1, source,
    )  # fmt: skip
    return PredictionCase(name, net, unit)


DIGITS, MNIST = (64, 64, 32, 10), (784, 512, 512, 10)
ALL_FORMS = (*PRODUCTS, *PREDICTION)
ENTRIES = tuple(
    CaseEntry(name, "predict", ALL_FORMS, partial(_build, name, label, samples, sizes, rows, unit), in_quick)
    for name, label, samples, sizes, rows, unit, in_quick in (
        ("digits_one_row", "digits", data.digits, DIGITS, 1, "call", True),
        ("digits_rows", "digits", data.digits, DIGITS, 1797, "row", False),
        ("mnist_one_row", "MNIST", data.mnist, MNIST, 1, "call", False),
        ("mnist_rows", "MNIST", data.mnist, MNIST, 10_000, "row", False),
    )
)
