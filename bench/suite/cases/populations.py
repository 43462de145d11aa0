"""Training many nets: XOR, from 1 net to a million, and as many as memory allows; on a GPU, larger nets in batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from competitors import ARITHMETIC, GPU_NETS, GPU_PRODUCTS, POPULATION, STOPPING, Competitor

from suite import data
from suite.case import CaseEntry, fits
from suite.timing import FEWEST_RUNS
from suite.training_case import TrainingCase

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)
RATES = {"sgd": 0.5, "adam": 0.01, "quickprop": 0.5, "rprop": 0.1}
# Epochs before nets are compared. Quickprop divides by a difference of derivatives and Rprop depends on their signs, so
# that after 20 epochs the rounding of float32 has led half of the nets elsewhere (in float64 they agree to 1e-8).
VERIFY_RUNS = {"sgd": 20, "adam": 20, "quickprop": 5, "rprop": 5}
NETS = "2-2-1, sigmoid, SGD: a net and epoch against the number of nets"
NUMBERS_OF_NET = 40  # numbers that training keeps of a 2-2-1 net: parameters, gradient, losses, records
MANY = 1_000_000  # more nets than these are not in a full run
WORTH_COMPILING = 10_000  # nets; an epoch of a thousand takes less time than a call of PyTorch's graph
TOO_FEW = "compiles for ten seconds, and a call takes longer than so few nets; see 10,000 nets and more"


def xor_nets(name, group, sizes, activation, optimizer, n_nets, most_runs, curve) -> TrainingCase:
    return TrainingCase(
        name, "XOR", group, "net and epoch", sizes, activation, "sigmoid", "squared_error", optimizer, RATES[optimizer],
        X, Y, 4, most_runs, "the four rows of XOR", verify_runs=VERIFY_RUNS[optimizer], start_scale=2.5, curve=curve,
        fewest_runs=FEWEST_RUNS, n_nets=n_nets,
    )  # fmt: skip


def _competitors(n_nets: int, optimizer: str) -> tuple[Competitor, ...]:
    """The competitors, those of the two common optimisers only: no library has Quickprop, nor Rprop with a way back."""
    if optimizer not in ("sgd", "adam"):
        return tuple(competitor for competitor in POPULATION if competitor.kind == "ours")
    is_left_out = lambda one: one.name == "torch compiled" and n_nets < WORTH_COMPILING
    return tuple(replace(one, left_out=TOO_FEW) if is_left_out(one) else one for one in POPULATION)


def _entry(
    sizes, n_nets, activation="sigmoid", optimizer="sgd", *, extra=(), in_quick=False, curve=False, largest=False
) -> CaseEntry:
    name = f"{'-'.join(map(str, sizes))}_{activation}_{optimizer}_{n_nets}"
    x = {"name": NETS, "axis": "nets", "x": n_nets} if curve else None
    group = "scaling" if curve and not 1000 <= n_nets <= MANY else "population"
    most_runs = FEWEST_RUNS if n_nets > MANY else 1000 if n_nets > 1000 else 5000  # so that a fit takes milliseconds
    build = partial(xor_nets, name, group, sizes, activation, optimizer, n_nets, most_runs, x)
    programs = (*ARITHMETIC, *_competitors(n_nets, optimizer), *extra)
    return CaseEntry(name, group, programs, build, in_quick, largest)


def _classes(name, sizes, n_nets, batch_size, precision) -> TrainingCase:
    X, y, source = data.random_classes(7, 8 * batch_size, sizes[0], sizes[-1])
    return TrainingCase(
        name, "random", "population", "step", sizes, "relu", "softmax", "softmax_cross_entropy", "adam", 1e-3, X, y,
        batch_size, 1000, source, verify_steps=2, verify_runs=1, n_nets=n_nets, precision=precision,
    )  # fmt: skip


def _gpu_entry(sizes, n_nets, batch_size, precision="exact") -> CaseEntry:
    name = f"gpu_{n_nets}_nets_{'-'.join(map(str, sizes))}_{batch_size}_{precision}"
    build = partial(_classes, name, sizes, n_nets, batch_size, precision)
    return CaseEntry(name, "population", (*GPU_PRODUCTS, *GPU_NETS), build)


ENTRIES = (
    *(_entry((2, 2, 1), 10**k, curve=True, extra=STOPPING if k == 5 else (), in_quick=k == 5) for k in range(7)),
    *(_entry((2, 2, 1), 10**k, curve=True, largest=True) for k in (7, 8) if fits(NUMBERS_OF_NET * 10**k)),
    *(_entry((2, 2, 1), 100_000, optimizer=name) for name in ("adam", "quickprop", "rprop")),
    _entry((2, 4, 4, 1), 100_000, "tanh"),
    _entry((2, 4, 4, 1), 100_000, "sigmoid"),
    _entry((2, 4, 4, 1), 1000, "tanh"),
    _entry((2, 4, 4, 1), 1_000_000, "tanh"),
    _gpu_entry((64, 128, 64, 10), 1000, 32),
    _gpu_entry((64, 128, 64, 10), 1000, 32, "bfloat16"),
    _gpu_entry((64, 100, 10), 5, 5000),
)
