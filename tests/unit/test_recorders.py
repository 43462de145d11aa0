"""Recorder callbacks: `Snapshots` of parameters, and `LayerRecorder` of activations and gradients."""

from types import SimpleNamespace

import numpy as np
import pytest
from image_comparison import SOLVED, xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.recorders import activity


def run(recorder, epochs):
    history = SimpleNamespace(net=SimpleNamespace(params=np.zeros(1)))
    for epoch in range(epochs):
        history.net.params[:] = epoch
        recorder(epoch, history)
    return recorder


@pytest.mark.parametrize("epochs", [1, 7, 8, 9, 100, 1001])
def test_snapshots_stay_few_and_evenly_spaced(epochs):
    snapshots = run(fastmlp.Snapshots(max_records=8), epochs)
    assert min(epochs, 4) <= len(snapshots.epochs) <= 8
    assert snapshots.epochs[0] == 0
    assert len(set(np.diff(snapshots.epochs))) <= 1
    np.testing.assert_array_equal(snapshots.params[:, 0], snapshots.epochs)
    assert epochs - 1 - snapshots.epochs[-1] < max(1, np.diff(snapshots.epochs).max(initial=1))


def test_recorders_change_no_bit_of_training():
    plain, recorded = (fastmlp.MLP((2, 3, 1), loss="binary_cross_entropy", random_state=0) for _ in range(2))
    plain.fit(XOR_X, XOR_Y, epochs=20, callbacks=[lambda *_: None])
    snapshots, layers = fastmlp.Snapshots(), fastmlp.LayerRecorder(XOR_X, XOR_Y)
    recorded.fit(XOR_X, XOR_Y, epochs=20, callbacks=[snapshots, layers])
    np.testing.assert_array_equal(plain.params, recorded.params)
    np.testing.assert_array_equal(snapshots.params[-1], recorded.params)
    assert snapshots.net is layers.net is recorded


def test_second_fit_clears_the_snapshots():
    snapshots, net = fastmlp.Snapshots(), fastmlp.MLP((2, 1), random_state=0)
    net.fit(XOR_X, XOR_Y, epochs=9, callbacks=[snapshots])
    history = net.fit(XOR_X, XOR_Y, epochs=3, callbacks=[snapshots])
    assert snapshots.epochs == [0, 1, 2]
    assert snapshots.history is history


def test_layer_recorder_worked_by_hand():
    """Saturating sigmoid units on the four samples of XOR: z is 8 * (sum of inputs - 0.5) and 8 * (sum - 1.5)."""
    spread, flat = activity(xor_net(SOLVED), XOR_X)
    a = 1 / (1 + np.exp(-8.0 * np.array([[-0.5, -1.5], [0.5, -0.5], [0.5, -0.5], [1.5, 0.5]])))
    assert spread[0] == pytest.approx(a.std(axis=0).mean(), rel=1e-5)
    assert spread[1] == pytest.approx(xor_net().predict(XOR_X).std(), rel=1e-5)
    assert flat.tolist() == [(a * (1 - a) < 0.05 * 0.25).mean()] == [0.25]
    recorder = fastmlp.LayerRecorder(XOR_X, XOR_Y)
    net = xor_net()
    recorder(0, SimpleNamespace(net=net))
    _, gradient = net.loss_and_gradient(XOR_X, XOR_Y)
    expected = [np.sqrt((gradient[:4] ** 2).mean()), np.sqrt((gradient[6:8] ** 2).mean())]
    np.testing.assert_allclose(recorder.gradient, [expected], rtol=1e-5)


@pytest.mark.parametrize("name", [row.name for row in ACTIVATIONS if row.hidden])
def test_every_activation_saturates_only_at_large_inputs(name, rng):
    net = fastmlp.MLP((3, 50, 2), hidden_activation=name, loss="softmax_cross_entropy", random_state=0)
    X = rng.normal(size=(200, 3))
    spread, flat = activity(net, X)
    assert spread[1] == pytest.approx(net.predict(X).std(axis=0).mean(), rel=1e-4)
    assert 0 <= flat[0] < 0.6
    net.params *= 1e4
    if name in ("sigmoid", "tanh", "softsign", "symmetric_sigmoid", "fahlman_sigmoid"):
        assert activity(net, X)[1][0] > 0.9


def test_dead_units_count_as_saturated(rng):
    net = fastmlp.MLP((2, 4, 1), random_state=0)
    net.biases[0][:] = -100.0
    assert activity(net, rng.normal(size=(10, 2)))[1].tolist() == [1.0]


def test_invalid_use_raises():
    with pytest.raises(ValueError, match="max_records must be a whole number of at least 2"):
        fastmlp.Snapshots(max_records=1)
    with pytest.raises(ValueError, match=r"Nothing was recorded: give the LayerRecorder to fit"):
        fastmlp.LayerRecorder(XOR_X, XOR_Y).net  # noqa: B018
