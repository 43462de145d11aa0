"""Plots of decision boundaries: samples, labels and titles."""

import numpy as np
import pytest
from image_comparison import xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_boundary_plot_of_two_classes():
    ax = xor_net().plot_boundary(XOR_X, XOR_Y, resolution=30)
    assert ax.get_title(loc="left") == "Decision boundary: 100 % of 4 samples right"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("input 0", "input 1")
    assert texts(ax) == ["0", "1"]
    image = ax.get_images()[0].get_array()
    middle, corner = image[15, 15], image[1, 1]
    assert middle[0] > middle[2], "orange, class 1, along the diagonal"
    assert corner[2] > corner[0], "blue, class 0, at the origin"


def test_boundary_line_lies_at_probability_one_half():
    net = xor_net()
    ax = net.plot_boundary(XOR_X, XOR_Y)
    (lines,) = (artist for artist in ax.collections if hasattr(artist, "levels"))
    points = np.concatenate([path.vertices for path in lines.get_paths()])
    assert len(points) > 50
    np.testing.assert_allclose(net.predict(points), 0.5, atol=0.02)


def test_misclassified_samples_have_a_black_edge():
    ax = xor_net().plot_boundary(XOR_X, [1, 1, 1, 0], labels=["no", "yes"])
    assert ax.get_title(loc="left") == "Decision boundary: 75 % of 4 samples right"
    assert texts(ax) == ["no", "yes", "wrong"]
    points = [artist for artist in ax.collections if not hasattr(artist, "levels")]
    black = [artist.get_offsets().tolist() for artist in points if (artist.get_edgecolor() == [0, 0, 0, 1]).all()]
    assert [offsets for offsets in black if offsets] == [[[0.0, 0.0]]]


def test_boundary_plot_of_chosen_features_shows_their_names():
    net = fastmlp.MLP((3, 3), loss="softmax_cross_entropy", random_state=0)
    X = np.arange(12.0).reshape(4, 3)
    ax = net.plot_boundary(X, [0, 1, 2, 2], features=(2, 0), feature_names=["a", "b", "c"], resolution=9)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("c", "a")
    assert ax.get_title(loc="left").endswith("(the other input at its median)")


def test_regression_boundary_plot_has_a_common_colour_scale(rng):
    net = fastmlp.MLP((2, 3, 1), random_state=0)
    X = rng.normal(size=(20, 2))
    y = 10 * rng.normal(size=20)
    ax = net.plot_boundary(X, y)
    assert ax.get_title(loc="left") == "Output, and targets as points"
    image = ax.get_images()[0]
    assert image.norm.vmin == pytest.approx(min(y.min(), net.predict(X).min()), rel=1e-3)
    assert len(ax.figure.axes) == 2, "a scale of colours"


def test_multilabel_boundary_plot_shows_one_output(rng):
    net = fastmlp.MLP((2, 3, 2), loss="binary_cross_entropy", random_state=0)
    X = rng.normal(size=(20, 2))
    Y = np.c_[X[:, 0] > 0, X[:, 1] > 0]
    assert net.plot_boundary(X, Y).get_title(loc="left").endswith("(output 0)")
    assert net.plot_boundary(X, Y, output=1).get_title(loc="left").endswith("(output 1)")
    with pytest.raises(ValueError, match="output must be below 2, the number of outputs, but it is 2"):
        net.plot_boundary(X, Y, output=2)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda net: net.plot_boundary(XOR_X, XOR_Y, features=(0, 2)),
            "features must be two different inputs from 0 to 1",
        ),
        (lambda net: net.plot_boundary(XOR_X, XOR_Y, features=(1, 1)), "features must be two different inputs"),
        (lambda net: net.plot_boundary(XOR_X[:, :1], XOR_Y), "X has 1 feature, but the net has 2 inputs"),
        (lambda net: net.plot_boundary(XOR_X, XOR_Y, resolution=1), "resolution must be a whole number of at least 2"),
        (lambda net: net.plot_boundary(XOR_X, XOR_Y, labels=["one"]), "labels must name 2 classes, but it has 1 entry"),
        (lambda net: net.plot_boundary(XOR_X, XOR_Y, feature_names="a"), "feature_names must name 2 inputs"),
        (lambda net: fastmlp.MLP((1, 1)).plot_boundary([[0.0], [1.0]]), "needs two inputs, but the net has one"),
    ],
)
def test_invalid_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call(xor_net())
