"""Cold start: the time and memory of a fresh process, from its start until it has trained a net.

Each competitor is a short script as a user would write it, run by a new interpreter. One case imports what trains a net
(`import fastmlp` alone loads next to nothing), the other one trains a 2-2-2-1 net on XOR for 5,000 epochs: fastmlp with
an empty and with a warm object cache, JAX without and with a warm compilation cache, NumPy by hand and in place,
PyTorch. The limit is Python importing NumPy. All start from the same parameters and must end with the same loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from competitors import Competitor

from suite import reference
from suite.case import CaseEntry, at_most
from suite.cases.training import ENTRIES as TRAINING_ENTRIES

EPOCHS = 5000
DATA = """
import numpy as np
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
y = np.array([[0], [1], [1], [0]], np.float32)
start = np.array({start}, np.float32)
"""
FASTMLP = """
import fastmlp
net = fastmlp.MLP((2, 2, 2, 1), hidden_activation="sigmoid", output_activation="sigmoid", loss="squared_error",
                  random_state=0, device="cpu")
net.params[:] = start
net.fit(X, y, epochs=5000, optimizer=fastmlp.SGD(learning_rate=0.15), shuffle=False, verbose=0)
print(net.evaluate(X, y)["loss"])
"""
JAX = """
import jax, jax.numpy as jnp
cuts = (0, 4, 6), (6, 10, 12), (12, 14, 15)
params = [(jnp.array(start[a:b].reshape(2, -1)), jnp.array(start[b:c])) for a, b, c in cuts]
def loss(params):
    a = X
    for W, b in params:
        a = jax.nn.sigmoid(a @ W + b)
    return jnp.mean((a - y) ** 2)
@jax.jit
def train(params):
    update = lambda _, params: jax.tree.map(lambda p, g: p - 0.15 * g, params, jax.grad(loss)(params))
    return jax.lax.fori_loop(0, 5000, update, params)
print(float(jax.jit(loss)(train(params))))
"""
NUMPY = """
cuts = (0, 4, 6), (6, 10, 12), (12, 14, 15)
net = [(start[a:b].reshape(2, -1), start[b:c]) for a, b, c in cuts]
gradient = np.empty_like(start)
slots = [(gradient[a:b].reshape(2, -1), gradient[b:c]) for a, b, c in cuts]
a, delta, derivative = ([np.empty((4, o), np.float32) for o in (2, 2, 1)] for _ in range(3))
def forward():
    below = X
    for (W, b), z in zip(net, a):
        np.dot(below, W, out=z)
        z += b
        np.negative(z, out=z)
        np.exp(z, out=z)
        z += 1
        np.reciprocal(z, out=z)
        below = z
for _ in range(5000):
    forward()
    np.subtract(a[2], y, out=delta[2])
    delta[2] *= 0.5
    for k in (2, 1, 0):
        np.subtract(1, a[k], out=derivative[k])
        derivative[k] *= a[k]
        delta[k] *= derivative[k]
        np.dot((a[k - 1] if k else X).T, delta[k], out=slots[k][0])
        np.sum(delta[k], axis=0, out=slots[k][1])
        if k:
            np.dot(delta[k], net[k][0].T, out=delta[k - 1])
    gradient *= 0.15
    start -= gradient
forward()
print(float(np.mean((a[2] - y) ** 2)))
"""
TORCH = """
import torch
X, y, start = map(torch.from_numpy, (X, y, start))
net = torch.nn.Sequential(*[part for o in (2, 2, 1) for part in (torch.nn.Linear(2, o), torch.nn.Sigmoid())])
with torch.no_grad():
    for linear, (a, b, c) in zip(net[::2], ((0, 4, 6), (6, 10, 12), (12, 14, 15))):
        linear.weight.copy_(start[a:b].reshape(2, -1).T)
        linear.bias.copy_(start[b:c])
optimizer = torch.optim.SGD(net.parameters(), lr=0.15)
for _ in range(5000):
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(net(X), y).backward()
    optimizer.step()
