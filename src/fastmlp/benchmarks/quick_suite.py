"""Quick benchmark, run by `fastmlp bench`: fastmlp against hand-written NumPy, without other packages.

The full suite, with scikit-learn, PyTorch, JAX and Keras as competitors, is in the repository: `pytest bench`. Both
write results in the same file format, and the same HTML page shows them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..data import xor
from ..execution.unrolled_code import steps_to_unrolled, unrolled_nets_at_once
from ..mlp import MLP
from ..optimizers import SGD, Adam
from ..population import Population
from ..runtime.python_process import python_command
from ..training.interruption import require_complete
from .machine import machine, others_busy
from .result_files import SCHEMA
from .timing import QUICK, Runner, affordable_rounds, calibrate, new_row, time_rounds

TOLERANCE = 1e-3  # largest relative difference of the losses; fastmlp and NumPy compute in float32
HOW = (
    "fastmlp and NumPy by hand start from the same parameters in one process, and must have the same loss after one "
    "run. Durations are medians over rounds in which they take turns; ratios are medians of the ratios within a round."
)
XOR = xor.X, xor.Y[:, None].astype(np.float32)


class NumpyNet:
    """Hand-written training with cross-entropy, of one net, or of many nets with weights (n_nets, fan_in, fan_out).

    layers : [[W, b], ...], updated in place
    hidden : "relu", or another name for sigmoid
    rate : learning rate
    is_adam : whether to use Adam instead of SGD
    """

    def __init__(self, layers: list[list[np.ndarray]], hidden: str, rate: float, is_adam: bool):
        self.layers, self.hidden, self.rate = layers, hidden, np.float32(rate)
        flat = [array for layer in layers for array in layer]
        self.moments = [(np.zeros_like(a), np.zeros_like(a)) for a in flat] if is_adam else []
        self.t = 0

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
        grads: list[np.ndarray] = []
        for k in reversed(range(len(self.layers))):
            W, b = self.layers[k]
            grads = [a[k].swapaxes(-1, -2) @ delta, delta.sum(axis=-2, keepdims=b.ndim > 1), *grads]
            if k:
                derivative = a[k] > 0 if self.hidden == "relu" else a[k] * (1 - a[k])
                delta = (delta @ W.swapaxes(-1, -2)) * derivative
        self.update(grads)

    def update(self, grads: list[np.ndarray]) -> None:
        flat = [array for layer in self.layers for array in layer]
        if not self.moments:
            for p, g in zip(flat, grads, strict=True):
                p -= self.rate * g
            return
        self.t += 1
        root = np.float32((1 - 0.999**self.t) ** 0.5)
        size = self.rate * root / np.float32(1 - 0.9**self.t)
        for p, g, (m, v) in zip(flat, grads, self.moments, strict=True):
            m *= np.float32(0.9)
            m += np.float32(0.1) * g
            v *= np.float32(0.999)
            v += np.float32(0.001) * g * g
            p -= size * m / (np.sqrt(v) + np.float32(1e-8) * root)

    def loss(self, X: np.ndarray, y: np.ndarray) -> float:
        a = self.forward(X)[-1].astype(np.float64)
        per_row = y * np.log(a) + ((1 - y) * np.log(1 - a) if a.shape[-1] == 1 else 0)
        return float(-np.mean(per_row.sum(axis=-1)))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def repeated(call: Callable[[], Any]) -> Callable[[int], None]:
    def run(n: int) -> None:
        for _ in range(n):
            call()

    return run


class Program:
    """A program that is measured: fastmlp, hand-written NumPy, or a part of the computation.

    run : function that does n runs
    loss : function that returns the loss on the training samples, to verify the result; None if there is no loss
    warm_up : number of runs after which the next run compiles the last kernel; 0 if the first run compiles all kernels
    """

    def __init__(
        self, name: str, kind: str, run: Callable[[int], Any], loss: Callable[[], float] | None = None, warm_up: int = 0
    ):
        self.name, self.kind, self.run, self.loss, self.warm_up = name, kind, run, loss, warm_up

    def measure(self, command: str, n_runs: int, repeats: int) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            self.run(n_runs)
        return (time.perf_counter() - started) / repeats


def numpy_layers(sizes: tuple[int, ...], params: np.ndarray) -> list[list[np.ndarray]]:
    """Return copies of [W, b] for each layer, from flat parameters (..., n_params)."""
    layers, start = [], 0
    for i, o in pairwise(sizes):
        W = params[..., start : start + i * o].reshape(*params.shape[:-1], i, o).copy()
        b = params[..., start + i * o : start + i * o + o].copy()
        layers.append([W, b[..., None, :] if b.ndim > 1 else b])
        start += i * o + o
    return layers


def training(sizes, hidden, X, y, batch_size, optimizer, n_nets=None) -> list[Program]:
    """Return fastmlp and hand-written NumPy, which train from the same initial parameters; one run is one epoch.

    X : (n_samples, n_features)
    y : (n_samples, 1), or (n_samples, n_classes) one-hot
    n_nets : number of nets in a population; None for one net
    """
    settings: dict[str, Any] = {"hidden_activation": hidden, "random_state": 0, "device": "cpu"}
    settings["loss"] = "binary_cross_entropy" if y.shape[1] == 1 else "softmax_cross_entropy"
    net: Any = Population(sizes, n_nets, **settings) if n_nets else MLP(sizes, **settings)
    numpy_net = NumpyNet(
        numpy_layers(sizes, np.array(net.params)), hidden, optimizer.learning_rate, isinstance(optimizer, Adam)
    )
    targets = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)

    options: dict[str, Any] = {"batch_size": batch_size, "optimizer": optimizer, "shuffle": False, "verbose": 0}

    def fit(n: int) -> None:
        require_complete(net.fit(X, targets, epochs=n, **options))

    def by_hand(n: int) -> None:
        for _ in range(n):
            for at in range(0, len(X), batch_size):
                numpy_net.step(X[at : at + batch_size], y[at : at + batch_size])

    fastmlp_loss = lambda: float(np.mean(net.evaluate(X, targets)["loss"]))
    if n_nets:
        start = net.params.copy()
        with unrolled_nets_at_once():
            fit(1)
        net.params = start
    steps = 0 if n_nets else steps_to_unrolled(net.network, batch_size)
    warm_up = steps // -(-len(X) // batch_size)
    return [
        Program("fastmlp", "ours", fit, fastmlp_loss, warm_up),
        Program("numpy", "peer", by_hand, lambda: numpy_net.loss(X, y)),
    ]


def bare_products(sizes, rows: int, trains: bool) -> Program:
    """Return the roofline of a step or a prediction: its matrix products alone, by NumPy.

    rows : number of samples in the batch
    trains : whether the products of the backward pass are included
    """
    a = [np.full((rows, size), 0.01, np.float32) for size in sizes]
    W = [np.full(shape, 0.01, np.float32) for shape in pairwise(sizes)]
    out, grads = [np.empty_like(x) for x in a], [np.empty_like(w) for w in W]

    def run(n: int) -> None:
        for _ in range(n):
            for k, w in enumerate(W):
                np.dot(a[k], w, out=out[k + 1])
            for k in reversed(range(len(W) if trains else 0)):
                np.dot(a[k].T, a[k + 1], out=grads[k])
                if k:
                    np.dot(a[k + 1], W[k].T, out=out[k])

    return Program("products numpy", "limit", run)


def prediction(sizes, X) -> list[Program]:
    net = MLP(sizes, loss="softmax_cross_entropy", random_state=0, device="cpu")
    numpy_net = NumpyNet(numpy_layers(sizes, np.array(net.params)), "relu", 0.0, False)

    predict_by_fastmlp, by_hand = repeated(lambda: net.predict(X)), repeated(lambda: numpy_net.forward(X))
    programs = [
        Program("fastmlp", "ours", predict_by_fastmlp, lambda: float(np.mean(net.predict(X)[:, 0]))),
        Program("numpy", "peer", by_hand, lambda: float(np.mean(numpy_net.forward(X)[-1][:, 0]))),
    ]
    return [*programs, bare_products(sizes, len(X), trains=False)]


def cold_starts() -> list[Program]:
    """Return programs that start a new process in each run."""
    run = lambda program: repeated(lambda: subprocess.run(python_command(program), check=True))

    xor = (
        "import fastmlp\n"
        "net = fastmlp.MLP((2, 2, 2, 1), loss='binary_cross_entropy', random_state=0, device='cpu')\n"
        "net.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=5000, optimizer='sgd')\n"
    )
    return [
        Program("fastmlp", "ours", run(xor)),
        Program("fastmlp, import only", "part", run("import fastmlp")),
        Program("import numpy", "limit", run("import numpy")),
    ]


class Case(NamedTuple):
    """One benchmark case of the quick suite.

    group : name of its group in result_statistics.GROUPS
    title : what is trained or predicted
    unit : unit of work that durations refer to
    n_units : units of work in one run
    max_runs : largest number of runs in one job
    make_programs : function that returns the programs to measure
    """

    group: str
    title: str
    unit: str
    n_units: int
    max_runs: int
    make_programs: Callable[[], list[Program]]

    def head(self, name: str) -> dict[str, Any]:
        """Return the fields of the case's result that are known before the measurement."""
        source = "the four rows" if "XOR" in self.title else "random"
        head = {"name": name, "group": self.group, "title": self.title, "unit": self.unit}
        return {**head, "costs": {}, "curve": None, "source": source}


