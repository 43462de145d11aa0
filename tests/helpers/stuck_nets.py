"""Nets that validate the diagnosis: healthy nets, and nets that are made to fail in one known way.

A case makes one net from a seed. CASES lists the cases with the verdict that their nets should get. The `cure` of a
case makes the net that follows the remedy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import toy_data as data

from fastmlp import MLP, SGD, Adam, AdamW, DivergenceWarning, Normal, Population, Uniform
from fastmlp.commands.stuck_demo import BUGS, CURED, ONE_HOT, trained


class Trained(NamedTuple):
    """Arguments of diagnose."""

    net: Any
    X: np.ndarray
    y: np.ndarray
    history: Any = None
    options: dict = {}  # noqa: RUF012, never modified


class Case(NamedTuple):
    verdict: str
    title: str
    make: Callable[[int], Trained]
    cure: Callable[[int], Trained] | None = None
    also: tuple[str, ...] = ()  # other verdicts that are correct too


FIT = ("early_stopping", "validation_data", "schedule")


def train(X, y, hidden=(16,), epochs=300, optimizer=None, held_out=None, batch_size=None, changed=None, **settings):
    """Train a net with the usual loss and outputs for these targets.

    held_out : held-out samples for the diagnosis
    changed : function that changes the initial parameters of the net
    settings : settings of the net, or of its fit (FIT)
    """
    n_classes = len(np.unique(y))
    if "loss" not in settings and y.dtype.kind in "ib":
        settings["loss"] = "binary_cross_entropy" if n_classes == 2 else "softmax_cross_entropy"
    n_outputs = n_classes if settings.get("loss") == "softmax_cross_entropy" else 1
    fit = {name: settings.pop(name) for name in FIT if name in settings}
    net = MLP((X.shape[1], *hidden, n_outputs), **{"hidden_activation": "tanh", "random_state": 0, **settings})
    if changed is not None:
        changed(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        history = net.fit(
            X, y, epochs=epochs, optimizer=optimizer or Adam(0.01), batch_size=batch_size, verbose=0, **fit
        )
    return Trained(net, X, y, history, {} if held_out is None else {"validation_data": held_out})


def of(source, *, n_held_out=0, stopped=False, recorded=False, **settings):
    """Return a function seed -> Trained that trains a net on source(seed).

    n_held_out : number of held-out samples for the diagnosis, from source(seed + 1000); 0 for none
    stopped : patience of early stopping on the held-out samples; False for no early stopping
    recorded : whether the fit records the validation loss on the held-out samples
    settings : further arguments of `train`
    """

    def make(seed):
        more = dict(settings)
        if n_held_out:
            more["held_out"] = held_out = source(seed + 1000, n=n_held_out)
            if recorded:
                more["validation_data"] = held_out
            if stopped:
                more |= {"validation_data": held_out, "early_stopping": stopped}
        return train(*source(seed), random_state=seed, **more)

    return make


def without_history(make):
    return lambda seed: make(seed)._replace(history=None)


def records_only(make):
    """Return a maker of nets whose history has validation records, but whose diagnosis gets no validation data."""
    return lambda seed: make(seed)._replace(options={})


def losses_only(make):
    return lambda seed: (found := make(seed))._replace(history=found.history.loss)


def xor(seed):
    return data.XOR_X, data.XOR_Y


def shuffled(source):
    def draw(seed):
        X, y = source(seed)
        return X, np.random.default_rng(seed + 7).permutation(y)

    return draw


def coded(code, source=data.moons):
    """Return a source with targets code(y), as floating-point numbers."""

    def draw(seed):
        X, y = source(seed)
        return X, code(y).astype(float)

    return draw


def scaled(factor=1.0, shift=0.0):
    """Return a source of moons with standardised inputs, times factor, plus shift."""

    def draw(seed):
        X, y = data.moons(seed)
        return (X - X.mean(axis=0)) / X.std(axis=0) * factor + shift, y

    return draw


def noisy(seed, n=80):
    return data.friedman(seed, n=n, noise=0.7)


def wide(seed, n=100):
    return data.overlapping(seed, n=n, n_features=20)


def six_bits(seed):
    return data.parity(6)


def table(seed, n=800):
    """Regression with many samples of ten inputs, and noise as large as the signal, such as ratings of wines."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10))
    y = np.sin(X[:, 0] * 1.5) + 0.5 * X[:, 1] * X[:, 2] + 0.4 * X[:, 3]
    return X, (y / y.std() + rng.normal(size=n)) / np.sqrt(2)


def large_table(seed, n=4000):
    return table(seed, n)


