"""The class of cases that train one net: data, first parameters, and the fewest operations that training takes.

Every competitor does the same training: float32, from `start`, in consecutive batches of `batch_size` rows in the order
of the data, without rows that do not fill a batch. cases/training.py has the table of these cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from competitors import Competitor

from suite import reference
from suite.case import at_most, thread_settings
from suite.op_counts import multiply_adds_of_step

TOLERANCES = {
    "parameters": 0.03,  # relative to the distance travelled: reference.difference
    "loss": 1e-4,  # relative
}
# Latency of an activation or an update, in multiply-adds: an exponential and the division after it take 41 cycles, a
# multiply-add 4 (bench/log/elementary.md#exp-division-cost).
CHAIN = {"identity": 0, "relu": 1, "sigmoid": 10, "softmax": 14, "sgd": 1, "adam": 12}
QUICK_STEPS = 32  # in an epoch of a quick run


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One training job.

    label : name of the problem, for the title
    unit : "step", "epoch" or "row", to which durations refer
    loss : "squared_error", the mean over samples and outputs of (a - y)**2, without one half; "binary_cross_entropy",
        the mean over both; "softmax_cross_entropy", the mean over samples
    optimizer : "sgd" or "adam" (beta1 0.9, beta2 0.999, epsilon 1e-8 added to the root of the corrected moment)
    X : (n_samples, n_features) float32
    y : (n_samples, n_outputs) float32, or for softmax_cross_entropy the classes, (n_samples,) int64
    most_runs : epochs of one timed job
    verify_steps, verify_runs : the number of first batches, and of passes over them, with which competitors are checked
    """

    name: str
    label: str
    group: str
    unit: str
    layer_sizes: tuple[int, ...]
    hidden_activation: str
    output_activation: str
    loss: str
    optimizer: str
    learning_rate: float
    X: np.ndarray
    y: np.ndarray
    batch_size: int
    most_runs: int
    source: str
    verify_steps: int = 3
    verify_runs: int = 2
    start_seed: int = 0
    start_scale: float = 1.0
    curve: dict | None = None
    threads: tuple[int, ...] = ()  # instead of those that the size suggests
    trains: bool = True  # False: forward passes only
    fewest_runs: int = 1
    done_once: bool = False
    adam_params: int = 0  # for limits/memory.py, which measures updates only

    @property
    def title(self) -> str:
        sizes, batch = (
            "-".join(map(str, self.layer_sizes)),
            "row" if self.batch_size == 1 else f"batch {self.batch_size}",
        )
        loss = {"squared_error": "squared error", "binary_cross_entropy": "cross-entropy"}.get(self.loss, "softmax")
        return f"{self.label} {sizes}, {loss}, {'SGD' if self.optimizer == 'sgd' else 'Adam'}, {batch}"

    @property
    def n_units(self) -> int:
        return {"epoch": 1, "step": self.n_steps, "row": len(self.X)}[self.unit]

    @property
    def n_steps(self) -> int:
        """Optimiser steps in an epoch."""
        return len(self.X) // self.batch_size

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) per layer."""
        return list(pairwise(self.layer_sizes))

    @property
    def n_params(self) -> int:
        return sum(i * o + o for i, o in self.shapes)

    @cached_property
    def start(self) -> np.ndarray:
        """First parameters, flat: per layer W (fan_in, fan_out) row by row, then b (fan_out,)."""
        rng = np.random.default_rng(self.start_seed)
        scale = np.concatenate([np.full(i * o + o, self.start_scale / np.sqrt(i)) for i, o in self.shapes])
        return (scale * rng.uniform(-1, 1, self.n_params)).astype(np.float32)

    @property
    def y_matrix(self) -> np.ndarray:
        """Targets as (n_samples, n_outputs) float32: one-hot for classes."""
        return self.y if self.y.ndim == 2 else np.eye(self.layer_sizes[-1], dtype=np.float32)[self.y]

    @property
    def flop_per_step(self) -> int:
        """Multiplications and additions of the matrix products: forward and backward, without the gradient of X."""
        products = [i * o for i, o in self.shapes]
        return 2 * self.batch_size * (3 * sum(products) - products[0])

    @property
    def bytes_per_step(self) -> int:
        """Memory traffic of the update: gradients and parameters read, parameters written; Adam's m and v, both."""
        return 4 * self.n_params * {"sgd": 3, "adam": 7}[self.optimizer]

    @property
    def multiply_adds(self) -> float:
        activations = [*[self.hidden_activation] * (len(self.shapes) - 1), self.output_activation]
        per_step = multiply_adds_of_step(self.shapes, activations, self.batch_size, self.optimizer)
        return per_step * self.n_steps / self.n_units

    @property
    def chain(self) -> float:
        """The longest chain of dependent operations of a unit, in multiply-adds; it limits the smallest nets.

        Forward, the sums over fan_in and the activations; backward, the derivatives, the sum over the batch and the
        update of the first layer, with which the next step begins.
        """
        forward = sum(i + CHAIN[self.hidden_activation] for i, _ in self.shapes[:-1])
        forward += self.shapes[-1][0] + CHAIN[self.output_activation]
        back = 2 + sum(o + 2 for _, o in self.shapes[1:])
        update = np.log2(self.batch_size) + 1 + CHAIN[self.optimizer]
        return (forward + back + update) * self.n_steps / self.n_units

    def costs(self) -> dict[str, float]:
        steps_per_unit = self.n_steps / self.n_units
        return {"FLOP": self.flop_per_step * steps_per_unit, "B of update": self.bytes_per_step * steps_per_unit}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return self.threads or thread_settings(self.flop_per_step, cpus)

    def head(self, n_steps: int) -> TrainingCase:
        """The same training on the first batches only."""
        rows = min(n_steps, self.n_steps) * self.batch_size
        return self if rows == len(self.X) else replace(self, X=self.X[:rows], y=self.y[:rows])

    def quick(self) -> TrainingCase:
        return self.head(QUICK_STEPS)

    @property
    def verification(self) -> TrainingCase:
        return self.head(self.verify_steps)

    @cached_property
    def _expected(self) -> dict[bool, np.ndarray]:
        return {}

    def check(self, competitor: Competitor, answer: tuple[np.ndarray, float]) -> dict[str, float]:
        """answer : parameters and loss of `verification` after `verify_runs` epochs"""
        trial, form = self.verification, competitor.corrects_epsilon
        if form not in self._expected:
            self._expected[form] = reference.train(trial, self.verify_runs, form)
        return at_most(reference.difference(trial, *answer, self._expected[form]), TOLERANCES)
