"""Demo of the diagnosis, `fastmlp xor --stuck`: a hand-written net whose outputs stay at [0.5, 0.5].

It shows the bugs that cause this, the verdict of fastmlp.diagnose on each of them, and the net without the bugs. The
net is from the question that this package started with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from ..data.xor import X, Y
from ..diagnosis.diagnose import Diagnosis, diagnose

ONE_HOT = np.eye(2)[Y]
SIZES = (2, 4, 4, 2)


class Bug(NamedTuple):
    """One bug: the wrong line, the corrected line, the expected verdict, and training settings that show the bug."""

    name: str
    wrong: str
    corrected: str
    verdict: str
    learning_rate: float = 1.0
    epochs: int = 1000


BUGS = (
    Bug("double sigmoid", "return 1 / (1 + np.exp(-expit(z)))", "return expit(z)", "unreachable_targets"),
    Bug(
        "positive weights",
        "W = rng.random((fan_in, fan_out))",
        "W = rng.uniform(-1, 1, (fan_in, fan_out))",
        "unsuitable_weights",
        learning_rate=0.1,
    ),
    Bug(
        "updated activations",
        "for variable in (W, b, z, a): variable -= rate * gradient[variable]",
        "for variable in (W, b): variable -= rate * gradient[variable]",
        "broken_updates",
    ),
    Bug("wrong sign", "error = y - output", "error = output - y", "broken_updates"),
    Bug(
        "independent outputs",
        "two sigmoids and squared error for two exclusive classes",
        "loss='softmax_cross_entropy', or one sigmoid",
        "independent_outputs",
        learning_rate=0.3,
        epochs=500,
    ),
)
CURED = Bug("", "", "", "converged", learning_rate=2.0, epochs=4000)


class HandWrittenNet:
    """A typical first hand-written 2-4-4-2 net: sigmoids, squared error, an update after each sample.

    bug : name of one of BUGS, or "" for a correct net
    seed : seed of the initial parameters
    """

    def __init__(self, bug: str = "", seed: int = 0):
        rng = np.random.default_rng(seed)
        low = 0.0 if bug == "positive weights" else -1.0
        self.bug = bug
        self.W = [rng.uniform(low, 1.0, shape) for shape in pairwise(SIZES)]
        self.b = [rng.uniform(low, 1.0, size) for size in SIZES[1:]]

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the activations of all layers, inputs first."""
        outputs = [x]
        for W, b in zip(self.W, self.b, strict=True):
            a = expit(outputs[-1] @ W + b)
            outputs.append(expit(a) if self.bug == "double sigmoid" else a)
        return outputs

    def predict(self, samples: np.ndarray) -> np.ndarray:
        return self.forward(np.asarray(samples, float))[-1]

    def step(self, x: np.ndarray, y: np.ndarray, learning_rate: float) -> float:
        """Update the parameters after one sample, and return its loss."""
        outputs = self.forward(x)
        error = y - outputs[-1] if self.bug == "wrong sign" else outputs[-1] - y
        delta = error * outputs[-1] * (1.0 - outputs[-1])
        for k in reversed(range(len(self.W))):
            a, da = outputs[k], self.W[k] @ delta
            delta_before = da * a * (1.0 - a)
            self.W[k] -= learning_rate * np.outer(a, delta)
            self.b[k] -= learning_rate * delta
            if self.bug == "updated activations":  # in the first layer `a` is x, so the bug changes the data as well
                a -= learning_rate * da
            delta = delta_before
        return float((error**2).mean())

    def as_arrays(self) -> list[np.ndarray]:
        return [array for pair in zip(self.W, self.b, strict=True) for array in pair]


def trained(bug: Bug, seed: int = 0) -> tuple[HandWrittenNet, list[float]]:
    """Return a net that was trained on XOR, and the loss of each epoch."""
    net, pairs = HandWrittenNet(bug.name, seed), list(zip(np.array(X, float), ONE_HOT, strict=True))
    epoch = lambda: float(np.mean([net.step(x, y, bug.learning_rate) for x, y in pairs]))
    return net, [epoch() for _ in range(bug.epochs)]


def verdict_on(net: HandWrittenNet, losses: list[float]) -> Diagnosis:
    """Return the diagnosis of a net, from its weights and the losses of its training.

    With the double sigmoid, the diagnosis is made from the function `predict`: the bug is in the forward pass, which
    the weights do not show.
    """
    if net.bug == "double sigmoid":
        return diagnose(net.predict, X, ONE_HOT, losses)
    return diagnose(net.as_arrays(), X, ONE_HOT, losses, activations=["sigmoid"] * 3, loss="squared_error")


def run(console: Any) -> int:
    """Run the demo and return an exit code: 0 if every bug got its verdict and the corrected net learned."""
    from rich.table import Table

    log = lambda text: console.print(text, markup=False, soft_wrap=True)
    table = Table("bug", "outputs for class 1", "verdict", title="A 2-4-4-2 net for XOR, written by hand in NumPy")
    verdicts = []
    for bug in (*BUGS, CURED):
        net, losses = trained(bug)
        verdicts.append(verdict_on(net, losses))
        table.add_row(bug.name or "none", " ".join(f"{p:.2f}" for p in net.predict(X)[:, 1]), verdicts[-1].title)
    console.print(table)
    log(f"Of the first one, fastmlp.diagnose(net.predict, X, y, losses) says:\n\n{verdicts[0]}\n")
    log(f"The fix, one line:\n  - {BUGS[0].wrong}\n  + {BUGS[0].corrected}")
    return 0 if [diagnosis.verdict for diagnosis in verdicts] == [bug.verdict for bug in (*BUGS, CURED)] else 1
