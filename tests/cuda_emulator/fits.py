"""Small fits that use every kind of kernel of the CUDA backend, and further fits that use every path through memory.

They must run inside cuda_emulator.installed(). Each is a function of a dtype that returns the final parameters. The
sources they compile are in cuda_emulator.sources.
"""

from __future__ import annotations

import numpy as np

import fastmlp
from fastmlp.execution.gpu_costs import BY_LAYERS, using

from .state import settings

ROWS = 24


def _data(n_features, n_classes=0):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, n_features))
    return X, rng.integers(0, n_classes, ROWS) if n_classes else (X[:, 0] > 0).astype(float)


def nets_in_threads(dtype):
    """Train tiny nets, one per thread, by unrolled code."""
    pop = fastmlp.Population(
        (2, 2, 1),
        130,
        hidden_activation="tanh",
        loss="binary_cross_entropy",
        device="cuda",
        random_state=0,
        dtype=dtype,
    )
    pop.fit(*_data(2), epochs=2, optimizer="adam")
    return pop.params


def nets_in_blocks(dtype):
    """Train nets with dropout, one per block, by loops over layers."""
    pop = fastmlp.Population(
        (4, 9, 3),
        3,
        hidden_activation="gelu",
        loss="softmax_cross_entropy",
        dropout=0.25,
        device="cuda",
        random_state=0,
        dtype=dtype,
    )
    pop.fit(*_data(4, 3), epochs=2, batch_size=8, optimizer="rmsprop")
    return pop.params


@using(BY_LAYERS)
def nets_in_step(dtype):
    """Train nets by batched_gemm, one product per layer for all nets; each has its own order, dropout and end."""
    pop = fastmlp.Population(
        (4, 100, 100, 3),
        3,
        hidden_activation="gelu",
        loss="softmax_cross_entropy",
        dropout=[0.0, 0.1, 0.2],
        device="cuda",
        random_state=0,
        dtype=dtype,
    )
    X, y = _data(4, 3)
    pop.fit(
        X,
        y,
        epochs=2,
        batch_size=8,
        optimizer=fastmlp.Adam(0.01, clip_norm=1.0),
        validation_data=(X, y),
        early_stopping=1,
        verbose=0,
    )
    return pop.params


def one_small_net(dtype):
    """Train a single net by the kernels of `nets_in_blocks`."""
    net = fastmlp.MLP(
        (4, 16, 16, 3),
        hidden_activation="relu",
        loss="softmax_cross_entropy",
        device="cuda",
        random_state=0,
        dtype=dtype,
    )
    net.fit(*_data(4, 3), epochs=2, batch_size=8, optimizer="sgd")
    return net.params


def one_wide_net(dtype):
    """Train a net layerwise, by products and element-wise passes."""
    net = fastmlp.MLP(
        (4, 150, 150, 3),
        hidden_activation="silu",
        loss="softmax_cross_entropy",
        dropout=0.25,
        device="cuda",
        random_state=0,
        dtype=dtype,
    )
    net.fit(*_data(4, 3), epochs=1, batch_size=8, optimizer="adam")
    return net.params


def one_wide_net_streamed(dtype):
    """Train on inputs that do not fit into device memory: a batch is copied while the batch before it is trained.

    The device reports little free memory from now on, so this is the last of the fits.
    """
    net = fastmlp.MLP((40, 150, 150, 2), hidden_activation="tanh", device="cuda", random_state=0, dtype=dtype)
    rng, n = np.random.default_rng(0), 100
    X, y = rng.normal(size=(n, 40)).astype(dtype), rng.normal(size=(n, 2))
    settings.free = X.nbytes
    net.fit(X, y, epochs=3, batch_size=16, optimizer="adam")
    return net.params


# ---- more paths through memory, for AddressSanitizer


def _wide(sizes, **settings):
    return fastmlp.MLP(sizes, **{"hidden_activation": "gelu", "device": "cuda", "random_state": 0} | settings)


def replayed_steps(dtype):
    """Train by Rprop, which compares objectives, with clipping, sample weights and a smaller last batch."""
    net = _wide((4, 150, 30, 3), dropout=0.25, loss="softmax_cross_entropy", dtype=dtype)
    weight, optimizer = np.linspace(0.5, 1.5, ROWS), fastmlp.Rprop(0.01, clip_norm=1.0)
    net.fit(*_data(4, 3), epochs=5, batch_size=7, optimizer=optimizer, sample_weight=weight)
    return net.params


