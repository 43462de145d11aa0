"""The table of cases that train one net: groups xor, minibatch and large, and the curves over its sizes.

training_case.py has the class of these cases, which competitors import, too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from competitors import (
    ARITHMETIC,
    CHAIN,
    CURVE,
    FIRST_FITS,
    GPU_PRODUCTS,
    GPU_TRAINING,
    LIMITED,
    PRODUCTS,
    TRAINING,
    Competitor,
)

from suite import data
from suite.case import CaseEntry, fits
from suite.machine import cpus
from suite.training_case import TrainingCase

MNIST_ROWS = 8192  # with half as many, the set-up of a fit was a tenth of a step of batch 1024
XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR_Y = np.array([[0], [1], [1], [0]], np.float32)


def _xor(name, layer_sizes, activation, loss, optimizer, rate, *, batch_size=4, start_seed=0, start_scale=1.0):
    y, output = XOR_Y, "softmax" if loss == "softmax_cross_entropy" else "sigmoid"
    if output == "softmax":
        y = XOR_Y[:, 0].astype(np.int64)
    elif layer_sizes[-1] == 2:
        y = np.eye(2, dtype=np.float32)[XOR_Y[:, 0].astype(int)]
    return TrainingCase(
        name, "XOR", "xor", "epoch", layer_sizes, activation, output, loss, optimizer, rate, XOR_X, y, batch_size, 5000,
        "the four rows", verify_steps=4, verify_runs=200, start_seed=start_seed, start_scale=start_scale,
    )  # fmt: skip


def _xor_entry(name, competitors, *job, in_quick=False, **others) -> CaseEntry:
    return CaseEntry(name, "xor", competitors, partial(_xor, name, *job, **others), in_quick)


def _softmax(name, label, group, layer_sizes, X, y, batch_size, most_runs, source, **others) -> TrainingCase:
    rows = len(X) // batch_size * batch_size
    X, y = np.ascontiguousarray(X[:rows], np.float32), np.ascontiguousarray(y[:rows], np.int64)
    return TrainingCase(
        name, label, group, others.pop("unit", "step"), layer_sizes, "relu", "softmax", "softmax_cross_entropy",
        "adam", 1e-3, X, y, batch_size, most_runs, source, **others,
    )  # fmt: skip


def _label(name: str, source: str) -> str:
    """The name of the data in a title; random stand-ins do not get the name of the data that they replace."""
    return f"random as {name}" if source.startswith("random") else name


def _digits(name, batch_size: int, most_runs: int) -> TrainingCase:
    X, y, source = data.digits()
    return _softmax(name, _label("digits", source), "minibatch", (64, 64, 32, 10), X, y, batch_size, most_runs, source)


def _mnist(name, batch_size: int, **others) -> TrainingCase:
    X, y, source = data.mnist(MNIST_ROWS // batch_size * batch_size)  # the time of a step does not depend on the rows
    return _softmax(
        name, _label("MNIST", source), others.pop("group", "large"), (784, 512, 512, 10), X, y, batch_size, 1,
        f"{source}, {len(X):,} rows", **others,
    )  # fmt: skip


def _table4096(name) -> TrainingCase:
    X, y, source = data.covertype(8192)
    return _softmax(name, "table", "large", (54, 1024, 1024, 7), X, y, 4096, 1, source, verify_steps=2)


def _gpu(name, layer_sizes, batch_size, precision) -> TrainingCase:
    X, y, source = data.random_classes(8, 4 * batch_size, layer_sizes[0], layer_sizes[-1])
    return _softmax(
        name, "random", "large", layer_sizes, X, y, batch_size, 1000, source, verify_steps=2, verify_runs=1,
        precision=precision,
    )  # fmt: skip


def _gpu_entry(layer_sizes, batch_size, precision="exact") -> CaseEntry:
    name = f"gpu_{'-'.join(map(str, layer_sizes))}_{batch_size}_{precision}"
    build = partial(_gpu, name, layer_sizes, batch_size, precision)
    return CaseEntry(name, "large", (*GPU_PRODUCTS, *GPU_TRAINING), build)


def _moons1000(name) -> TrainingCase:
    rng = np.random.default_rng(6)
    angle, upper = rng.uniform(0, np.pi, 1000), np.arange(1000) % 2
    X = np.stack([np.cos(angle), np.sin(angle)]) * (2 * upper - 1) + np.outer([0.5, -0.25], 1 - 2 * upper)
    X = np.ascontiguousarray((X + 0.1 * rng.standard_normal(X.shape)).T, np.float32)
    y = np.ascontiguousarray(upper[:, None], np.float32)
    return TrainingCase(
        name, "half moons", "minibatch", "step", (2, 16, 16, 1), "relu", "sigmoid", "binary_cross_entropy", "adam",
        1e-3, X, y, 1000, 2000, "random",
    )  # fmt: skip


def _regression256(name) -> TrainingCase:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((10240, 100), np.float32)
    y = np.sin(X[:, :1]) + 0.5 * X[:, 1:2] * X[:, 2:3] + 0.1 * rng.standard_normal((10240, 1), np.float32)
    y = np.ascontiguousarray(y, np.float32)
    return TrainingCase(
        name, "regression", "minibatch", "step", (100, 256, 256, 1), "relu", "identity", "squared_error", "adam", 1e-3,
        X, y, 256, 4, "random",
    )  # fmt: skip


def _random(name, layer_sizes, batch_size, n_steps, axis, x, unit="step") -> TrainingCase:
    """A case on random data: one point of a scaling curve."""
    X, y, source = data.random_classes(5, batch_size * n_steps, layer_sizes[0], layer_sizes[-1])
    return _softmax(
        name, "random", "scaling", layer_sizes, X, y, batch_size, 4000, source, unit=unit,
        curve={"name": CURVES[axis], "axis": axis, "x": x},
    )  # fmt: skip


CURVES = {
    "samples": "64-64-32-10, batch 32: a step against the number of samples",
    "units in a hidden layer": "64-w-w-10, batch 128: a step against the width w",
    "hidden layers": "64-64-...-10, batch 128: a step against the depth",
    "rows in a batch": "64-64-32-10: a row against the rows in a batch",
    "threads": "784-512-512-10, batch 1024: a step against threads",
}


def _points(axis: str, label: str, values, point, largest=()) -> list[CaseEntry]:
    """Cases of one scaling curve, one for each value on its axis.

    point : function of a value that returns (layer_sizes, batch_size, n_steps, unit)
    largest : values that are left out where memory is too small for them
    """
    entries = []
    for x in (*values, *(x for x in largest if fits(_numbers(*point(x))))):
        name = f"{label}-{x}"
        sizes, batch, n_steps, unit = point(x)
        build = partial(_random, name, sizes, batch, n_steps, axis, x, unit)
        entries.append(CaseEntry(name, "scaling", (*PRODUCTS, *ARITHMETIC, *CURVE), build, largest=x in largest))
    return entries


def _numbers(layer_sizes, batch_size, n_steps, unit) -> int:
    """How many numbers training keeps: samples, targets, activations, deltas, parameters, gradient, state."""
    params = sum(i * j for i, j in pairwise(layer_sizes))
    samples = batch_size * n_steps * (layer_sizes[0] + layer_sizes[-1])
    return samples + 3 * batch_size * sum(layer_sizes) + 4 * params


def _thread_points() -> list[CaseEntry]:
    counts = sorted({2**k for k in range(cpus().bit_length()) if 2**k <= cpus()} | {cpus()})
    entries = []
    for n in counts:
        name, curve = f"threads-{n}", {"name": CURVES["threads"], "axis": "threads", "x": n}
        build = partial(_mnist, name, 1024, group="scaling", threads=(n,), curve=curve, verify_steps=1)
        entries.append(CaseEntry(name, "scaling", (*PRODUCTS, *ARITHMETIC, *CURVE), build))
    return entries


def _without_compiled(competitors: tuple[Competitor, ...], reason: str) -> tuple[Competitor, ...]:
    """The competitors, with the compiled form of PyTorch left out for this reason."""
    return tuple(
        replace(competitor, left_out=reason) if competitor.name == "torch compiled" else competitor
        for competitor in competitors
    )


ALL_FORMS = (*PRODUCTS, *ARITHMETIC, *TRAINING)
LARGE = (*ALL_FORMS, *LIMITED)
TINY = (CHAIN, *TRAINING, FIRST_FITS)  # smaller matrices do not pay a call of BLAS
# PyTorch compiles for long, and then trains a tiny net a hundred times slower: measured for one of the five nets only.
TINY_UNCOMPILED = _without_compiled(TINY, "compiles for 20 seconds; see the cross-entropy net")
UNCOMPILED = _without_compiled(ALL_FORMS, "compiles for 20 seconds; see batch 32")
ENTRIES = (
    # A start from which 5000 epochs do learn XOR; most smaller ones stay at 0.5.
    _xor_entry("squared_error", TINY_UNCOMPILED, (2, 2, 2, 1), "sigmoid", "squared_error", "sgd", 0.15, start_seed=6,
               start_scale=3.0),
    _xor_entry("one_hot_per_sample", TINY_UNCOMPILED, (2, 2, 2, 2), "sigmoid", "squared_error", "sgd", 1.0,
               batch_size=1, start_scale=3.0),
    _xor_entry("cross_entropy", TINY, (2, 2, 2, 1), "sigmoid", "binary_cross_entropy", "sgd", 0.15, start_seed=6,
               start_scale=3.0, in_quick=True),
    _xor_entry("relu_adam", TINY_UNCOMPILED, (2, 4, 4, 1), "relu", "binary_cross_entropy", "adam", 1e-3, start_seed=4),
    _xor_entry("relu_adam_softmax", TINY_UNCOMPILED, (2, 4, 4, 2), "relu", "softmax_cross_entropy", "adam", 1e-3,
               start_seed=2),
    CaseEntry("digits32", "minibatch", ALL_FORMS, partial(_digits, "digits32", 32, 100), in_quick=True),
    CaseEntry("digits200", "minibatch", UNCOMPILED, partial(_digits, "digits200", 200, 200)),
    CaseEntry("moons1000", "minibatch", UNCOMPILED, partial(_moons1000, "moons1000")),
    CaseEntry("regression256", "minibatch", ALL_FORMS, partial(_regression256, "regression256")),
    CaseEntry("mnist128", "large", LARGE, partial(_mnist, "mnist128", 128), in_quick=True),
    CaseEntry("mnist1024", "large", LARGE, partial(_mnist, "mnist1024", 1024)),
    CaseEntry("table4096", "large", LARGE, partial(_table4096, "table4096")),
    _gpu_entry((64, 100, 10), 200),
    _gpu_entry((784, 512, 512, 10), 1024, "tf32"),
    _gpu_entry((784, 512, 512, 10), 1024, "bfloat16"),
    *_points("samples", "samples", (32, 65536),
             lambda n: ((64, 64, 32, 10), 32, n // 32, "step"), largest=(1_048_576, 4_194_304)),
    *_points("units in a hidden layer", "width", (8, 64, 512, 2048),
             lambda w: ((64, w, w, 10), 128, 8, "step"), largest=(8192, 16384)),
    *_points("hidden layers", "depth", (1, 16),
             lambda d: ((64, *[64] * d, 10), 128, 8, "step"), largest=(64, 256)),
    *_points("rows in a batch", "batch", (1, 16, 256, 4096),
             lambda n: ((64, 64, 32, 10), n, max(1, min(4096 // n, 1024)), "row"), largest=(32_768, 262_144)),
    *_thread_points(),
)  # fmt: skip