def cases() -> list[Case]:
    """Return the benchmark cases."""
    rng = np.random.default_rng(0)

    def data(rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.random((rows, n_features), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, rows)]

    digits, mnist = (64, 64, 32, 10), (784, 512, 512, 10)
    small, large = data(1024, 64), data(1024, 784)
    n_nets, X = 10_000, large[0]
    one_net = lambda: training((2, 2, 2, 1), "sigmoid", *XOR, 4, SGD(0.3))
    many_nets = lambda: training((2, 2, 1), "sigmoid", *XOR, 4, SGD(0.5), n_nets)
    batches = lambda: training(digits, "relu", *small, 32, Adam(1e-3))
    large_products = lambda: steps(bare_products(mnist, 128, True), 8)
    large_net = lambda: [*training(mnist, "relu", *large, 128, Adam(1e-3)), large_products()]
    one_row, many_rows = (lambda: prediction(mnist, X[:1])), (lambda: prediction(mnist, X))
    return [
        Case("xor", "XOR 2-2-2-1, cross-entropy, SGD", "epoch", 1, 5000, one_net),
        Case("population", f"XOR 2-2-1, {n_nets:,} nets, SGD", "net and epoch", n_nets, 200, many_nets),
        Case("minibatch", "64-64-32-10, softmax, Adam, batch 32", "step", 32, 100, batches),
        Case("large", "784-512-512-10, softmax, Adam, batch 128", "step", 8, 4, large_net),
        Case("predict", "784-512-512-10, one row in a call", "call", 1, 1000, one_row),
        Case("predict", "784-512-512-10, 1,024 rows in a call", "row", len(X), 50, many_rows),
        Case("cold_start", "a process that trains XOR", "start", 1, 1, cold_starts),
    ]


