"""First fit: a process that trains one net, or many, with empty caches, from its start until it has trained.

What a user waits for who has just installed a library, changed a kernel or come to another processor. Each competitor
is a short script as a user would write it, run by a new interpreter, whose folder of compiled code is empty. Limit:
Python importing NumPy. All start from the same parameters, and the mean loss of the last epoch must agree with
float64; scikit-learn's cannot start there, and must reach a lower loss than guessing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from inspect import getsource
from itertools import pairwise

import numpy as np
from competitors import Competitor

from suite.case import CaseEntry, at_most
from suite.cases.cold_start import NUMBA, XLA, ProcessCase, Script

RATE = 0.02
N_NETS = 1000
INDUCTOR = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def draw(sizes, n, many):  # the scripts begin with its source, which they format: without braces
    """Return (X, y, weights) : samples, and a list of the weights of each layer, (*many, fan_in, fan_out)"""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=n)
    shapes = [(*many, *pair) for pair in pairwise(sizes)]
    return X, y, [rng.normal(0, shape[-2] ** -0.5, shape).astype(np.float32) for shape in shapes]


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
model = {compiled}(net)
optimizer = torch.optim.SGD(params, lr={rate})
for _ in range(epochs):
    values = []
    for k in range(0, n, batch):
        optimizer.zero_grad()
        value = loss_of(model(X[k : k + batch]), y[k : k + batch])
        value.backward()
        optimizer.step()
        values.append(value.detach())
    if {validates}:
        with torch.no_grad():
            loss_of(model(X_val), y_val)
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
SKLEARN = """
import warnings
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
warnings.simplefilter("ignore", ConvergenceWarning)  # an epoch is not enough for that
net = MLPClassifier(sizes[1:-1], solver="sgd", alpha=0, batch_size=batch, learning_rate_init={rate}, momentum=0,
                    shuffle=False, max_iter=epochs, n_iter_no_change=epochs, random_state=0,
                    early_stopping={validates}, validation_fraction=0.2)
print(net.fit(X, y).loss_)
"""
PEERS = (
    Competitor("import numpy", "competitors.cold_start", "import numpy", (), kind="limit", chooses_threads=True),
    Competitor("fastmlp", "competitors.cold_start", "fastmlp", ("fastmlp",), kind="ours", chooses_threads=True),
    *(
        Competitor(
            name,
            "competitors.cold_start",
            name,
            needs,
            chooses_threads=True,
            slow_start="torch" in needs,
            environment={"KERAS_BACKEND": "jax"} if "keras" in needs else {},
        )
        for name, needs in (
            ("jax", ("jax",)),
            ("torch", ("torch",)),
            ("torch compiled", ("torch",)),
            ("keras jax", ("keras", "jax")),
            ("sklearn", ("sklearn",)),
        )
    ),
)


@dataclass(frozen=True, eq=False)
class FirstFitCase(ProcessCase):
    name: str
    title: str
    sizes: tuple[int, ...]
    n: int
    batch: int
    epochs: int = 1
    validates: bool = False
    many: tuple[int, ...] = ()
    group: str = "first_fit"
    source: str = "random numbers"

    def script(self, name: str) -> Script:
        settings = {key: getattr(self, key) for key in ("sizes", "n", "batch", "epochs", "validates", "many")}
        compiled = "torch.compile" if name == "torch compiled" else ""
        source, variables = {
            "import numpy": ("import numpy", ()),
            "fastmlp": (DATA + FASTMLP, NUMBA),
            "jax": (DATA + JAX, XLA),
            "torch": (DATA + TORCH, ()),
            "torch compiled": (DATA + TORCH, INDUCTOR),
            "keras jax": (DATA + KERAS, XLA),
            "sklearn": (DATA + SKLEARN, ()),
        }[name]
        return Script(source.format(**settings, rate=RATE, compiled=compiled), variables, bool(variables))

    @cached_property
    def expected(self) -> float:
        """Mean loss of the last epoch in float64, of the first net."""
        X, y, weights = draw(self.sizes, self.n, self.many)
        X, nets = X.astype(np.float64), self.many or (1,)
        weights = [W.reshape(*nets, *W.shape[-2:]).astype(np.float64) for W in weights]
        biases = [np.zeros((*nets, 1, W.shape[-1])) for W in weights]
        for _ in range(self.epochs):
            batches = [slice(k, k + self.batch) for k in range(0, self.n, self.batch)]
            losses = [_step(weights, biases, X[rows], y[rows]) for rows in batches]
        return float(np.mean(losses))

    def check(self, competitor: Competitor, answer: float | None) -> dict[str, float]:
        """answer : the mean loss of the last epoch, which the script printed"""
        loss = float("nan") if answer is None else answer
        if competitor.name == "sklearn":
            return at_most({"loss above guessing": loss / np.log(self.sizes[-1]) - 1}, {"loss above guessing": 1.0})
        return at_most({"loss": abs(loss - self.expected) / self.expected}, {"loss": 0.01})


def _step(weights: list[np.ndarray], biases: list[np.ndarray], X: np.ndarray, y: np.ndarray) -> float:
    """Update the parameters of nets of ReLU units by gradient descent; return their mean loss before."""
    a = [np.broadcast_to(X, (len(weights[0]), *X.shape))]
    for k, (W, b) in enumerate(zip(weights, biases, strict=True)):
        z = a[-1] @ W + b
        a.append(z if k == len(weights) - 1 else np.maximum(z, 0))
    e = np.exp(a[-1] - a[-1].max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(p[:, rows, y]).mean()
    delta = p
    delta[:, rows, y] -= 1
    delta /= len(y)
    for k in reversed(range(len(weights))):
        below = (delta @ weights[k].transpose(0, 2, 1)) * (a[k] > 0)
        weights[k] -= RATE * a[k].transpose(0, 2, 1) @ delta
        biases[k] -= RATE * delta.sum(-2, keepdims=True)
        delta = below
    return float(loss)


def _entry(
    name: str, title: str, *settings, peers: tuple[Competitor, ...] = PEERS, in_quick: bool = False, **others
) -> CaseEntry:
    return CaseEntry(name, "first_fit", peers, partial(FirstFitCase, name, title, *settings, **others), in_quick)


LARGE = (784, 512, 512, 10), 1024, 256
ENTRIES = (
    _entry("first_fit_tiny", "first fit of 2-8-2, four rows", (2, 8, 2), 4, 4, 1000),
    _entry("first_fit_digits", "first fit of 64-64-32-10, batch 200", (64, 64, 32, 10), 1600, 200, in_quick=True),
    _entry("first_fit_large", "first fit of 784-512-512-10, batch 256", *LARGE),
    _entry("first_fit_validation", "the same with validation data", *LARGE, validates=True),
    _entry(
        "first_fit_population",
        "first fit of 1,000 nets of 2-8-2",
        (2, 8, 2),
        4,
        4,
        100,
        peers=tuple(peer for peer in PEERS if peer.name not in ("keras jax", "sklearn")),
        many=(N_NETS,),
    ),
)
