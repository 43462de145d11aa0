"""Fits whose loss becomes infinite or NaN: the final parameters of the net, and the warnings."""

import signal
import warnings
from contextlib import nullcontext

import kernel_families
import numpy as np
import pytest

from fastmlp import MLP, SGD, DivergenceWarning
from fastmlp.execution import thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.kernels.cpu import backend

RNG = np.random.default_rng(3)
X = RNG.normal(size=(20, 3))
Y = np.tanh(X @ RNG.normal(size=(3, 2)))


def make(**settings):
    return MLP((3, 6, 2), **{"hidden_activation": "tanh", "random_state": 0, "dtype": "float64"} | settings)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("callbacks", ((), [lambda *_: None]), ids=["long calls", "by epoch"])
@pytest.mark.parametrize("activation", ("relu", "identity"))
def test_divergence_restores_finite_parameters(activation, callbacks, dtype):
    net = make(hidden_activation=activation, dtype=dtype)
    with pytest.warns(DivergenceWarning, match=r"finite.*Lower the learning rate \(it is 1e\+06\)") as caught:
        history = net.fit(X, Y, epochs=200, batch_size=5, optimizer=SGD(1e6), callbacks=callbacks, verbose=0)
    assert history.stopped_by == "divergence"
    assert history.epochs < 200
    assert np.isfinite(history.loss).all()
    assert np.isfinite(net.params).all()
    assert np.isfinite(net.loss_and_gradient(X, Y)[0])
    assert [warning.filename for warning in caught] == [__file__]
    net.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = net.fit(X, Y, epochs=200, optimizer=SGD(0.05), verbose=0)
    assert again.loss[-1] < again.loss[0]


def test_divergence_in_the_first_step_keeps_initial_parameters():
    net = make(dtype="float32", hidden_activation="identity")
    net.params[:] = 1e30
    with pytest.warns(DivergenceWarning, match="stopped being finite in epoch 1 of 5; "):
        history = net.fit(X, Y, epochs=5, optimizer=SGD(0.1), verbose=0)
    assert (history.stopped_by, history.epochs) == ("divergence", 0)
    np.testing.assert_array_equal(net.params, np.float32(1e30))


def test_divergence_with_early_stopping_keeps_finite_parameters():
    net = make(hidden_activation="identity")
    with pytest.warns(DivergenceWarning):
        history = net.fit(X, Y, epochs=200, optimizer=SGD(1e6), early_stopping=100, verbose=0)
    assert history.stopped_by == "divergence"
    assert np.isfinite(net.params).all()


@pytest.mark.parametrize("rate, is_sound", [(0.1, True), (1e200, False)])
def test_interruption_within_a_kernel_keeps_finite_parameters(rate, is_sound, monkeypatch):
    """Python sees the interrupt when the kernel returns: its parameters are kept if the loss is finite."""
    train, reached = backend.train, []

    def interrupted(*arguments):
        train(*arguments)
        reached.append(arguments[5].params.copy())
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(backend, "train", interrupted)
    net = make(hidden_activation="identity")
    start = net.params.copy()
    with nullcontext() if is_sound else pytest.warns(DivergenceWarning):
        history = net.fit(X, Y, epochs=1, batch_size=10, optimizer=SGD(rate), verbose=0)
    assert history.stopped_by == ("interrupt" if is_sound else "divergence")
    assert history.epochs == is_sound
    np.testing.assert_array_equal(net.params, reached[0][: start.size] if is_sound else start)


@pytest.mark.parametrize("family", ("batch_simd_data_parallel", "layerwise", "layerwise_data_parallel"))
def test_overflow_in_a_later_micro_batch_ends_the_fit(family, monkeypatch):
    kernel_families.use(family, monkeypatch)
    buffers.released.clear()
    monkeypatch.setattr(thresholds, "MICRO_BATCH_ROWS", 96)
    many, net = np.tile(X, (15, 1)), make(hidden_activation="relu")
    many[-1], start = 1e308, net.params.copy()
    with pytest.warns(DivergenceWarning):
        history = net.fit(many, np.tile(Y, (15, 1)), epochs=3, batch_size=300, shuffle=False, verbose=0)
    assert history.stopped_by == "divergence"
    np.testing.assert_array_equal(net.params, start)
