"""Training step by step in every kernel family: update rules, penalties, clipping, schedules and rate factors, compared
with the float64 reference.
"""

import dataclasses
from functools import cache
from itertools import product

import kernel_families
import numpy as np
import pytest
import reference_optimizers
from net_cases import reference_of
from tolerances import TOLERANCES

import fastmlp
from fastmlp import MLP, SGD, Adagrad, Adam, AdamW, Quickprop, RMSprop, Rprop
from fastmlp.kernels.cpu.workspace import LARGE_NET_PARAMS
from fastmlp.kernels.structs import HYPER
from fastmlp.schedules import Cosine, OneCycle, Step, Warmup

RULES = (
    SGD(0.1),
    SGD(0.05, momentum=0.8),
    SGD(0.05, momentum=0.8, nesterov=True),
    Adam(0.01, beta1=0.8, beta2=0.95),
    AdamW(0.01, weight_decay=0.2),
    RMSprop(0.01, beta2=0.8, epsilon=0.02),  # with a small epsilon it circles a minimum and magnifies rounding
    Adagrad(0.05, epsilon=1e-4),
    Quickprop(0.05, growth=1.5),
    Rprop(0.02, growth=1.1, shrink=0.4, smallest=1e-3, biggest=0.1),
)
RULES += tuple(  # rows of the table that are not above
    getattr(fastmlp, kind)(0.01, **settings)
    for name, (kind, settings) in reference_optimizers.EXAMPLES.items()
    if name not in {optimizer.rule.name for optimizer in RULES}
)
LAYERS = {"weights": 2.0, (0, "weights"): 0.5, -1: 3.0, (1, "biases"): 0.0}  # learning_rate_factors, and in each layer
OF_LAYERS = ((1, 1), (2, 0), (6, 3))  # the factors of weights and biases that they are
WEIGHT = np.random.default_rng(0).random(14) + 0.1


class Setting:
    """What a case changes in the optimiser, in the net and in the fit, and learning-rate factors of the reference."""

    def __init__(self, rate_factors=None, l2=0.0, epochs=8, batch_size=4, schedule=None, weight=None, **of_optimizer):
        self.rate_factors, self.l2, self.of_optimizer = rate_factors, l2, of_optimizer
        self.fit = {"epochs": epochs, "batch_size": batch_size, "schedule": schedule, "sample_weight": weight}


SETTINGS = {
    "all samples in a batch": Setting(epochs=10, batch_size=None),  # Quickprop magnifies rounding by 3 a step
    "batches of four, the last of two": Setting(),
    "batches of one": Setting(epochs=3, batch_size=1),
    "a penalty, in the gradient of weights only": Setting(l2=0.3),
    "weights only decay, by the scheduled rate": Setting(weight_decay=0.3, schedule=Step(0.5, share=0.4)),
    "all steps are clipped": Setting(l2=0.1, clip_norm=0.05),
    "some steps are clipped": Setting(l2=0.1, clip_norm=0.5),
    "no step is clipped": Setting(l2=0.1, clip_norm=1e9),
    "cosine": Setting(schedule=Cosine(0.1)),
    "warmup": Setting(schedule=Warmup(7, "exponential")),
    "one cycle": Setting(schedule=OneCycle()),
    "factors of biases": Setting(((1, 0.1),) * 3, learning_rate_factors={"biases": 0.1}, weight_decay=0.1),
    "factors of layers": Setting(OF_LAYERS, learning_rate_factors=LAYERS, weight_decay=0.1),
    "all of them": Setting(
        OF_LAYERS,
        l2=0.1,
        schedule=OneCycle(),
        weight=WEIGHT,
        clip_norm=0.3,
        weight_decay=0.1,
        learning_rate_factors=LAYERS,
    ),
    "all but factors": Setting(l2=0.1, schedule=OneCycle(), weight=WEIGHT, clip_norm=0.3, weight_decay=0.1),
    "batches of one, all but factors": Setting(
        l2=0.1, batch_size=1, epochs=3, schedule=OneCycle(), weight=WEIGHT, clip_norm=0.3, weight_decay=0.1
    ),
}


def samples(sizes):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(14, sizes[0]))
    return X, np.sin(X.sum(axis=1, keepdims=True)) + 0.1 * rng.normal(size=(14, sizes[-1]))


def make(sizes, dtype, l2):
    return MLP(sizes, hidden_activation="tanh", l2=l2, dtype=dtype, random_state=2)


@cache
def expected(k, name, sizes):
    """Return (parameters before, after, losses) of the reference's training by rule k."""
    setting, optimizer = SETTINGS[name], optimizer_of(k, name)
    reference = reference_of(make(sizes, "float64", setting.l2))
    before, fit = reference.params, setting.fit
    losses = reference_optimizers.train(
        reference,
        *samples(sizes),
        type(optimizer).__name__,
        {key: value for key, value in optimizer.settings.items() if key in HYPER or key == "nesterov"},
        epochs=fit["epochs"],
        batch_size=fit["batch_size"],
        factors=None if fit["schedule"] is None else fit["schedule"].factors,
        rate_factors=setting.rate_factors,
        weight=None if fit["sample_weight"] is None else WEIGHT / WEIGHT.mean(),
    )
    return before, reference.params, losses


def optimizer_of(k, name):
    return dataclasses.replace(RULES[k], **SETTINGS[name].of_optimizer)


