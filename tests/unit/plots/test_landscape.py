"""Loss landscapes: slices of the loss around a net, and the path of training."""

import numpy as np
import pytest
from image_comparison import SOLVED, xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots
from fastmlp.plots.landscape import losses_on, path_directions, random_directions


def test_random_directions_have_the_norm_of_each_unit(rng):
    net = fastmlp.MLP((5, 4, 3), random_state=0)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape)
    for direction in random_directions(net, rng):
        layers = zip(
            net.network.layout.weights(direction),
            net.network.layout.biases(direction),
            net.weights,
            net.biases,
            strict=True,
        )
        for dW, db, W, b in layers:
            own = np.linalg.norm(np.vstack([W, b]), axis=0)
            np.testing.assert_allclose(np.linalg.norm(np.vstack([dW, db]), axis=0), own, rtol=1e-5)


def test_slice_values_are_losses():
    net = xor_net()
    before = net.params.copy()
    directions = random_directions(net, np.random.default_rng(0))
    x, z = np.array([-1.0, 0.0, 0.5]), np.array([0.0, 2.0])
    losses = losses_on(net, XOR_X, XOR_Y, SOLVED, directions, x, z)
    assert losses.shape == (2, 3)
    np.testing.assert_array_equal(net.params, before)
    assert losses[0, 1] == pytest.approx(net.evaluate(XOR_X, XOR_Y)["loss"])
    net.params = SOLVED + 0.5 * directions[0] + 2.0 * directions[1]
    assert losses[1, 2] == pytest.approx(net.evaluate(XOR_X, XOR_Y)["loss"])


def test_path_is_projected_onto_its_principal_plane(rng):
    plane = np.linalg.qr(rng.normal(size=(9, 2)))[0].T
    true = np.c_[np.linspace(-3, 0, 20), np.linspace(1, 0, 20) ** 2]
    directions, path = path_directions(SOLVED, SOLVED + true @ plane)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(path @ directions, true @ plane, atol=1e-9)
    np.testing.assert_allclose(path[-1], 0.0, atol=1e-12)
    assert (path[0] <= 0).all(), "it begins at the lower left"


def test_landscape_plot_has_title_and_legend():
    ax = plots.landscape(xor_net(), XOR_X, XOR_Y, resolution=5)
    assert ax.get_title(loc="left") == "Loss around the net, random directions"
    snapshots, net = fastmlp.Snapshots(), xor_net(0.3 * SOLVED)
    net.fit(XOR_X, XOR_Y, epochs=20, callbacks=[snapshots])
    ax = plots.landscape(net, XOR_X, XOR_Y, snapshots=snapshots, resolution=5)
    assert ax.get_xlabel() == "first principal component"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["way taken", "start", "the net"]


def test_flat_and_negative_losses_are_drawn():
    flat = fastmlp.MLP((2, 1), random_state=0, init="zeros")
    ax = plots.landscape(flat, XOR_X, np.zeros(4), resolution=5)
    assert ax.collections
    poisson = fastmlp.MLP((2, 1), loss="poisson", random_state=0)
    poisson.params = [1.0, 1.0, 2.0]
    assert poisson.evaluate(XOR_X, [5, 20, 20, 50])["loss"] < 0
    ax = plots.landscape(poisson, XOR_X, [5, 20, 20, 50], resolution=5)
    assert ax.collections


def test_invalid_arguments_raise():
    snapshots, other = fastmlp.Snapshots(), fastmlp.MLP((2, 1), random_state=0)
    other.fit(XOR_X, XOR_Y, epochs=5, callbacks=[snapshots])
    with pytest.raises(ValueError, match="at least three of 9 parameters"):
        plots.landscape(xor_net(), XOR_X, XOR_Y, snapshots=snapshots)
    with pytest.raises(ValueError, match="span must be a number"):
        plots.landscape(xor_net(), XOR_X, XOR_Y, span=0)
