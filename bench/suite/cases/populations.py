"""Training many nets: XOR, full batch, squared error, from 1 net to a million, and as many as memory allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
from competitors import ARITHMETIC, POPULATION, STOPPING, Competitor

from suite.case import CaseEntry, at_most, fits
from suite.flat_params import offsets
from suite.op_counts import multiply_adds_of_step
from suite.timing import FEWEST_RUNS

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([0, 1, 1, 0], np.float32)
RATES = {"sgd": 0.5, "adam": 0.01, "quickprop": 0.5, "rprop": 0.1}
GROWTH, SHRINK = {"quickprop": 1.75, "rprop": 1.2}, 0.5  # other constants of the rules, the same for all
SMALLEST, BIGGEST = 1e-6, 50.0
CHECKED = 100  # nets that are compared with float64
TOLERANCE = 1e-3  # of a parameter
# Epochs before nets are compared. Quickprop divides by a difference of derivatives and Rprop depends on their signs, so
# that after 20 epochs the rounding of float32 has led half of the nets elsewhere (in float64 they agree to 1e-8).
VERIFY_RUNS = {"sgd": 20, "adam": 20, "quickprop": 5, "rprop": 5}
NAMES = {"sgd": "SGD", "adam": "Adam", "quickprop": "Quickprop", "rprop": "Rprop"}


@dataclass(frozen=True, eq=False)
class PopulationCase:
    name: str
    group: str
    layer_sizes: tuple[int, ...]
    activation: str
    optimizer: str
    n_nets: int
    most_runs: int = 1000
    fewest_runs: int = FEWEST_RUNS
    done_once: bool = False
    verify_runs: int = 20
    curve: dict | None = None
    unit: str = "net and epoch"
    source: str = "the four rows of XOR"

    @property
    def title(self) -> str:
        sizes = "-".join(map(str, self.layer_sizes))
        nets = f"{self.n_nets:,} net{'s' if self.n_nets > 1 else ''}"
        return f"{sizes}, {self.activation}, {NAMES[self.optimizer]}, {nets}"

    @property
    def n_units(self) -> int:
        return self.n_nets

    @cached_property
    def start(self) -> np.ndarray:
        """(n_nets, n_params)"""
        n_params = sum((i + 1) * j for _, _, i, j in offsets(self.layer_sizes))
        return np.random.default_rng(0).normal(0, 1, (self.n_nets, n_params)).astype(np.float32)

    @property
    def multiply_adds(self) -> int:
        shapes = list(pairwise(self.layer_sizes))
        activations = [*[self.activation] * (len(shapes) - 1), "sigmoid"]
        return multiply_adds_of_step(shapes, activations, len(X), self.optimizer)

    def costs(self) -> dict[str, float]:
        return {"multiply-adds": self.multiply_adds}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return (1,) if self.n_nets < 1000 else (cpus,)

    def quick(self) -> PopulationCase:
        return replace(self, most_runs=200)

    @property
    def verification(self) -> PopulationCase:
        return self if self.n_nets <= 10 * CHECKED else replace(self, n_nets=10 * CHECKED)

    @cached_property
    def expected(self) -> np.ndarray:
        """Parameters of the first nets, each trained alone with the float64 reference of the tests."""
        import reference_net
        import reference_optimizers

        activations = (self.activation,) * (len(self.layer_sizes) - 2) + ("sigmoid",)
        expected_params = []
        for start in self.verification.start[:CHECKED].astype(np.float64):
            net = reference_net.ReferenceMLP(self.layer_sizes, activations, "squared_error", start.copy())
            rule = {"sgd": "SGD"}.get(self.optimizer, self.optimizer.capitalize())
            rates = {"learning_rate": RATES[self.optimizer]}
            reference_optimizers.train(net, X.astype(float), Y[:, None], rule, rates, epochs=self.verify_runs)
            expected_params.append(net.params)
        return np.array(expected_params)

    def check(self, competitor: Competitor, answer: np.ndarray) -> dict[str, float]:
        """answer : (n_nets, n_params) after verify_runs epochs"""
        error = np.abs(answer[:CHECKED] - self.expected).max(axis=1)
        return at_most({"share of nets": float(np.mean(error > TOLERANCE))}, {"share of nets": 0.0})


NETS = "2-2-1, sigmoid, SGD: a net and epoch against the number of nets"


NUMBERS_OF_NET = 40  # numbers that training keeps of a 2-2-1 net: parameters, gradient, losses, records
MANY = 1_000_000  # nets from which slow competitors are left out; more than these are not in a full run
WORTH_COMPILING = 10_000  # nets; an epoch of a thousand takes less time than a call of PyTorch's graph
TOO_FEW = "compiles for ten seconds, and a call takes longer than so few nets; see 10,000 nets and more"
SLOW_AT_SCALE = ("jax vmap", "torch batched")
TOO_MANY = "takes far longer than the others, as nothing stays in a cache; see 100,000 nets of 2-2-1"


def _competitors(sizes: tuple[int, ...], n_nets: int) -> tuple[Competitor, ...]:
    reasons = {}
    if n_nets < WORTH_COMPILING:
        reasons["torch compiled"] = TOO_FEW
    if n_nets >= MANY or (n_nets >= WORTH_COMPILING and sizes != (2, 2, 1)):
        reasons |= dict.fromkeys(SLOW_AT_SCALE, TOO_MANY)
    return tuple(
        replace(competitor, left_out=reasons.get(competitor.name, competitor.left_out)) for competitor in POPULATION
    )


def _entry(
    sizes, n_nets, activation="sigmoid", optimizer="sgd", *, extra=(), in_quick=False, curve=False, largest=False
) -> CaseEntry:
    name = f"{'-'.join(map(str, sizes))}_{activation}_{optimizer}_{n_nets}"
    x = {"name": NETS, "axis": "nets", "x": n_nets} if curve else None
    group = "scaling" if curve and not 1000 <= n_nets <= MANY else "population"
    max_runs = FEWEST_RUNS if n_nets > MANY else 1000 if n_nets > 1000 else 5000  # so that a fit takes milliseconds
    verify = VERIFY_RUNS[optimizer]
    build = partial(
        PopulationCase, name, group, sizes, activation, optimizer, n_nets, max_runs, verify_runs=verify, curve=x
    )
    return CaseEntry(name, group, (*ARITHMETIC, *_competitors(sizes, n_nets), *extra), build, in_quick, largest)


ENTRIES = (
    *(_entry((2, 2, 1), 10**k, curve=True, extra=STOPPING if k == 5 else (), in_quick=k == 5) for k in range(7)),
    *(_entry((2, 2, 1), 10**k, curve=True, largest=True) for k in (7, 8) if fits(NUMBERS_OF_NET * 10**k)),
    *(_entry((2, 2, 1), 100_000, optimizer=name) for name in ("adam", "quickprop", "rprop")),
    _entry((2, 4, 4, 1), 100_000, "tanh"),
    _entry((2, 4, 4, 1), 100_000, "sigmoid"),
    _entry((2, 4, 4, 1), 1000, "tanh"),
    _entry((2, 4, 4, 1), 1_000_000, "tanh"),
)
