"""Whole processes: the time and memory of a new interpreter that imports a library, or trains with it until the end.

Each competitor is a short script as a user would write it. The group cold_start has filled caches; first_fit has
folders of compiled code that are empty at each start, as for a user who has just installed a library, changed a kernel
or come to another processor; of fastmlp from source, and from a wheel with machine code. Limit: Python importing
NumPy. All start from the same parameters, and the mean loss of the last epoch must agree with float64; estimators
cannot start there, and must have less than twice the loss of guessing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from inspect import getsource
from itertools import pairwise
from typing import Any

import numpy as np
from competitors import Competitor, programs

from suite.case import CaseEntry, at_most

RATE = 0.02
DIFFERENT_NETS = 10  # of many, which are checked


def draw(sizes, n, many):  # the scripts begin with its source, which they format: without braces
    """Return (X, y, weights) : samples, and a list of the weights of each layer, (*many, fan_in, fan_out)"""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=n)
    weights = [rng.normal(0, i**-0.5, (10, i, o)[not many :]).astype(np.float32) for i, o in pairwise(sizes)]
    return X, y, [np.resize(W, (*many, *W.shape[-2:])) for W in weights]


DATA = f"""
from itertools import pairwise
import numpy as np
{getsource(draw)}
sizes, n, batch, epochs, many = {{sizes}}, {{n}}, {{batch}}, {{epochs}}, {{many}}
X, y, weights = draw(sizes, n, many)
X_val, y_val = X[: n // 4].copy(), y[: n // 4].copy()
"""
FASTMLP = """
import fastmlp
settings = {{"loss": "softmax_cross_entropy", "device": "cpu", "random_state": 0}}
net = fastmlp.Population(sizes, *many, **settings) if many else fastmlp.MLP(sizes, **settings)
net.params[:] = np.concatenate([part for W in weights for part in
                                (W.reshape(*many, -1), np.zeros((*many, W.shape[-1])))], axis=-1)
options = {{"validation_data": (X_val, y_val)}} if {validates} else {{}}
found = net.fit(X, y, epochs=epochs, batch_size=batch, optimizer=fastmlp.SGD({rate}), shuffle=False, verbose=0,
                **options)
print(np.mean(found.loss) if many else found.loss[-1])
"""
JAX = """
import jax, jax.numpy as jnp
params = [(jnp.array(W), jnp.zeros((*many, W.shape[-1]), np.float32)) for W in weights]
def loss(params, X, y):
    for W, b in params[:-1]:
        X = jax.nn.relu(X @ W + b)
    W, b = params[-1]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(X @ W + b), y[:, None], 1))
def step(params, X, y):
    value, gradient = jax.value_and_grad(loss)(params, X, y)
    return jax.tree.map(lambda p, g: p - {rate} * g, params, gradient), value
step = jax.jit(jax.vmap(step, (0, None, None)) if many else step)
validation_loss = jax.jit(loss)
for _ in range(epochs):
    values = []
    for k in range(0, n, batch):
        params, value = step(params, X[k : k + batch], y[k : k + batch])
        values.append(value)
    if {validates}:
        validation_loss(params, X_val, y_val).block_until_ready()
print(np.mean(values))
"""
NUMPY = """
biases = [np.zeros(W.shape[-1], np.float32) for W in weights]
for _ in range(epochs):
    values = []
    for k in range(0, n, batch):
        a, labels = [X[k : k + batch]], y[k : k + batch]
        rows = np.arange(len(labels))
        for W, b in zip(weights, biases):
            z = a[-1] @ W + b
            a.append(np.maximum(z, 0) if W is not weights[-1] else z)
        delta = np.exp(a.pop() - z.max(1, keepdims=True))
        delta /= delta.sum(1, keepdims=True)
        values.append(-np.log(delta[rows, labels]).mean())
        delta[rows, labels] -= 1
        delta /= np.float32(len(labels))
        for W, b in zip(weights[::-1], biases[::-1]):
            below, delta_below = a.pop(), delta @ W.T
            W -= np.float32({rate}) * (below.T @ delta)
            b -= np.float32({rate}) * delta.sum(0)
            delta = delta_below * (below > 0)
print(np.mean(values))
"""
TORCH = """
import torch
from torch.nn.functional import cross_entropy
X, y, X_val, y_val = map(torch.from_numpy, (X, y, X_val, y_val))
if many:
    params = [torch.from_numpy(part).requires_grad_() for W in weights
              for part in (W, np.zeros((*many, 1, W.shape[-1]), np.float32))]
    def net(X):
        a = X.expand(*many, *X.shape)
        for k in range(0, len(params), 2):
            a = torch.baddbmm(params[k + 1], torch.relu(a) if k else a, params[k])
        return a
    def loss_of(z, y):
        return cross_entropy(z.flatten(0, 1), y.repeat(*many)) * z.shape[0]  # the sum over nets