print(torch.nn.functional.mse_loss(net(X), y).item())
"""
NUMBA, XLA = ("NUMBA_CACHE_DIR",), ("JAX_COMPILATION_CACHE_DIR",)


class Script(NamedTuple):
    """A program, which variables name its cache folder, and whether that folder is empty at each start."""

    source: str
    variables: tuple[str, ...] = ()
    is_cold: bool = False


SCRIPTS = {
    "python": Script(""),
    "import fastmlp": Script("import fastmlp"),
    "import MLP": Script("from fastmlp import MLP"),
    "import numba": Script("import numpy, numba"),
    "import numpy": Script("import numpy"),
    "import sklearn": Script("import sklearn.neural_network"),
    "import torch": Script("import torch"),
    "import jax": Script("import jax.numpy"),
    "import keras": Script("import keras"),
    "fastmlp": Script(DATA + FASTMLP),  # the cache that its user has
    "fastmlp cold": Script(DATA + FASTMLP, NUMBA, True),
    "jax": Script(DATA + JAX),
    "jax cached": Script(DATA + JAX, XLA, False),
    "numpy": Script(DATA + NUMPY),
    "torch": Script(DATA + TORCH),
}


def _script(name: str, needs=(), kind="peer", label="", **others) -> Competitor:
    return Competitor(label or name, "competitors.cold_start", name, needs, kind=kind, chooses_threads=True, **others)


IMPORTS = (
    _script("import numpy", (), "limit", "import numpy"),
    _script("import MLP", ("fastmlp",), "ours", "fastmlp"),
    _script("import fastmlp", ("fastmlp",), "part", "fastmlp, its name alone"),
    _script("python", (), "part", "python alone"),
    _script("import numba", ("numba",), "part", "numba"),
    _script("import sklearn", ("sklearn",), label="sklearn"),
    _script("import torch", ("torch",), label="torch", slow_start=True),
    _script("import jax", ("jax",), label="jax"),
    _script("import keras", ("keras", "jax"), label="keras jax", environment={"KERAS_BACKEND": "jax"}, slow_start=True),
)
TRAININGS = (
    _script("import numpy", (), "limit", "import numpy"),
    _script("fastmlp", ("fastmlp",), "ours"),
    _script("fastmlp cold", ("fastmlp",), "part", "fastmlp, empty cache", slow_start=True),
    _script("jax", ("jax",)),
    _script("jax cached", ("jax",), label="jax, warm cache", slow_start=True),
    _script("numpy"),
    _script("torch", ("torch",), slow_start=True),
)


class ProcessCase:
    """What cases have in common that time a whole process, once per round."""

    unit = "start"
    n_units = most_runs = fewest_runs = verify_runs = 1
    done_once = True
    curve = None
    multiply_adds = 0

    def costs(self) -> dict[str, float]:
        return {}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return (cpus,)

    def quick(self):
        return self

    @property
    def verification(self):
        return self


@dataclass(frozen=True, eq=False)
class ColdStartCase(ProcessCase):
    name: str
    title: str
    trains: bool
    group: str = "cold_start"
    source: str = "the four rows of XOR"

    @cached_property
    def net(self):
        return next(entry for entry in TRAINING_ENTRIES if entry.name == "squared_error").build()

    @cached_property
    def expected(self) -> float:
        net = self.net
        return reference.loss(net, reference.train(net, EPOCHS), net.X, net.y)

    def script(self, name: str) -> Script:
        script = SCRIPTS[name]
        return script._replace(source=script.source.replace("{start}", str(self.net.start.tolist())))

    def check(self, competitor: Competitor, answer: float | None) -> dict[str, float]:
        """answer : the loss that the script printed"""
        if not self.trains:
            return {}
        error = abs(answer - self.expected) / self.expected if answer is not None else float("nan")
        return at_most({"loss": error}, {"loss": 0.01})


ENTRIES = (
    CaseEntry("import", "cold_start", IMPORTS, partial(ColdStartCase, "import", "import of what trains a net", False)),
    CaseEntry(
        "first_net",
        "cold_start",
        TRAININGS,
        partial(ColdStartCase, "first_net", "a process that trains XOR", True),
        True,
    ),
)