def five_clouds(seed):
    return data.blobs(seed, n=250, n_classes=5)


def tight_clouds(seed):
    return data.blobs(seed, spread=0.5)


RELU, SIGMOID, LEAKY = ({"hidden_activation": name} for name in ("relu", "sigmoid", "leaky_relu"))
BROAD = {"hidden": (64, 64), "optimizer": Adam(5e-3), **RELU}
SIGMOID_OUTPUT = {"loss": "squared_error", "output_activation": "sigmoid"}

HEALTHY = [
    Case("converged", "three clouds, softmax", of(tight_clouds, epochs=1000, optimizer=Adam(0.03))),
    Case("converged", "moons, relu, mini-batches", of(data.moons, hidden=(32, 16), batch_size=32, **RELU)),
    Case("converged", "XOR, eight units", of(xor, hidden=(8,), epochs=500, optimizer="rprop")),
    Case("converged", "regression, cosine schedule", of(data.friedman, hidden=(24,), epochs=800, schedule="cosine")),
    Case("converged", "classes that overlap, early stopping",
         of(data.overlapping, n_held_out=400, stopped=20, hidden=(8,), epochs=400)),
    Case("converged", "one in twelve, logistic regression", of(data.rare, hidden=(), epochs=800, optimizer=Adam(0.03))),
    Case("converged", "XOR, 32 units, half of them dropped",
         of(xor, hidden=(32,), epochs=500, optimizer=Adam(0.02), dropout=0.5)),
    Case("converged", "parity of six bits", of(six_bits, hidden=(24,), epochs=1500, optimizer=Adam(0.02))),
    Case("still_learning", "three clouds, 12 epochs", of(data.blobs, epochs=12, optimizer=Adam(0.005))),
    Case("still_learning", "moons, 30 epochs",
         of(data.moons, hidden=(16, 16), epochs=30, optimizer=Adam(0.004), **RELU)),
    Case("still_learning", "regression, 40 epochs", of(data.friedman, epochs=40, optimizer=Adam(0.005))),
    Case("still_learning", "rings, descent", of(data.rings, hidden=(24,), optimizer=SGD(0.2))),
    Case("still_learning", "overlapping classes, no history", without_history(of(data.overlapping, epochs=8))),
    Case("over_fitting", "64 units, 100 samples",
         of(wide, n_held_out=300, hidden=(64,), optimizer=Adam(0.02), **RELU),
         cure=of(wide, n_held_out=300, stopped=10, hidden=(64,), optimizer=Adam(0.02), **RELU)),
    Case("over_fitting", "regression, noise of half the spread",
         of(noisy, n_held_out=300, hidden=(64,), epochs=1500, **RELU)),
    Case("over_fitting", "64 units, 100 samples, validation records",
         records_only(of(wide, n_held_out=300, recorded=True, hidden=(64,), optimizer=Adam(0.02), **RELU)),
         cure=of(wide, n_held_out=300, stopped=10, hidden=(64,), optimizer=Adam(0.02), **RELU)),
    Case("over_fitting", "64 units, 100 samples, no history",
         without_history(of(wide, n_held_out=300, hidden=(64,), optimizer=Adam(0.02), **RELU)),
         cure=of(wide, n_held_out=300, stopped=10, hidden=(64,), optimizer=Adam(0.02), **RELU)),
    Case("over_fitting", "a noisy table, mini-batches, validation records",
         records_only(of(table, n_held_out=500, recorded=True, epochs=50, batch_size=64, **BROAD)),
         cure=records_only(of(table, n_held_out=500, stopped=10, epochs=50, batch_size=64, **BROAD))),
    Case("over_fitting", "a noisy table, mini-batches, no history",
         without_history(of(table, n_held_out=500, epochs=50, batch_size=64, **BROAD))),
    Case("over_fitting", "a noisy table, the best epoch kept, too late",
         of(table, n_held_out=500, stopped=40, epochs=60, batch_size=128, schedule="one_cycle", dropout=0.1, **BROAD)),
    Case("converged", "a noisy table, a small net, validation records",
         records_only(of(large_table, n_held_out=1000, recorded=True, epochs=100, batch_size=64, hidden=(8,)))),
    Case("converged", "moons, validation data, no history",
         without_history(of(data.moons, n_held_out=400, hidden=(32, 16), batch_size=32, **RELU))),
    Case("still_learning", "moons, 30 epochs, validation records",
         of(data.moons, n_held_out=200, recorded=True, hidden=(16, 16), epochs=30, optimizer=Adam(0.004), **RELU)),
]  # fmt: skip

# ---- the data