else:
    layers = [torch.nn.Linear(*W.shape) for W in weights]
    with torch.no_grad():
        for layer, W in zip(layers, weights):
            layer.weight.copy_(torch.from_numpy(W.T))
            layer.bias.zero_()
    net = torch.nn.Sequential(*[part for layer in layers for part in (torch.nn.ReLU(), layer)][1:])
    params, loss_of = list(net.parameters()), cross_entropy
optimizer = torch.optim.SGD(params, lr={rate})
for _ in range(epochs):
    values = []
    for k in range(0, n, batch):
        optimizer.zero_grad()
        value = loss_of(net(X[k : k + batch]), y[k : k + batch])
        value.backward()
        optimizer.step()
        values.append(value.detach())
    if {validates}:
        with torch.no_grad():
            loss_of(net(X_val), y_val)
print(float(torch.stack(values).mean()) / (many[0] if many else 1))
"""
KERAS = """
import keras
hidden = [keras.layers.Dense(size, "relu") for size in sizes[1:-1]]
net = keras.Sequential([keras.Input((sizes[0],)), *hidden, keras.layers.Dense(sizes[-1])])
net.set_weights([part for W in weights for part in (W, np.zeros(W.shape[-1]))])
net.compile(keras.optimizers.SGD({rate}), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
options = {{"validation_data": (X_val, y_val)}} if {validates} else {{}}
print(net.fit(X, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0, **options).history["loss"][-1])
"""
ESTIMATOR = """
import warnings
from sklearn.exceptions import ConvergenceWarning
from {estimators} import MLPClassifier
warnings.simplefilter("ignore", ConvergenceWarning)  # an epoch is not enough for that
net = MLPClassifier(sizes[1:-1], solver="sgd", alpha=0, batch_size=batch, learning_rate_init={rate}, momentum=0,
                    shuffle=False, max_iter=epochs, n_iter_no_change=epochs, random_state=0,
                    early_stopping={validates}, validation_fraction=0.2)
print(net.fit(X, y).loss_)
"""
TRAINS = {
    "fastmlp": FASTMLP,
    "jax": JAX,
    "numpy": NUMPY,
    "torch": TORCH,
    "keras jax": KERAS,
    "sklearn": ESTIMATOR,
    "fastmlp, wheel": FASTMLP,
}
IMPORTS = {
    "python": "",
    "import numpy": "import numpy",
    "fastmlp": "from fastmlp import MLP",  # `import fastmlp` alone loads next to nothing
    "fastmlp, its name alone": "import fastmlp",
    "numba": "import numpy, numba",
    "sklearn": "import sklearn.neural_network",
    "torch": "import torch",
    "jax": "import jax.numpy",
    "keras jax": "import keras",
}
XLA = ("JAX_COMPILATION_CACHE_DIR",)
CACHES = {  # variables that name the folders of compiled code
    "fastmlp": ("NUMBA_CACHE_DIR",),
    "fastmlp, wheel": ("NUMBA_CACHE_DIR",),
    "jax": XLA,
    "keras jax": XLA,
}


@dataclass(frozen=True, eq=False)
class ProcessCase:
    """A script of each competitor, timed once per round.

    sizes : layer sizes of what is trained; () for imports alone
    is_estimator : whether fastmlp's script is that of its estimator, too
    is_cold : whether folders of compiled code are empty at each start
    """

    name: str
    title: str
    group: str
    sizes: tuple[int, ...] = ()
    n: int = 4
    batch: int = 4
    epochs: int = 1
    validates: bool = False
    many: tuple[int, ...] = ()
    is_estimator: bool = False
    source: str = "random numbers"
    unit: str = "start"
    n_units: int = 1
    most_runs: int = 1
    fewest_runs: int = 1
    verify_runs: int = 1
    done_once: bool = True
    curve: None = None
    multiply_adds: int = 0

    def costs(self) -> dict[str, float]:
        return {}

    def thread_settings(self, cpus: int) -> tuple[int, ...]:
        return (cpus,)

    def quick(self) -> ProcessCase:
        return self

    verification = property(lambda self: self)
    is_cold = property(lambda self: self.group == "first_fit")

    def script(self, name: str) -> tuple[str, tuple[str, ...]]:
        """(program, variables that name its folders of compiled code)"""
        if not self.sizes or name not in TRAINS:
            return IMPORTS[name], ()
        settings = {key: getattr(self, key) for key in ("sizes", "n", "batch", "epochs", "validates", "many")}
        settings["estimators"] = "fastmlp" if name.startswith("fastmlp") else "sklearn.neural_network"
        program = ESTIMATOR if self.is_estimator else TRAINS[name]
        return (DATA + program).format(**settings, rate=RATE), CACHES.get(name, ())

    @cached_property
    def expected(self) -> float:
        """Mean loss of the last epoch in float64."""
        from suite import reference

        X, y, weights = draw(self.sizes, self.n, self.many)
        targets, losses = np.eye(self.sizes[-1])[y], []
        activations = (*["relu"] * (len(weights) - 1), "softmax")
        for k in range(DIFFERENT_NETS if self.many else 1):
            layers = [(W[k] if self.many else W).ravel() for W in weights]
            start = np.concatenate(
                [part for W, o in zip(layers, self.sizes[1:], strict=True) for part in (W, np.zeros(o))]
            )
            net = reference.ReferenceMLP(self.sizes, activations, "softmax_cross_entropy", start)
            settings: dict[str, Any] = {"epochs": self.epochs, "batch_size": self.batch}
            found = reference.reference_optimizers.train(net, X, targets, "SGD", {"learning_rate": RATE}, **settings)
            losses.append(found[-1])
        return float(np.mean(losses))

    def check(self, competitor: Competitor, answer: float | None) -> dict[str, float]:
        """answer : the mean loss of the last epoch, which the script printed"""
        if not self.sizes:
            return {}
        loss = float("nan") if answer is None else answer
        if self.is_estimator or competitor.name == "sklearn":
            return at_most({"loss above guessing": loss / np.log(self.sizes[-1]) - 1}, {"loss above guessing": 1.0})
        return at_most({"loss": abs(loss - self.expected) / self.expected}, {"loss": 0.01})


def _scripts(*names: str, **others) -> tuple[Competitor, ...]:
    return programs("competitors.script_process", *names, chooses_threads=True, devices=("cpu",), **others)


def _entry(name: str, title: str, group: str, *settings, peers: tuple[Competitor, ...], **others) -> CaseEntry:
    in_quick = others.pop("in_quick", False)
    competitors = (*_scripts("import numpy", needs=(), kind="limit"), *peers)
    return CaseEntry(name, group, competitors, partial(ProcessCase, name, title, group, *settings, **others), in_quick)


PARTS = (
    *_scripts("fastmlp, its name alone"),
    *_scripts("python", kind="part"),
    *_scripts("numba", kind="part", needs=("numba",)),
)
SLOW = _scripts("torch", slow_start=True)
OURS = _scripts("fastmlp", "jax")
WHEEL = _scripts("fastmlp, wheel")
PEERS = (*OURS, *WHEEL, *SLOW, *_scripts("keras jax", "sklearn"))
LARGE = (784, 512, 512, 10), 1024, 256
ENTRIES = (
    _entry("import", "import of what trains a net", "cold_start", peers=(*OURS, *PARTS, *SLOW, *PEERS[-2:])),
    _entry("first_net", "a process that trains 2-8-2, filled caches", "cold_start", (2, 8, 2), 4, 4, 1000,
           peers=(*OURS, *_scripts("numpy"), *SLOW), in_quick=True),
    _entry("first_fit_tiny", "first fit of 2-8-2, four rows", "first_fit", (2, 8, 2), 4, 4, 1000, peers=PEERS),
    _entry("first_fit_digits", "first fit of 64-64-32-10, batch 200", "first_fit", (64, 64, 32, 10), 1600, 200,
           peers=PEERS, in_quick=True),
    _entry("first_fit_large", "first fit of 784-512-512-10, batch 256", "first_fit", *LARGE, peers=PEERS),
    _entry("first_fit_validation", "the same with validation data", "first_fit", *LARGE, peers=PEERS, validates=True),
    _entry("first_fit_population", "first fit of 1,000 nets of 2-8-2", "first_fit", (2, 8, 2), 4, 4, 100,
           peers=(*OURS, *WHEEL, *SLOW), many=(1000,)),
    _entry("first_fit_estimator", "first fit of MLPClassifier, 64-64-32-10", "first_fit", (64, 64, 32, 10), 1600, 200,
           peers=(*_scripts("fastmlp", "fastmlp, wheel", needs=("fastmlp", "sklearn")), PEERS[-1]), is_estimator=True),
)  # fmt: skip
