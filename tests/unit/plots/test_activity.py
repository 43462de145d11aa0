"""Plot of layers over epochs: three panels with the records of a `LayerRecorder`."""

import numpy as np
from image_comparison import SOLVED, xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots


def test_layers_plot_shows_gradient_spread_and_saturation():
    recorder, net = fastmlp.LayerRecorder(XOR_X, XOR_Y), xor_net(0.3 * SOLVED)
    net.fit(XOR_X, XOR_Y, epochs=20, callbacks=[recorder])
    gradient, spread, flat = plots.layers(recorder)
    np.testing.assert_allclose(gradient.get_lines()[0].get_ydata(), recorder.gradient[:, 0])
    np.testing.assert_allclose(spread.get_lines()[1].get_ydata(), recorder.spread[:, 1])
    assert len(flat.get_lines()) == 1, "saturation is of hidden layers"
    assert [text.get_text() for text in flat.get_legend().get_texts()] == ["hidden", "output"]
    assert {ax.get_xlabel() for ax in (gradient, spread, flat)} == {"epoch"}


def test_layers_plot_of_a_net_without_hidden_layers():
    recorder, net = fastmlp.LayerRecorder(XOR_X, XOR_Y), fastmlp.MLP((2, 1), random_state=0)
    net.fit(XOR_X, XOR_Y, epochs=1, callbacks=[recorder])
    assert plots.layers(recorder)[2].texts[0].get_text() == "no hidden layer"