def nan_inside(seed):
    found = of(data.blobs, epochs=100)(seed)
    X = found.X.copy()
    X[(seed + 3) % len(X), 1] = np.nan
    return found._replace(X=X)


def nan_weights(seed):
    found = of(data.moons, hidden=(8, 8), epochs=50)(seed)
    found.net.weights[seed % 3][0, 0] = [np.nan, np.inf, -np.inf][seed % 3]
    return found


def one_class(seed):
    X, y = data.moons(seed)
    return X, np.full(len(y), seed % 2)


def same_inputs(seed):
    X, y = data.moons(seed)
    return np.full_like(X, 1.0 + seed), y


DATA = [
    Case("not_finite", "NaN among the inputs", nan_inside),
    Case("not_finite", "NaN among the weights", nan_weights, cure=of(data.moons, hidden=(8, 8))),
    Case("constant_data", "all of one class", of(one_class, epochs=50, loss="binary_cross_entropy")),
    Case("constant_data", "a column of ones repeated", of(same_inputs, epochs=50)),
    Case("shuffled_labels", "three clouds, y out of order", of(shuffled(data.blobs), epochs=200), cure=of(data.blobs)),
    Case("shuffled_labels", "regression, y out of order", of(shuffled(data.friedman)), cure=of(data.friedman)),
    Case("unreachable_targets", "labels 1 and 2 for a sigmoid", of(coded(lambda y: y + 1), **SIGMOID_OUTPUT),
         cure=of(coded(lambda y: y), **SIGMOID_OUTPUT)),
    Case("unreachable_targets", "labels -1 and 1 for a sigmoid", of(coded(lambda y: 2 * y - 1), **SIGMOID_OUTPUT),
         cure=of(coded(lambda y: y), **SIGMOID_OUTPUT)),
    Case("unreachable_targets", "three class numbers for one sigmoid",
         of(coded(lambda y: y, data.blobs), **SIGMOID_OUTPUT), cure=of(data.blobs)),
    Case("unreachable_targets", "prices for a sigmoid",
         of(coded(lambda y: 3 * y + 8, data.friedman), optimizer=Adam(0.02), **SIGMOID_OUTPUT),
         cure=of(coded(lambda y: 3 * y + 8, data.friedman), epochs=600, optimizer=Adam(0.02))),
    Case("unreachable_targets", "both signs for a relu", of(data.friedman, epochs=600, output_activation="relu"),
         cure=of(data.friedman, epochs=600)),
    Case("unscaled_data", "prices, Adam", of(coded(lambda y: 100 * y + 300, data.friedman), optimizer=Adam(0.01)),
         cure=of(data.friedman)),
    Case("unscaled_data", "thousands, mini-batches",
         of(coded(lambda y: 1000 * y + 5000, data.friedman), epochs=100, batch_size=32), cure=of(data.friedman)),
    Case("unscaled_data", "one input in thousands", of(scaled(np.array([1.0, 3000.0])), epochs=150),
         cure=of(scaled(), epochs=150)),
    Case("unscaled_data", "years, descent", of(scaled(5.0, 2000.0), epochs=400, optimizer=SGD(0.1)),
         cure=of(scaled(), epochs=400, optimizer=SGD(0.3))),
    Case("unscaled_data", "inputs of thousandths", of(scaled(1e-3), epochs=150), cure=of(scaled(), epochs=150)),
]  # fmt: skip

# ---- the initial parameters


def all_one_half(net):
    net.params[:] = 0.5


def far_below(net):
    net.biases[0][:] = -30.0


def below_zero(net):
    net.weights[1][:] = -abs(net.weights[1])
    net.biases[1][:] = -0.5


DEEP, DEEPER = (10,) * 7, (8,) * 9