def assert_same_training(k, name, dtype, sizes):
    before, params, losses = expected(k, name, sizes)
    net = make(sizes, dtype, SETTINGS[name].l2)
    fit = {"optimizer": optimizer_of(k, name), "shuffle": False, "verbose": 0, **SETTINGS[name].fit}
    history = net.fit(*samples(sizes), **fit)
    tolerance, case = TOLERANCES["training", dtype], f"{optimizer_of(k, name).rule.name}: {name}"
    assert np.abs(params - before).max() > 100 * tolerance, f"nothing was learned, so nothing is compared: {case}"
    np.testing.assert_allclose(net.params, params, rtol=tolerance, atol=tolerance, err_msg=case)
    np.testing.assert_allclose(history.loss, losses, rtol=tolerance, atol=tolerance, err_msg=case)


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_every_update_rule_with_every_setting_matches_the_reference(family, dtype):
    """But Rprop with learning_rate_factors, which it refuses: its step sizes are its own."""
    for k, name in product(range(len(RULES)), SETTINGS):
        if not (SETTINGS[name].rate_factors and isinstance(RULES[k], Rprop)):
            assert_same_training(k, name, dtype, (3, 5, 4, 2))


@pytest.mark.parametrize("sizes", [(3, 300, 18, 2), (3, 1100, 2)])
def test_batches_of_one_in_wide_layers_match_the_reference(sizes, monkeypatch):
    """Layers that are no multiple of a vector, and wider than the block of a product and that of an update."""
    kernel_families.use("layerwise", monkeypatch)
    for k, name in product(range(len(RULES)), ("batches of one", "batches of one, all but factors")):
        assert_same_training(k, name, "float64", sizes)


def descend(net, X, y, rate, epochs, size):
    """Return the parameters of a net after gradient descent by the reference, with batches in order."""
    reference = reference_of(net)
    for first in [*range(0, len(X), size)] * epochs:
        rows = slice(first, first + size)
        reference.params -= rate * reference.loss_and_gradient(X[rows], y[rows])[1]
    return reference.params


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_batches_of_any_size_match_the_reference(family, dtype, rng, threads):
    """Batches around the sizes of vectors and shards, on one thread and on two; some in micro-batches."""
    for n, n_threads in product((1, 4, 16, 17, 33, 130, 700, 4100), (1, 2)):
        threads(1 if family in ("batch_simd_4", "batch_simd_16") else n_threads)
        net = MLP((4, 9, 2), hidden_activation="tanh", dtype=dtype, random_state=1)
        size = kernel_families.rows_for(family, n)
        X, y = rng.normal(size=(n, 4)), rng.normal(size=(n, 2))
        expected = descend(net, X, y, 0.01, 3, size)
        net.fit(X, y, epochs=3, batch_size=size, optimizer=SGD(0.01), shuffle=False, verbose=0)
        tolerance = TOLERANCES["training", dtype]
        np.testing.assert_allclose(net.params, expected, rtol=tolerance, atol=tolerance, err_msg=f"{n}, {n_threads}")


def test_weights_larger_than_the_cache_match_the_reference(threads, rng, monkeypatch):
    """Packed copies of the weights are written past the caches, each by one thread for all."""
    kernel_families.use("layerwise", monkeypatch)
    X, y = rng.normal(size=(48, 16)), rng.normal(size=(48, 4))
    for n_threads in (1, 2):
        threads(n_threads)
        net = MLP((16, 1450, 1450, 4), hidden_activation="tanh", dtype="float64", random_state=1)
        assert net.params.size > LARGE_NET_PARAMS
        expected = descend(net, X, y, 0.1, 2, 24)
        net.fit(X, y, epochs=2, batch_size=24, optimizer=SGD(0.1), shuffle=False, verbose=0)
        np.testing.assert_allclose(net.params, expected, rtol=1e-11, atol=1e-13)


def test_a_clipped_step_has_length_clip_norm_where_squares_overflow(family, rng):
    """Squares of gradients of 1e160 overflow in float64; a step of length 0 would leave the net as it is for ever."""
    for size in (1.0, 1e160, 1e200):
        X, y = rng.normal(size=(40, 7)) * size, np.zeros((40, 3))
        net = MLP((7, 5, 3), hidden_activation="identity", loss="huber", dtype="float64", random_state=0, device="cpu")
        before = net.params.copy()
        net.fit(X, y, epochs=1, optimizer=SGD(1.0, clip_norm=0.01), verbose=0)
        assert np.linalg.norm(net.params - before) == pytest.approx(0.01, rel=1e-9)


def test_fits_of_other_batch_sizes_go_on_from_the_parameters(monkeypatch, rng):
    """Larger batches read packed weights, which must be packed again after batches of one sample."""
    kernel_families.use("layerwise", monkeypatch)
    net = MLP((5, 300, 18, 3), hidden_activation="tanh", dtype="float64", random_state=2)
    X, y = rng.normal(size=(14, 5)), rng.normal(size=(14, 3))
    for size in (5, 1, 14):
        expected = descend(net, X, y, 0.01, 2, size)
        net.fit(X, y, epochs=2, batch_size=size, optimizer=SGD(0.01), shuffle=False, verbose=0)
        np.testing.assert_allclose(net.params, expected, rtol=1e-10, atol=1e-12)
