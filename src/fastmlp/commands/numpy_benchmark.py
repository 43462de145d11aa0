"""Quick benchmark, printed by `fastmlp bench`: fastmlp against hand-written NumPy, without other packages.

The suite, with scikit-learn, PyTorch, JAX and Keras as competitors, is in the repository: `pytest bench`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..console.durations import duration
from ..data import xor
from ..execution.unrolled_code import unrolled_at_once
from ..fit.interrupt_warnings import require_complete
from ..mlp import MLP
from ..optimizers import SGD
from ..population import Population
from ..runtime.found_devices import microarchitecture
from ..runtime.thread_count import n_processors

TOLERANCE = 1e-3  # largest relative difference of the losses; fastmlp and NumPy compute in float32
LONG_ENOUGH = 0.08  # seconds of a measurement
ROUNDS = 5
XOR = xor.X, xor.Y[:, None].astype(np.float32)
HOW = (
    "fastmlp and NumPy by hand train by SGD, start from the same parameters, and must have the same loss. They take "
    f"turns; durations are medians of {ROUNDS} rounds, ratios medians of the ratios within a round."
)


class NumpyNet:
    """Hand-written SGD with cross-entropy, of one net, or of many nets with weights (n_nets, fan_in, fan_out).

    net : MLP or Population     whose parameters it starts from
    hidden : str     "relu", or another name for sigmoid
    rate : float     learning rate
    """

    def __init__(self, net: MLP | Population, hidden: str, rate: float):
        parts = zip(net.network.layout.weights(net.params), net.network.layout.biases(net.params), strict=True)
        self.layers = [[W.copy(), b[..., None, :].copy()] for W, b in parts]
        self.hidden, self.rate = hidden, np.float32(rate)

    def forward(self, X: np.ndarray) -> list[np.ndarray]:
        """Return the activations of all layers, inputs first."""
        a = [X]
        for k, (W, b) in enumerate(self.layers):
            z = a[-1] @ W
            z += b
            if k < len(self.layers) - 1:
                a.append(np.maximum(z, 0, out=z) if self.hidden == "relu" else sigmoid(z))
            else:
                a.append(sigmoid(z) if z.shape[-1] == 1 else softmax(z))
        return a

    def step(self, X: np.ndarray, y: np.ndarray) -> None:
        a = self.forward(X)
        delta = (a[-1] - y) / np.float32(len(y))
        for k in reversed(range(len(self.layers))):
            (W, b), below = self.layers[k], delta
            if k:
                derivative = a[k] > 0 if self.hidden == "relu" else a[k] * (1 - a[k])
                below = (delta @ W.swapaxes(-1, -2)) * derivative
            W -= self.rate * (a[k].swapaxes(-1, -2) @ delta)
            b -= self.rate * delta.sum(axis=-2, keepdims=True)
            delta = below

    def loss(self, X: np.ndarray, y: np.ndarray) -> float:
        a = self.forward(X)[-1].astype(np.float64)
        per_row = y * np.log(a) + ((1 - y) * np.log(1 - a) if a.shape[-1] == 1 else 0)
        return float(-np.mean(per_row.sum(axis=-1)))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Program(NamedTuple):
    """A program that is measured: fastmlp, or hand-written NumPy.

    run : function that does n runs
    loss : function that returns the loss on the training samples, to verify the result
    """

    run: Callable[[int], Any]
    loss: Callable[[], float]

    def seconds(self, n: int) -> float:
        """Return the seconds of n runs."""
        started = perf_counter()
        self.run(n)
        return perf_counter() - started


def training(sizes, hidden, X, y, batch_size, rate, n_nets=None) -> tuple[Program, Program]:
    """Return (fastmlp, hand-written NumPy), which train from the same initial parameters; one run is one epoch.

    X : (n_samples, n_features)
    y : (n_samples, 1), or (n_samples, n_classes) one-hot
    n_nets : number of nets in a population; None for one net
    """
    settings: dict[str, Any] = {"hidden_activation": hidden, "random_state": 0, "device": "cpu"}
    settings["loss"] = "binary_cross_entropy" if y.shape[1] == 1 else "softmax_cross_entropy"
    net: Any = Population(sizes, n_nets, **settings) if n_nets else MLP(sizes, **settings)
    numpy_net = NumpyNet(net, hidden, rate)
    targets = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
    options: dict[str, Any] = {"batch_size": batch_size, "optimizer": SGD(rate), "shuffle": False, "verbose": 0}

    def fit(n: int) -> None:
        require_complete(net.fit(X, targets, epochs=n, **options))

    def by_hand(n: int) -> None:
        for _ in range(n):
            for at in range(0, len(X), batch_size):
                numpy_net.step(X[at : at + batch_size], y[at : at + batch_size])

    fastmlp_loss = lambda: float(np.mean(net.evaluate(X, targets)["loss"]))
    start = net.params.copy()
    with unrolled_at_once():  # the unrolled code of a tiny architecture is compiled now, not after some training
        fit(1)
    net.params[:] = start
    return Program(fit, fastmlp_loss), Program(by_hand, lambda: numpy_net.loss(X, y))


class Case(NamedTuple):
    """One case of the benchmark.

    group : name by which the command takes it
    title : what is trained
    unit : unit of work that durations refer to
    n_units : units of work in one run
    make_programs : function that returns the programs to measure, fastmlp first
    """

    group: str
    title: str
    unit: str
    n_units: int
    make_programs: Callable[[], tuple[Program, Program]]


def cases() -> list[Case]:
    """Return the benchmark cases."""
    rng = np.random.default_rng(0)

    def data(rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.random((rows, n_features), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, rows)]

    digits, mnist = (64, 64, 32, 10), (784, 512, 512, 10)
    small, large, n_nets = data(1024, 64), data(1024, 784), 10_000
    one_net = partial(training, (2, 2, 2, 1), "sigmoid", *XOR, 4, 0.3)
    many_nets = partial(training, (2, 2, 1), "sigmoid", *XOR, 4, 0.5, n_nets)
    batches = partial(training, digits, "relu", *small, 32, 0.1)
    large_net = partial(training, mnist, "relu", *large, 128, 0.1)
    return [
        Case("xor", "XOR 2-2-2-1, cross-entropy", "epoch", 1, one_net),
        Case("population", f"XOR 2-2-1, {n_nets:,} nets", "net and epoch", n_nets, many_nets),
        Case("minibatch", "64-64-32-10, softmax, batch 32", "step", 32, batches),
        Case("large", "784-512-512-10, softmax, batch 128", "step", 8, large_net),
    ]


def measure(case: Case) -> np.ndarray:
    """Return the seconds of a unit of work of fastmlp and of NumPy in each round, (ROUNDS, 2).

    Raises
    ------
    RuntimeError
        If fastmlp and NumPy have different losses.
    """
    programs = case.make_programs()
    for program in programs:
        program.run(1)
    own, numpy = (program.loss() for program in programs)
    if not abs(own - numpy) <= TOLERANCE * abs(numpy):
        raise RuntimeError(
            f"{case.title}: fastmlp has the loss {own:.6g} after one run, NumPy {numpy:.6g}. They should be equal: "
            "please report it."
        )
    n_runs = [1, 1]
    for k, program in enumerate(programs):
        while program.seconds(n_runs[k]) < LONG_ENOUGH:
            n_runs[k] *= 2
    seconds = np.empty((ROUNDS, 2))
    for turn in range(ROUNDS):
        for k in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[turn, k] = programs[k].seconds(n_runs[k]) / n_runs[k] / case.n_units
    return seconds


def lines(group: str) -> Iterator[str]:
    """Yield lines on the machine, then one for each case of a group, or of "all", as soon as it is measured."""
    yield f"{microarchitecture()}, {n_processors()} processors, NumPy {np.__version__}, float32 on the CPU. {HOW}"
    for case in cases():
        if group in ("all", case.group):
            own, numpy = measure(case).T
            factor, median = np.median(numpy / own), duration(float(np.median(own)))
            yield f"{case.title}: fastmlp {median} per {case.unit}; NumPy takes {factor:.3g} times as long"