WEIGHTS = [
    Case("unsuitable_weights", "every weight one half", of(data.rings, hidden=(8,), changed=all_one_half),
         cure=of(data.rings, hidden=(8,), epochs=400)),
    Case("unsuitable_weights", "zeros", of(data.moons, hidden=(8, 8), init="zeros"),
         cure=of(data.moons, hidden=(8, 8))),
    Case("unsuitable_weights", "U(0, 1), three layers of sigmoids",
         of(data.rings, hidden=(12, 12, 12), epochs=150, init=Uniform(0, 1), optimizer=SGD(0.1), **SIGMOID),
         cure=of(data.rings, hidden=(12, 12), epochs=600, optimizer=Adam(0.02))),
    Case("unsuitable_weights", "XOR, U(0, 1)",
         of(xor, hidden=(2, 2), epochs=1000, init=Uniform(0, 1), optimizer=SGD(0.3), **SIGMOID)),
    Case("dead_units", "biases of -30", of(data.moons, changed=far_below, **RELU), cure=of(data.moons, **LEAKY)),
    Case("dead_units", "a second layer below zero",
         of(data.friedman, hidden=(16, 16), epochs=200, changed=below_zero, **RELU),
         cure=of(data.friedman, hidden=(16, 16), **LEAKY)),
    Case("weights_too_large", "weights of 30", of(data.friedman, hidden=(16, 16), init=Normal(30.0)),
         cure=of(data.friedman, hidden=(16, 16))),
    Case("weights_too_large", "sigmoids, weights of 40",
         of(data.moons, hidden=(12, 12), epochs=200, init=Normal(40.0), optimizer=SGD(0.1), **SIGMOID),
         cure=of(data.moons, hidden=(12, 12))),
    Case("vanishing_gradient", "eight layers of sigmoids", of(data.moons, hidden=DEEP, optimizer=SGD(0.3), **SIGMOID),
         cure=of(data.moons, hidden=DEEP, **RELU)),
    Case("vanishing_gradient", "ten layers of small tanh",
         of(data.rings, hidden=DEEPER, epochs=100, init_scale=0.25, optimizer=SGD(0.1))),
    Case("weights_too_large", "eight relu layers, weights five times too large",
         of(data.friedman, hidden=(16,) * 7, epochs=30, init_scale=5.0, **RELU),
         cure=of(data.friedman, hidden=(16,) * 4, **RELU), also=("learning_rate_too_high",)),
    Case("weights_too_large", "six layers, weights of 3",
         of(data.friedman, hidden=(20,) * 5, epochs=10, init=Normal(3.0), optimizer=SGD(1e-3), **LEAKY),
         also=("learning_rate_too_high",)),
]  # fmt: skip

# ---- the training

STUCK_STARTS = (0, 1, 5, 9, 16, 21, 24, 29)  # random states from which a 2-2-1 net ends in a local minimum of XOR


def stuck_xor(seed):
    start = STUCK_STARTS[seed % len(STUCK_STARTS)]
    settings = {"hidden": (2,), "epochs": 4000, "optimizer": SGD(1.0), **SIGMOID}
    return train(data.XOR_X, data.XOR_Y, random_state=start, **settings)


def stuck_relu(optimizer, epochs, hidden=(2,)):
    """Return a maker of ReLU nets for XOR that end in a local minimum, where some samples have the same output.

    The net has the first random state from 1000 seed on with which this training ends there.
    """

    def make(seed):
        for start in count(1000 * seed):
            found = of(xor, hidden=hidden, epochs=epochs, optimizer=optimizer, **RELU)(start)
            if 0.3 < found.history.loss[-1] < 0.6:
                return found

    return make


def another_start(optimizer, epochs, hidden=(2,), hidden_activation="relu"):
    """Return a maker of the best of 20 nets with other initial parameters."""

    def make(seed):
        pop = Population(
            (2, *hidden, 1), 20, hidden_activation=hidden_activation, loss="binary_cross_entropy", random_state=seed
        )
        pop.fit(data.XOR_X, data.XOR_Y, epochs=epochs, optimizer=optimizer, verbose=0)
        return Trained(pop.best(), data.XOR_X, data.XOR_Y)

    return make