def gradient_of_a_wide_net(dtype):
    """Return a gradient where bias gradients are reduced, samples end within a chunk, and outputs exceed a warp."""
    net, rng = _wide((3, 150, 150, 37), loss="softmax_cross_entropy", l2=0.01, dtype=dtype), np.random.default_rng(0)
    net.fit(X := rng.normal(size=(133, 3)), y := rng.integers(0, 37, 133), epochs=1, optimizer="sgd")
    net.evaluate(X, y)
    return net.loss_and_gradient(X, y)[1]


def nets_in_workspace(dtype):
    """Train nets, one per block, with the arrays of a block in global memory, validation data and early stopping."""
    from fastmlp.kernels.cuda.population import train

    before, train.shared_limit = train.shared_limit, lambda: 0
    try:
        pop = fastmlp.Population((4, 9, 5, 3), 3, hidden_activation="silu", device="cuda", random_state=0, dtype=dtype)
        X, y = _data(4)
        data = X, np.stack([y, 1.0 - y, X[:, 0]], axis=1)
        pop.fit(
            *data,
            epochs=4,
            batch_size=7,
            optimizer=fastmlp.Quickprop(0.1, clip_norm=1.0),
            validation_data=data,
            early_stopping=2,
        )
        pop.predict(data[0])
    finally:
        train.shared_limit = before
    return pop.params


@using(BY_LAYERS)
def nets_in_bfloat16(dtype):
    """Train a net and nets in step with operands in bfloat16, of odd widths, with dropout, and predict with them.

    Batches are gathered, and held-out samples are rounded where they are.
    """
    (X, y), found = _data(4, 3), []
    for make in (fastmlp.MLP, lambda sizes, **settings: fastmlp.Population(sizes, 3, **settings)):
        settings = {"loss": "softmax_cross_entropy", "dropout": 0.2, "precision": "bfloat16", "dtype": dtype}
        nets = make((4, 33, 7, 3), hidden_activation=("silu", "tanh"), device="cuda", random_state=0, **settings)
        fit = {"validation_data": (X[:5], y[:5]), "early_stopping": 1, "verbose": 0}
        nets.fit(X, y, epochs=3, batch_size=7, optimizer=fastmlp.Adam(0.1, clip_norm=1.0), **fit)
        nets.predict(X)
        found.append(np.array(nets.params).ravel())
    return np.concatenate(found)


def streamed_in_order(dtype):
    """Train on streamed inputs with sample weights and a smaller last batch, and evaluate in parts.

    The device reports little free memory from now on.
    """
    from fastmlp.execution import thresholds

    before, thresholds.DEVICE_EVALUATION_ROWS = thresholds.DEVICE_EVALUATION_ROWS, 30
    try:
        net, rng = _wide((40, 150, 150, 2), dtype=dtype), np.random.default_rng(0)
        X, y = rng.normal(size=(100, 40)).astype(dtype), rng.normal(size=(100, 2))
        settings.free = X.nbytes
        net.fit(X, y, epochs=2, batch_size=16, shuffle=False, sample_weight=rng.random(100), optimizer="sgd")
        net.predict(X)
        net.evaluate(X, y)
    finally:
        thresholds.DEVICE_EVALUATION_ROWS = before
    return net.params


# ---- more kernels to compile: gradients without an update, and the nets of bench/gpu/run.py


def gradients(dtype):
    """Return the gradient of a net by small_net."""
    return _wide((4, 9, 3), loss="softmax_cross_entropy", dtype=dtype).loss_and_gradient(*_data(4, 3))[1]


def nets_that_are_measured(dtype):
    """Train the net for digits, and narrow layers in bfloat16."""
    found, rng = [], np.random.default_rng(0)
    for sizes, precision in (((64, 64, 32, 10), "exact"), ((64, 64, 64, 64, 64, 16), "bfloat16")):
        net = fastmlp.MLP(
            sizes, loss="softmax_cross_entropy", device="cuda", random_state=0, precision=precision, dtype=dtype
        )
        net.fit(rng.normal(size=(ROWS, sizes[0])), rng.integers(0, 10, ROWS), epochs=1, batch_size=8)
        found.append(np.array(net.params))
    return np.concatenate(found)


FITS = (nets_in_threads, nets_in_blocks, nets_in_step, one_small_net, one_wide_net, one_wide_net_streamed)
MORE_FITS = (replayed_steps, gradient_of_a_wide_net, nets_in_workspace, nets_in_bfloat16, streamed_in_order)
COMPILED_FITS = (gradients, nets_that_are_measured, *MORE_FITS[:-1])