def steps(program: Program, n_steps: int) -> Program:
    """Return a program that does n_steps runs of the given program in each of its runs."""
    run = program.run
    return Program(program.name, program.kind, lambda n: run(n * n_steps))


def measure(case: Case, name: str) -> dict[str, Any]:
    """Measure one benchmark case, and return a result with this name, as result_files.py describes it."""
    busy = others_busy()
    rows, runners, expected = [], [], None
    for program in sorted(case.make_programs(), key=lambda program: program.kind != "peer"):
        row = new_row(program.name, program.kind)
        rows.append(row)
        row["prepare_seconds"] = program.measure("measure", 1, 1)
        if program.loss:
            loss = program.loss()
            expected = loss if expected is None else expected  # the loss of NumPy, which is sorted first
            row["verified"] = {"loss": abs(loss - expected) / abs(expected)}
            if not row["verified"]["loss"] <= TOLERANCE:
                row.update(status="wrong", reason=f"loss {loss:.6g}, NumPy's is {expected:.6g}")
                continue
        if program.warm_up:
            for n_runs in (program.warm_up, 1):  # the second fit compiles: unrolled code is requested at its start
                row["prepare_seconds"] += program.measure("measure", n_runs, 1)
        n_runs, repeats, seconds = calibrate(program.measure, case.max_runs, case.max_runs == 1)
        runners.append(Runner(program.measure, row, n_runs, repeats, seconds * repeats))
    n_rounds = affordable_rounds(QUICK, sum(runner.seconds for runner in runners))
    slow_starts = time_rounds(runners, n_rounds, case.n_units)
    return {**case.head(name), "others_busy": busy, "slow_starts": slow_starts, "meetings": [], "rows": rows}


def run(show_title: Callable[[str], None], groups: list[str] | None = None) -> dict[str, Any]:
    """Measure all benchmark cases, or those of some groups, and return the results.

    show_title : called with the title of each case before it starts
    groups : names of groups; None for all
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "machine": machine([]),
        "options": {"device": "cpu", "quick": True, "rounds": QUICK.rounds},
        "started": started,
        "finished": started,
        "missing": {},
        "how": HOW,
        "results": [],
    }
    for k, case in enumerate(cases()):
        if groups is None or case.group in groups:
            show_title(case.title)
            results["results"].append(measure(case, f"quick_{k}"))
    results["finished"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return results