TRAINING = [
    Case("learning_rate_too_high", "descent, 10 times too far", of(data.friedman, epochs=100, optimizer=SGD(1.5)),
         cure=of(data.friedman, optimizer=SGD(0.05))),
    Case("learning_rate_too_high", "Adam at 1",
         of(data.rings, hidden=(16, 16), epochs=100, optimizer=Adam(1.0), batch_size=16),
         cure=of(data.rings, hidden=(16, 16)), also=("weights_too_large",)),
    Case("learning_rate_too_high", "relu, diverged",
         of(data.friedman, hidden=(32, 32), epochs=50, optimizer=SGD(5.0), **RELU), also=("weights_too_large",)),
    Case("learning_rate_too_low", "descent at 1e-5", of(data.friedman, epochs=200, optimizer=SGD(1e-5)),
         cure=of(data.friedman, epochs=200, optimizer=SGD(0.1))),
    Case("learning_rate_too_low", "Adam at 1e-6", of(data.blobs, epochs=200, optimizer=Adam(1e-6)),
         cure=of(data.blobs, epochs=200)),
    Case("learning_rate_too_low", "descent at 1e-4, rate unknown",
         losses_only(of(data.blobs, epochs=100, optimizer=SGD(1e-4)))),
    Case("learning_rate_too_low", "descent, gradients of 1e-5",
         of(data.friedman, epochs=200, optimizer=SGD(0.1, clip_norm=1e-5)),
         cure=of(data.friedman, epochs=200, optimizer=SGD(0.1))),
    Case("learning_rate_too_low", "momentum, gradients too short for float32",
         of(data.rings, epochs=100, optimizer=SGD(0.1, momentum=0.9, clip_norm=1e-10)),
         cure=of(data.rings, epochs=500, optimizer=SGD(0.1, momentum=0.9, clip_norm=1.0))),
    Case("weight_decay_too_high", "descent, a decay of 1",
         of(data.rings, epochs=300, optimizer=SGD(0.1, weight_decay=1.0), **RELU),
         cure=of(data.rings, epochs=300, optimizer=SGD(0.1, weight_decay=1e-3), **RELU)),
    Case("weight_decay_too_high", "AdamW, a decay of 30",
         of(data.rings, epochs=300, optimizer=AdamW(0.01, weight_decay=30.0)),
         cure=of(data.rings, epochs=300, optimizer=AdamW(0.01, weight_decay=0.03))),
    Case("dropout_too_high", "nine in ten units, two layers",
         of(data.rings, hidden=(32, 32), epochs=300, optimizer=Adam(1e-3), dropout=0.9, **RELU),
         cure=of(data.rings, hidden=(32, 32), epochs=600, optimizer=Adam(1e-3), dropout=0.2, **RELU)),
    Case("dropout_too_high", "regression, 19 in 20 units",
         of(data.friedman, hidden=(16, 16), epochs=300, dropout=0.95),
         cure=of(data.friedman, hidden=(16, 16), epochs=300, dropout=0.2)),
    Case("too_small", "a linear net for rings", of(data.rings, hidden=(), epochs=400), cure=of(data.rings, epochs=400)),
    Case("too_small", "one unit for five clouds", of(five_clouds, hidden=(1,), epochs=2500, optimizer=Adam(0.03)),
         cure=of(five_clouds, hidden=(8,), epochs=600, optimizer=Adam(0.03))),
    Case("too_small", "two identity layers", of(data.rings, hidden=(8, 8), hidden_activation="identity")),
    Case("weight_decay_too_high", "a penalty of 1", of(data.moons, epochs=400, l2=1.0),
         cure=of(data.moons, epochs=400, l2=1e-3)),
    Case("weight_decay_too_high", "regression, a penalty of 3", of(data.friedman, epochs=400, l2=3.0),
         cure=of(data.friedman, epochs=400, l2=3e-3)),
    Case("plateau", "XOR, two units, local minimum", stuck_xor, cure=another_start(SGD(1.0), 4000, **SIGMOID)),
    Case("plateau", "XOR, two ReLUs after Adam", stuck_relu(Adam(0.02), 2000), cure=another_start(Adam(0.02), 2000),
         also=("dead_units",)),
    Case("plateau", "XOR, two ReLUs after descent", stuck_relu(SGD(0.5), 3000), cure=another_start(SGD(0.5), 3000),
         also=("dead_units",)),
    Case("plateau", "XOR, two ReLUs after Rprop", stuck_relu("rprop", 600), cure=another_start("rprop", 600),
         also=("dead_units",)),
    Case("plateau", "XOR, four ReLUs after Adam, no history", without_history(stuck_relu(Adam(0.02), 2000, (4,))),
         cure=another_start(Adam(0.02), 2000, (4,)), also=("dead_units",)),
    Case("plateau", "tiny weights, saddle",
         of(data.blobs, hidden=(8, 8), optimizer=SGD(0.05), init_scale=1e-3),
         cure=of(data.blobs, hidden=(8, 8), epochs=200, optimizer="rprop")),
]  # fmt: skip

# ---- the bugs of commands/stuck_demo.py, in a hand-written net


def hand_written(bug, seed):
    net, losses = trained(bug, seed)
    if bug.name == "double sigmoid":  # the bug is in the forward pass, which the weights do not show
        return Trained(net.predict, data.XOR_X, ONE_HOT, losses)
    options = {"activations": ["sigmoid"] * len(net.W), "loss": "squared_error"}
    return Trained(net.as_arrays(), data.XOR_X, ONE_HOT, losses, options)


FOUNDING = [
    Case(bug.verdict, f"founding bug: {bug.name}", partial(hand_written, bug), cure=partial(hand_written, CURED))
    for bug in BUGS
]

CASES = [*HEALTHY, *DATA, *WEIGHTS, *TRAINING, *FOUNDING]
