"""Nets that are stuck on purpose, each in one way, and healthy ones: what the verdicts are validated on.

A case makes one net from a seed. CASES lists them by the verdict they should get; `cure` of a case follows the remedy and
trains again, under the same budget where a training was stuck and not merely unfinished.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import toy_data as data

from fastmlp import MLP, SGD, Adam, DivergenceWarning, Normal, Uniform
from fastmlp.stuck_story import BUGS, CURED, ONE_HOT, trained


class Trained(NamedTuple):
    """What diagnose gets."""

    net: Any
    X: np.ndarray
    y: np.ndarray
    history: Any = None
    options: dict = {}  # noqa: RUF012, never written to


class Case(NamedTuple):
    verdict: str
    title: str
    make: Callable[[int], Trained]
    cure: Callable[[int], Trained] | None = None
    also: tuple[str, ...] = ()  # verdicts that are as right


CASES: list[Case] = []


def case(verdict, title, cure=None, also=()):
    def enter(make):
        CASES.append(Case(verdict, title, make, cure, also))
        return make

    return enter


def train(X, y, hidden=(16,), epochs=200, optimizer=None, held_out=None, batch_size=None, changed=None, **settings):
    """A net of the usual kind for these targets, trained; `changed(net)` may spoil its first weights."""
    classes = np.unique(y) if y.ndim == 1 else y
    if "loss" not in settings and y.dtype.kind in "ib" and y.ndim == 1:
        settings["loss"] = "binary_cross_entropy" if len(classes) == 2 else "softmax_cross_entropy"
    n_outputs = len(classes) if settings.get("loss") == "softmax_cross_entropy" else 1
    n_outputs = y.shape[1] if y.ndim == 2 else settings.pop("n_outputs", n_outputs)
    sizes = (X.shape[1], *hidden, n_outputs)
    settings = {"hidden_activation": "tanh", "random_state": 0, **settings}
    fit = {name: settings.pop(name) for name in ("early_stopping", "validation_data", "schedule") if name in settings}
    net = MLP(sizes, **settings)
    if changed is not None:
        changed(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        history = net.fit(
            X, y, epochs=epochs, optimizer=optimizer or Adam(0.01), batch_size=batch_size, verbose=0, **fit
        )
    return Trained(net, X, y, history, {} if held_out is None else {"validation_data": held_out})


# ---- healthy: converged


@case("converged", "three clouds, softmax")
def _(seed):
    return train(*data.blobs(seed, spread=0.5), epochs=1000, optimizer=Adam(0.03), random_state=seed)


@case("converged", "moons, relu, mini-batches")
def _(seed):
    return train(*data.moons(seed), hidden=(32, 16), epochs=300, batch_size=32, hidden_activation="relu", random_state=seed)


@case("converged", "XOR, eight units")
def _(seed):
    return train(data.XOR_X, data.XOR_Y, hidden=(8,), epochs=500, optimizer="rprop", random_state=seed)


@case("converged", "regression, cosine schedule")
def _(seed):
    return train(*data.friedman(seed), hidden=(24,), epochs=800, schedule="cosine", random_state=seed)


@case("converged", "classes that overlap, early stopping")
def _(seed):
    X, y = data.overlapping(seed)
    held_out = data.overlapping(seed + 1000)
    return train(X, y, hidden=(8,), epochs=400, early_stopping=20, validation_data=held_out, held_out=held_out, random_state=seed)


@case("converged", "one in twelve, logistic regression")
def _(seed):
    return train(*data.rare(seed), hidden=(), epochs=500, optimizer=Adam(0.03), random_state=seed)


@case("converged", "parity of six bits")
def _(seed):
    return train(*data.parity(6), hidden=(24,), epochs=1500, optimizer=Adam(0.02), random_state=seed)


# ---- healthy: still learning


@case("still_learning", "three clouds, 12 epochs")
def _(seed):
    return train(*data.blobs(seed), epochs=12, random_state=seed)


@case("still_learning", "moons, 30 epochs")
def _(seed):
    return train(*data.moons(seed), hidden=(16, 16), epochs=30, optimizer=Adam(0.004), hidden_activation="relu", random_state=seed)


@case("still_learning", "regression, 40 epochs")
def _(seed):
    return train(*data.friedman(seed), epochs=40, optimizer=Adam(0.005), random_state=seed)


@case("still_learning", "rings, descent, 300 epochs")
def _(seed):
    return train(*data.rings(seed), hidden=(24,), epochs=300, optimizer=SGD(0.2), random_state=seed)


@case("still_learning", "overlapping classes, 8 epochs, no history")
def _(seed):
    return train(*data.overlapping(seed), epochs=8, random_state=seed)._replace(history=None)


# ---- healthy: over-fitting


def _overfit(seed, **settings):
    X, y = data.overlapping(seed, n=100, n_features=20)
    held_out = data.overlapping(seed + 1000, n=300, n_features=20)
    return train(
        X, y, hidden=(64,), epochs=300, optimizer=Adam(0.02), hidden_activation="relu", validation_data=held_out,
        held_out=held_out, random_state=seed, **settings,
    )  # fmt: skip


@case("over_fitting", "64 units, 100 samples", cure=lambda seed: _overfit(seed, early_stopping=10))
def _(seed):
    return _overfit(seed)


@case("over_fitting", "regression, noise of half the spread")
def _(seed):
    X, y = data.friedman(seed, n=80, noise=0.7)
    held_out = data.friedman(seed + 1000, n=300, noise=0.7)
    return train(
        X, y, hidden=(64,), epochs=1500, optimizer=Adam(0.01), hidden_activation="relu", held_out=held_out, random_state=seed
    )


# ---- the data


@case("not_finite", "NaN among the inputs")
def _(seed):
    trained = train(*data.blobs(seed), epochs=100, random_state=seed)
    X = trained.X.copy()
    X[seed + 3, 1] = np.nan
    return trained._replace(X=X)


def _broken_weights(seed):
    trained = train(*data.moons(seed), hidden=(8, 8), epochs=50, random_state=seed)
    trained.net.weights[seed % 3][0, 0] = [np.nan, np.inf, -np.inf][seed % 3]
    return trained


@case("not_finite", "NaN among the weights", cure=lambda seed: train(*data.moons(seed), hidden=(8, 8), epochs=300, random_state=seed))
def _(seed):
    return _broken_weights(seed)


@case("constant_labels", "all of one class")
def _(seed):
    X, y = data.moons(seed)
    return train(X, np.full(len(y), seed % 2, float), hidden=(8,), epochs=50, loss="binary_cross_entropy", random_state=seed)


@case("constant_inputs", "a column of ones repeated")
def _(seed):
    X, y = data.moons(seed)
    return train(np.full_like(X, 1.0 + seed), y, hidden=(8,), epochs=50, random_state=seed)


@case("shuffled_labels", "three clouds, y out of order", cure=lambda seed: train(*data.blobs(seed), epochs=200, random_state=seed))
def _(seed):
    X, y = data.blobs(seed)
    return train(X, np.random.default_rng(seed + 7).permutation(y), epochs=200, random_state=seed)


@case("shuffled_labels", "regression, y out of order", cure=lambda seed: train(*data.friedman(seed), epochs=300, random_state=seed))
def _(seed):
    X, y = data.friedman(seed)
    return train(X, np.random.default_rng(seed + 7).permutation(y), epochs=300, random_state=seed)


def _coded(seed, code, **settings):
    X, y = data.moons(seed)
    return train(X, code(y).astype(float), epochs=300, hidden_activation="tanh", random_state=seed, **settings)


@case(
    "mis_encoded_labels", "labels 1 and 2 for a sigmoid",
    cure=lambda seed: _coded(seed, lambda y: y, loss="squared_error", output_activation="sigmoid"),
)  # fmt: skip
def _(seed):
    return _coded(seed, lambda y: y + 1, loss="squared_error", output_activation="sigmoid")


@case(
    "mis_encoded_labels", "labels -1 and 1 for a sigmoid",
    cure=lambda seed: _coded(seed, lambda y: y, loss="squared_error", output_activation="sigmoid"),
)  # fmt: skip
def _(seed):
    return _coded(seed, lambda y: 2 * y - 1, loss="squared_error", output_activation="sigmoid")


@case("mis_encoded_labels", "class numbers 0, 1, 2 for one sigmoid", cure=lambda seed: train(*data.blobs(seed), epochs=300, random_state=seed))
def _(seed):
    X, y = data.blobs(seed)
    return train(X, y.astype(float), epochs=200, loss="squared_error", output_activation="sigmoid", random_state=seed)


def _scaled_targets(seed, **settings):
    X, y = data.friedman(seed)
    return train(X, 3.0 * y + 8.0, epochs=600, optimizer=Adam(0.02), loss="squared_error", random_state=seed, **settings)


@case("unreachable_targets", "prices for a sigmoid", cure=_scaled_targets)
def _(seed):
    return _scaled_targets(seed, output_activation="sigmoid")


@case("unreachable_targets", "both signs for a relu", cure=lambda seed: train(*data.friedman(seed), epochs=600, random_state=seed))
def _(seed):
    return train(*data.friedman(seed), epochs=600, output_activation="relu", loss="squared_error", random_state=seed)


def _scaled_inputs(seed, factor, shift=0.0, epochs=150, **settings):
    X, y = data.moons(seed)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return train(X * factor + shift, y, epochs=epochs, random_state=seed, **settings)


@case("unscaled_inputs", "one input in thousands, tanh", cure=lambda seed: _scaled_inputs(seed, 1.0))
def _(seed):
    return _scaled_inputs(seed, np.array([1.0, 3000.0]))


@case("unscaled_inputs", "years, descent", cure=lambda seed: _scaled_inputs(seed, 1.0, optimizer=SGD(0.3), epochs=400))
def _(seed):
    return _scaled_inputs(seed, np.array([5.0, 5.0]), 2000.0, optimizer=SGD(0.1), epochs=400)


@case("unscaled_inputs", "inputs of thousandths", cure=lambda seed: _scaled_inputs(seed, 1.0))
def _(seed):
    return _scaled_inputs(seed, 1e-3)


# ---- the first weights


def _every_weight(value):
    def change(net):
        net.params[:] = value

    return change


@case("symmetric_units", "every weight one half", cure=lambda seed: train(*data.rings(seed), epochs=400, random_state=seed))
def _(seed):
    return train(*data.rings(seed), hidden=(8,), epochs=300, changed=_every_weight(0.5), random_state=seed)


@case("symmetric_units", "zeros", cure=lambda seed: train(*data.moons(seed), hidden=(8, 8), epochs=300, random_state=seed))
def _(seed):
    return train(*data.moons(seed), hidden=(8, 8), epochs=300, init="zeros", random_state=seed)


@case("positive_weights", "U(0, 1), three layers of sigmoids", also=("saturated_units",),
      cure=lambda seed: train(*data.rings(seed), hidden=(12, 12), epochs=600, optimizer=Adam(0.02), random_state=seed))  # fmt: skip
def _(seed):
    return train(
        *data.rings(seed), hidden=(12, 12, 12), epochs=150, init=Uniform(0, 1), hidden_activation="sigmoid",
        optimizer=SGD(0.1), random_state=seed,
    )  # fmt: skip


@case("positive_weights", "XOR, U(0, 1)")
def _(seed):
    return train(
        data.XOR_X, data.XOR_Y, hidden=(2, 2), epochs=1000, init=Uniform(0, 1), hidden_activation="sigmoid",
        optimizer=SGD(0.3), random_state=seed,
    )  # fmt: skip


def _far_below(net):
    net.biases[0][:] = -30.0


@case("dead_units", "biases of -30", cure=lambda seed: train(*data.moons(seed), epochs=300, hidden_activation="leaky_relu", random_state=seed))
def _(seed):
    return train(*data.moons(seed), epochs=300, hidden_activation="relu", changed=_far_below, random_state=seed)


def _below_zero(net):
    net.weights[1][:] = -abs(net.weights[1])
    net.biases[1][:] = -0.5


@case("dead_units", "a second layer below zero",
      cure=lambda seed: train(*data.friedman(seed), hidden=(16, 16), epochs=400, hidden_activation="leaky_relu", random_state=seed))  # fmt: skip
def _(seed):
    return train(*data.friedman(seed), hidden=(16, 16), epochs=200, hidden_activation="relu", changed=_below_zero, random_state=seed)


@case("saturated_units", "weights of 30", cure=lambda seed: train(*data.friedman(seed), hidden=(16, 16), epochs=300, random_state=seed))
def _(seed):
    return train(*data.friedman(seed), hidden=(16, 16), epochs=300, init=Normal(30.0), random_state=seed)


@case("saturated_units", "sigmoids, weights of 40", cure=lambda seed: train(*data.moons(seed), hidden=(12, 12), epochs=300, random_state=seed))
def _(seed):
    return train(
        *data.moons(seed), hidden=(12, 12), epochs=200, init=Normal(40.0), hidden_activation="sigmoid",
        optimizer=SGD(0.1), random_state=seed,
    )  # fmt: skip


@case("vanishing_gradient", "eight layers of sigmoids", also=("plateau",),
      cure=lambda seed: train(*data.moons(seed), hidden=(10,) * 7, epochs=300, hidden_activation="relu", random_state=seed))  # fmt: skip
def _(seed):
    return train(*data.moons(seed), hidden=(10,) * 7, epochs=300, hidden_activation="sigmoid", optimizer=SGD(0.3), random_state=seed)


@case("vanishing_gradient", "ten layers of small tanh")
def _(seed):
    return train(*data.rings(seed), hidden=(8,) * 9, epochs=100, init_scale=0.25, optimizer=SGD(0.1), random_state=seed)


@case("exploding_gradient", "eight relu layers, weights five times too large", also=("learning_rate_too_high",),
      cure=lambda seed: train(*data.friedman(seed), hidden=(16,) * 4, epochs=300, hidden_activation="relu", random_state=seed))  # fmt: skip
def _(seed):
    return train(
        *data.friedman(seed), hidden=(16,) * 7, epochs=30, hidden_activation="relu", init_scale=5.0, random_state=seed
    )


@case("exploding_gradient", "six layers, weights of 3, descent", also=("learning_rate_too_high",))
def _(seed):
    return train(
        *data.friedman(seed), hidden=(20,) * 5, epochs=10, hidden_activation="leaky_relu", init=Normal(3.0),
        optimizer=SGD(1e-3), random_state=seed,
    )  # fmt: skip


# ---- the training


@case("learning_rate_too_high", "descent, 10 times too far",
      cure=lambda seed: train(*data.friedman(seed), epochs=300, optimizer=SGD(0.05), random_state=seed))  # fmt: skip
def _(seed):
    return train(*data.friedman(seed), epochs=100, optimizer=SGD(1.5), random_state=seed)


@case("learning_rate_too_high", "Adam at 1", also=("saturated_units", "dead_units"),
      cure=lambda seed: train(*data.rings(seed), hidden=(16, 16), epochs=200, optimizer=Adam(0.01), random_state=seed))  # fmt: skip
def _(seed):
    return train(
        *data.rings(seed), hidden=(16, 16), epochs=100, optimizer=Adam(1.0), batch_size=16, hidden_activation="tanh",
        random_state=seed,
    )  # fmt: skip


@case("learning_rate_too_high", "relu, diverged", also=("exploding_gradient", "dead_units"))
def _(seed):
    return train(*data.friedman(seed), hidden=(32, 32), epochs=50, hidden_activation="relu", optimizer=SGD(5.0), random_state=seed)


@case("learning_rate_too_low", "descent at 1e-5", cure=lambda seed: train(*data.friedman(seed), epochs=200, optimizer=SGD(0.1), random_state=seed))
def _(seed):
    return train(*data.friedman(seed), epochs=200, optimizer=SGD(1e-5), random_state=seed)


@case("learning_rate_too_low", "Adam at 1e-6", cure=lambda seed: train(*data.blobs(seed), epochs=200, optimizer=Adam(0.01), random_state=seed))
def _(seed):
    return train(*data.blobs(seed), epochs=200, optimizer=Adam(1e-6), random_state=seed)


@case("learning_rate_too_low", "descent at 1e-4, rate unknown")
def _(seed):
    trained = train(*data.blobs(seed), epochs=100, optimizer=SGD(1e-4), random_state=seed)
    return trained._replace(history=trained.history.loss)


@case("too_small", "a linear net for rings", cure=lambda seed: train(*data.rings(seed), hidden=(16,), epochs=400, random_state=seed))
def _(seed):
    return train(*data.rings(seed), hidden=(), epochs=400, random_state=seed)


@case("too_small", "one unit for five clouds",
      cure=lambda seed: train(*data.blobs(seed, n=250, n_classes=5), hidden=(8,), epochs=600, optimizer=Adam(0.03), random_state=seed))  # fmt: skip
def _(seed):
    return train(*data.blobs(seed, n=250, n_classes=5), hidden=(1,), epochs=1500, optimizer=Adam(0.03), random_state=seed)


@case("too_small", "two identity layers for moons")
def _(seed):
    return train(*data.rings(seed), hidden=(8, 8), epochs=300, hidden_activation="identity", random_state=seed)


@case("base_rate", "a penalty of 1", cure=lambda seed: train(*data.moons(seed), hidden=(8,), epochs=400, l2=1e-3, random_state=seed))
def _(seed):
    return train(*data.moons(seed), hidden=(8,), epochs=400, l2=1.0, random_state=seed)


@case("base_rate", "regression, a penalty of 3", cure=lambda seed: train(*data.friedman(seed), hidden=(8,), epochs=400, l2=3e-3, random_state=seed))
def _(seed):
    return train(*data.friedman(seed), hidden=(8,), epochs=400, l2=3.0, random_state=seed)


def _stuck_xor(seed):
    """The seed-th start from which a 2-2-1 net with sigmoids ends between the patterns."""
    return train(
        data.XOR_X, data.XOR_Y, hidden=(2,), epochs=4000, optimizer=SGD(1.0), hidden_activation="sigmoid",
        random_state=STUCK_STARTS[seed % len(STUCK_STARTS)],
    )  # fmt: skip


STUCK_STARTS = (0, 1, 5, 9, 16, 21, 24, 29)


@case("plateau", "XOR, two units, local minimum", also=("saturated_units",),
      cure=lambda seed: train(data.XOR_X, data.XOR_Y, hidden=(8,), epochs=1000, optimizer="rprop", random_state=seed))  # fmt: skip
def _(seed):
    return _stuck_xor(seed)


@case("plateau", "tiny weights, saddle", cure=lambda seed: train(*data.blobs(seed), hidden=(8, 8), epochs=200, optimizer="rprop", random_state=seed))
def _(seed):
    return train(*data.blobs(seed), hidden=(8, 8), epochs=300, optimizer=SGD(0.05), init_scale=1e-3, random_state=seed)


# ---- the bugs of the founding question, in a net written by hand


def _hand_written(bug, seed):
    net, losses = trained(bug, seed)
    if bug.name == "double sigmoid":  # only its outputs tell
        return Trained(net.predict, data.XOR_X, ONE_HOT, losses)
    options = {"activations": ["sigmoid"] * len(net.W), "loss": "squared_error"}
    return Trained(net.as_arrays(), data.XOR_X, ONE_HOT, losses, options)


for bug in BUGS:
    case(bug.verdict, f"founding bug: {bug.name}", cure=partial(_hand_written, CURED))(partial(_hand_written, bug))
