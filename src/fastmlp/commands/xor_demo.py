"""Demo of `fastmlp xor`: the four XOR nets of the question that this package started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.xor import X, Y
from ..fit.interrupt_warnings import require_complete
from ..history import History
from ..kernels.jit.compile_time import notices
from ..mlp import MLP
from ..optimizers import SGD, Adam

SEEDS = 100  # number of random starts for the success rate of each net


@dataclass(frozen=True)
class XorNet:
    """One net of the demo: its settings, its training settings, and a seed from which it learns XOR."""

    title: str
    layer_sizes: tuple[int, ...]
    settings: dict[str, Any]
    training: dict[str, Any]
    seed: int

    def train(self, seed: int) -> tuple[MLP, History]:
        net = MLP(self.layer_sizes, random_state=seed, **self.settings)
        with notices(True):
            return net, require_complete(net.fit(X, Y, verbose=0, **self.training))

    def n_solved(self) -> int:
        """Return how many of SEEDS random starts end with all four samples classified correctly."""
        return sum(net.evaluate(X, Y)["accuracy"] == 1.0 for net, _ in map(self.train, range(SEEDS)))


NETS = (
    XorNet(
        "one-hot, per sample",
        (2, 2, 2, 2),
        {"hidden_activation": "sigmoid", "loss": "squared_error", "output_activation": "sigmoid"},
        # The mean of (a - y)**2 over two outputs has the derivative (a - y) f'(z), the delta of the question's net.
        {"epochs": 5000, "batch_size": 1, "optimizer": SGD(1.0)},
        seed=0,
    ),
    XorNet(
        "one output, batch",
        (2, 2, 2, 1),
        {"hidden_activation": "sigmoid", "loss": "binary_cross_entropy"},
        # The question's net sums the gradients a - y of 4 samples, divides by 2 and multiplies by 0.15. That is 0.30
        # times the gradient of the mean.
        {"epochs": 5000, "optimizer": SGD(0.30)},
        seed=50,
    ),
    XorNet(
        "relu, Adam, entropy",
        (2, 4, 4, 1),
        {"hidden_activation": "relu", "loss": "binary_cross_entropy", "init": "glorot_uniform"},
        {"epochs": 5000, "optimizer": Adam(1e-3)},
        seed=4,
    ),
    XorNet(
        "relu, Adam, softmax",
        (2, 4, 4, 2),
        {"hidden_activation": "relu", "loss": "softmax_cross_entropy", "init": "glorot_uniform"},
        {"epochs": 2000, "optimizer": Adam(1e-3)},
        seed=2,
    ),
)


def outputs_of_class_1(net: MLP) -> np.ndarray:
    """Return the last output for each of the four samples, (4,): the one that stands for class 1."""
    return net.predict(X)[:, -1]


def run(console: Any) -> int:
    """Train the four nets, print a table, and return an exit code: 0 if all four learned XOR."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title="XOR: the output for (0,0) (0,1) (1,0) (1,1), wanted 0 1 1 0",
        caption=f"solved: from how many of {SEEDS} starts. A start that is not solved sits on a plateau: try another "
        "random_state, more hidden units, or tanh.",
        box=SIMPLE_HEAD,
    )
    table.add_column("net")
    for heading in ("loss", "accuracy", "outputs", "seconds", "solved"):
        table.add_column(heading, justify="right", no_wrap=True)
    all_learnt = True
    for xor_net in NETS:
        net, history = xor_net.train(xor_net.seed)
        figures = net.evaluate(X, Y)
        all_learnt &= figures["accuracy"] == 1.0
        table.add_row(
            f"{'-'.join(map(str, xor_net.layer_sizes))}\n{xor_net.title}",
            f"{figures['loss']:.4f}",
            f"{figures['accuracy']:.2f}",
            " ".join(f"{value:.3f}" for value in outputs_of_class_1(net)),
            f"{history.training_seconds:.4f}",
            f"{xor_net.n_solved()}",
        )
    console.print(table)
    return 0 if all_learnt else 1
