"""The class of cases that train one net or many: data, first parameters, and the fewest operations that training takes.

Every competitor does the same training: from `start`, in consecutive batches of `batch_size` rows in the order of the
data, without rows that do not fill a batch; in float32, or with products of the precision that a case for a GPU names.
cases/training.py and cases/populations.py have the tables of these cases.
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

# Of parameters, relative to the distance travelled (reference.distance), and of the loss.
TOLERANCES = {"exact": (0.03, 1e-4), "tf32": (0.2, 1e-2), "bfloat16": (0.4, 5e-2)}
# Latency of an activation or an update, in multiply-adds: an exponential and the division after it take 41 cycles, a
# multiply-add 4 (bench/log/elementary.md#exp-division-cost).
CHAIN = {"identity": 0, "relu": 1, "sigmoid": 10, "softmax": 14, "sgd": 1, "adam": 12}
QUICK_STEPS = 32  # in an epoch of a quick run
QUICK_RUNS = 200  # most runs of many nets in a quick run
CHECKED = 100  # nets of many that are compared with float64
VECTORS = {"sgd": 3, "adam": 7}  # of parameters that an update reads or writes


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One training job.

    label : name of the problem, for the title
    unit : "step", "epoch", "row" or "net and epoch", to which durations refer
    loss : "squared_error", the mean over samples and outputs of (a - y)**2, without one half; "binary_cross_entropy",
        the mean over both; "softmax_cross_entropy", the mean over samples
    optimizer : "sgd" or "adam" (beta1 0.9, beta2 0.999, epsilon 1e-8 added to the root of the corrected moment); of
        many nets also "quickprop" or "rprop"
    X : (n_samples, n_features) float32
    y : (n_samples, n_outputs) float32, or for softmax_cross_entropy the classes, (n_samples,) int64
    most_runs : epochs of one timed job
    verify_steps, verify_runs : the number of first batches, and of passes over them, with which competitors are checked
    n_nets : number of nets that are trained together, each as if it were alone; 0 for one net
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
    n_nets: int = 0
    precision: str = "exact"

    @property
    def title(self) -> str:
        sizes, optimizer = "-".join(map(str, self.layer_sizes)), reference.NAMES[self.optimizer]
        nets = f"{self.n_nets:,} net{'s' if self.n_nets > 1 else ''}"
        if self.unit == "net and epoch":
            return f"{sizes}, {self.hidden_activation}, {optimizer}, {nets}"
        batch = "row" if self.batch_size == 1 else f"batch {self.batch_size}"
        loss = {"squared_error": "squared error", "binary_cross_entropy": "cross-entropy"}.get(self.loss, "softmax")
        more = [*[nets] * (self.n_nets > 0), *[self.precision] * (self.precision != "exact")]
        return ", ".join((f"{self.label} {sizes}", loss, optimizer, batch, *more))

    @property
    def n_units(self) -> int:
        return {"epoch": 1, "step": self.n_steps, "row": len(self.X), "net and epoch": self.n_nets}[self.unit]

    @property
    def n_steps(self) -> int:
        """Optimiser steps in an epoch."""
        return len(self.X) // self.batch_size

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) per layer."""
        return list(pairwise(self.layer_sizes))

    @property
    def activations(self) -> tuple[str, ...]:
        return (*[self.hidden_activation] * (len(self.shapes) - 1), self.output_activation)

    @property
    def n_params(self) -> int:
        return sum(i * o + o for i, o in self.shapes)

    @cached_property
    def start(self) -> np.ndarray:
        """First parameters, (n_params,) or (n_nets, n_params): W (fan_in, fan_out) row by row, then b, per layer."""
        scale = np.concatenate([np.full(i * o + o, self.start_scale / np.sqrt(i)) for i, o in self.shapes])
        params = np.random.default_rng(self.start_seed).uniform(-1, 1, (max(1, self.n_nets), self.n_params))
        params *= scale
        return params.astype(np.float32) if self.n_nets else params[0].astype(np.float32)

    @property
    def y_matrix(self) -> np.ndarray:
        """Targets as (n_samples, n_outputs) float32: one-hot for classes."""
        return self.y if self.y.ndim == 2 else np.eye(self.layer_sizes[-1], dtype=np.float32)[self.y]

    @property
    def flop_per_step(self) -> int:
        """Multiplications and additions of the matrix products: forward and backward, without the gradient of X."""
        products = [i * o for i, o in self.shapes]
        return 2 * self.batch_size * (3 * sum(products) - products[0]) * max(1, self.n_nets)

    @property
    def multiply_adds(self) -> float:
        per_step = multiply_adds_of_step(self.shapes, self.activations, self.batch_size, self.optimizer)
        return per_step * max(1, self.n_nets) * self.n_steps / self.n_units

    @property
    def chain(self) -> float:
        """The longest chain of dependent operations of a unit, in multiply-adds; it limits the smallest nets.

        Forward, the sums over fan_in and the activations; backward, the derivatives, the sum over the batch and the
        update of the first layer, with which the next step begins.
        """
        forward = sum(i + CHAIN[name] for (i, _), name in zip(self.shapes, self.activations, strict=True))
        back = 2 + sum(o + 2 for _, o in self.shapes[1:])
        update = np.log2(self.batch_size) + 1 + CHAIN[self.optimizer]
        return (forward + back + update) * self.n_steps / self.n_units

    def costs(self) -> dict[str, float]:
        if self.n_nets:
            return {"multiply-adds": self.multiply_adds}
        of_update = 4 * self.n_params * VECTORS[self.optimizer]
        steps = self.n_steps / self.n_units
        return {"FLOP": self.flop_per_step * steps, "B of update": of_update * steps}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        if self.n_nets and not self.threads:  # nets are shared out once, without a barrier at each step
            return (1,) if self.n_nets < 1000 else (cpus,)
        return self.threads or thread_settings(self.flop_per_step, cpus)

    def head(self, n_steps: int) -> TrainingCase:
        """The same training on the first batches only."""
        rows = min(n_steps, self.n_steps) * self.batch_size
        return self if rows == len(self.X) else replace(self, X=self.X[:rows], y=self.y[:rows])

    def quick(self) -> TrainingCase:
        most_runs = min(self.most_runs, QUICK_RUNS) if self.n_nets else self.most_runs
        return replace(self.head(QUICK_STEPS), most_runs=most_runs)

    @cached_property
    def verification(self) -> TrainingCase:
        part = self.head(self.verify_steps)
        return part if self.n_nets <= 10 * CHECKED else replace(part, n_nets=10 * CHECKED)

    @cached_property
    def _expected(self) -> dict[bool, np.ndarray]:
        return {}

    def expected(self, corrects_epsilon: bool = True) -> np.ndarray:
        """Parameters of `verification` after `verify_runs` epochs; of many nets those of the first ones."""
        part, runs = self.verification, self.verify_runs
        if corrects_epsilon not in self._expected:
            starts = part.start[: CHECKED if part.n_params < CHECKED else 2] if self.n_nets else [part.start]
            found = [reference.train(part, runs, corrects_epsilon, start) for start in starts]
            self._expected[corrects_epsilon] = np.array(found) if self.n_nets else found[0]
        return self._expected[corrects_epsilon]

    def check(self, competitor: Competitor, answer: tuple[np.ndarray, float | None]) -> dict[str, float]:
        """answer : parameters and, of one net, loss of `verification` after `verify_runs` epochs"""
        (params, loss), part = answer, self.verification
        expected, (limit, loss_limit) = self.expected(competitor.corrects_epsilon), TOLERANCES[self.precision]
        if self.n_nets:
            n = len(expected)
            errors = {"parameters": reference.distance(params[:n], expected, part.start[:n])}
            return at_most(errors, {"parameters": limit})
        expected_loss = reference.loss(part, expected, part.X, part.y_matrix)
        errors = {
            "parameters": reference.distance(params, expected, part.start),
            "loss": abs(loss - expected_loss) / abs(expected_loss),
        }
        return at_most(errors, {"parameters": limit, "loss": loss_limit})
