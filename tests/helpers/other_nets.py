"""Nets of kinds that had no part in writing the verdicts: activations, data sets and shapes that stuck_nets.py has not.

The data sets are those that scikit-learn comes with, and two made ones. CASES are made as in stuck_nets.py, of every
data set with an activation, and every known failure that such a net can have.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
from stuck_nets import SIGMOID_OUTPUT, Case, Trained, of, shuffled

from fastmlp import SGD, Adam, AdamW, Normal

HEALTHY = ("converged", "still_learning", "over_fitting")
WEIGHTS = (
    "weights_too_large",
    "learning_rate_too_high",
)  # long steps enlarge weights, and large weights need short ones


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, y) of a data set of scikit-learn: standardised inputs, and targets of numbers."""
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    spread = X.std(axis=0)
    X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return X, (y - y.mean()) / y.std() if name == "diabetes" else y


def part(name, seed, n=250):
    """Return other rows of a data set for each seed."""
    X, y = table(name)
    rows = np.random.default_rng(seed).permutation(len(X))[:n]
    return X[rows], y[rows]


def spirals(seed, n=300):
    rng = np.random.default_rng(seed)
    y, t = np.arange(n) % 2, rng.random(n)
    angle = 5.0 * t + np.pi * y
    return 1.5 * t[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.03 * rng.normal(size=(n, 2)), y


def waves(seed, n=300):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 3))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] / 2 + 0.05 * rng.normal(size=n)


def noisy_waves(seed, n=60):
    X, y = waves(seed, n)
    return X, y + np.random.default_rng(seed + 1).normal(size=n)


def changed(source, inputs=lambda X: X, targets=lambda y: y):
    def draw(seed, **options):
        X, y = source(seed, **options)
        return inputs(X), targets(y)

    return draw


def with_nan(make, seed):
    found = make(seed)
    X = found.X.copy()
    X[seed % len(X), 0] = np.nan
    return Trained(found.net, X, found.y, found.history)


def constant_weights(net):
    for W in net.weights:
        W[:] = 0.2


def cases(name, source, activation, hidden) -> Iterator[Case]:
    """Yield the cases of one data set and activation."""
    layers = lambda hidden: {"hidden_activation": activation, "hidden": hidden}
    make = partial(of, **layers(hidden))
    case = lambda verdict, title, made, *also: Case(verdict, f"{name}, {activation}: {title}", made, also=also)
    fit = {"epochs": 300, "optimizer": Adam(0.01)}
    yield case("converged", "as usual", make(source, **fit), *HEALTHY)
    yield case("still_learning", "8 epochs", make(source, epochs=8, optimizer=Adam(0.002)), *HEALTHY)
    yield case("not_finite", "a NaN", partial(with_nan, make(source, **fit)))
    long = make(source, epochs=60, optimizer=Adam(5.0), batch_size=32)
    yield case("learning_rate_too_high", "Adam at 5", long, *HEALTHY[:1])
    yield case("learning_rate_too_low", "Adam at 1e-6", make(source, epochs=60, optimizer=Adam(1e-6)))
    yield case("learning_rate_too_low", "descent at 1e-6", make(source, epochs=100, optimizer=SGD(1e-6)))
    yield case("learning_rate_too_low", "clipped", make(source, epochs=200, optimizer=SGD(0.1, clip_norm=1e-5)))
    yield case("weight_decay_too_high", "AdamW", make(source, epochs=300, optimizer=AdamW(0.01, weight_decay=30.0)))
    yield case("weight_decay_too_high", "l2 of 5", make(source, **fit, l2=5.0))
    yield case("dropout_too_high", "0.95", of(source, dropout=0.95, **fit | layers((16, 16))))
    yield case("unscaled_data", "thousands", make(changed(source, lambda X: 1e3 * X + 5e3), epochs=100), "dead_units")
    yield case("unsuitable_weights", "all equal", make(source, epochs=100, changed=constant_weights), *HEALTHY[:1])
    yield case("weights_too_large", "normal, 50", make(source, init=Normal(50.0), epochs=60), *WEIGHTS)
    deep = layers((8,) * 8)
    if activation in ("softsign", "symmetric_sigmoid"):
        small = {"init_scale": 0.2, "optimizer": SGD(0.1), "epochs": 100}
        yield case("vanishing_gradient", "deep", of(source, **small | deep), "plateau")
    else:
        large = {"init_scale": 5.0, "optimizer": SGD(1e-3), "epochs": 20}
        yield case("weights_too_large", "deep", of(source, **large | deep), *WEIGHTS)
    if name in ("spirals", "waves"):
        yield case("too_small", "linear", of(source, hidden=(), **fit))
        yield case("too_small", "one unit", of(source, epochs=1500, **layers((1,))), "still_learning")
    if name != "diabetes":
        yield case("shuffled_labels", "shuffled", make(shuffled(source), **fit))
    if name == "waves":
        wide = {"n_held_out": 150, "epochs": 1500, "optimizer": Adam(0.01)} | layers((64,))
        yield case("over_fitting", "noise", of(noisy_waves, **wide))
    if name in ("diabetes", "waves"):
        prices = changed(source, targets=lambda y: 500.0 * y + 3000.0)
        yield case("unscaled_data", "prices", make(prices, epochs=100, optimizer=Adam(0.003)))
        yield case("unreachable_targets", "softplus", make(source, output_activation="softplus", **fit))
        return
    coding = (lambda y: 2.0 * y - 1.0) if name in ("spirals", "breast_cancer") else (lambda y: y.astype(float))
    yield case("unreachable_targets", "a sigmoid", make(changed(source, targets=coding), **SIGMOID_OUTPUT))
    one_class = changed(source, targets=lambda y: 0 * y)
    yield case("constant_data", "one class", make(one_class, epochs=30, loss="binary_cross_entropy"))


KINDS = (
    ("iris", partial(part, "iris"), "softsign", (12,)),
    ("wine", partial(part, "wine"), "elu", (20, 10)),
    ("breast_cancer", partial(part, "breast_cancer"), "gelu", (24,)),
    ("digits", partial(part, "digits"), "silu", (32, 16)),
    ("diabetes", partial(part, "diabetes"), "softplus", (16,)),
    ("spirals", spirals, "selu", (24, 24)),
    ("waves", waves, "silu", (20, 20, 20)),
    ("spirals", spirals, "symmetric_sigmoid", (24, 24)),
)
CASES = [case for kind in KINDS for case in cases(*kind)]
