"""Targets: what is accepted, one-hot rows of class indices, and which outputs count as correct."""

import numpy as np
import pytest
from checked_data import N, network, targets

from fastmlp.data.targets import metric_of
from fastmlp.kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD


def test_class_indices_become_one_hot():
    net = network(3, "softmax_cross_entropy")
    expected = np.eye(3)[[0, 2, 1, 1, 0, 2]]
    for y in ([0, 2, 1, 1, 0, 2], [[0], [2], [1], [1], [0], [2]], np.array([0, 2, 1, 1, 0, 2], np.float32)):
        np.testing.assert_array_equal(targets(y, net), expected)
    np.testing.assert_array_equal(targets(expected, net), expected)


@pytest.mark.parametrize(
    "output, low, high",
    [("tanh", -1, 1), ("sigmoid", 0, 1), ("symmetric_sigmoid", -0.5, 0.5), ("identity", 0, 1), ("relu", 0, 1)],
)
def test_one_hot_values_follow_the_range_of_the_output(output, low, high):
    np.testing.assert_array_equal(targets([1, 0], network(2, output=output), 2), [[low, high], [high, low]])


def test_targets_of_one_output_become_a_column():
    y = np.arange(N) / 8
    for given in (y, y[:, None], y.tolist()):
        np.testing.assert_array_equal(targets(given, network()), y[:, None])


CLASSES = ("softmax_cross_entropy", 3)
NOT_TARGETS = [
    ("another length", ("squared_error", 1), np.zeros(5), "y has 5 samples, but X has 6"),
    (
        "too wide",
        ("squared_error", 1),
        np.zeros((6, 2)),
        r"y must have shape \(6, 1\) or \(6,\), but it has shape \(6, 2\)",
    ),
    ("too narrow", CLASSES, np.zeros((6, 2)), r"y must have shape \(6, 3\) or \(6,\) with class numbers"),
    ("NaN", ("squared_error", 1), [0, 1, np.nan, 0, 1, 0], r"y must be finite .* the first at \(2,\)"),
    ("above float32", ("squared_error", 1), [0, 1, 1e300, 0, 1, 0], r"y must fit into float32, but it holds 1e\+300"),
    ("inf", ("squared_error", 2), np.full((6, 2), np.inf), r"y must be finite .* the first at \(0, 0\)"),
    ("class too high", CLASSES, [0, 1, 3, 0, 1, 0], "y must hold class numbers from 0 to 2 .* but it holds 0 to 3"),
    ("class below 0", CLASSES, [0, 1, -1, 0, 1, 0], "y must hold class numbers from 0 to 2 .* but it holds -1 to 1"),
    ("class far too high", CLASSES, [0, 1, 2.0**70, 0, 1, 0], "y must hold class numbers .* it holds 0 to 1.18"),
    ("half a class", CLASSES, [0, 1, 0.5, 0, 1, 0], "class numbers, whole numbers from 0 to 2; it holds fractions"),
    ("text", CLASSES, list("abcabc"), "y must hold numbers"),
    ("no distribution", CLASSES, np.full((6, 3), 0.5), "each row of y must be a distribution that sums to 1"),
    (
        "negative share",
        CLASSES,
        np.tile([1.5, -0.5, 0], (6, 1)),
        "defined for targets from 0 to 1, but y holds -0.5 to 1.5",
    ),
    ("no probability", ("binary_cross_entropy", 1), [0, 1, 2, 0, 1, 0], "targets from 0 to 1, but y holds 0 to 2"),
    ("minus one", ("binary_cross_entropy", 1), [-1, 1, 1, -1, 1, 1], "targets from 0 to 1, but y holds -1 to 1"),
    (
        "negative count",
        ("poisson", 1),
        [-1, 1, 2, 0, 1, 0],
        "'poisson' is defined for targets of at least 0, but y holds -1",
    ),
]


@pytest.mark.parametrize("which, y, message", [row[1:] for row in NOT_TARGETS], ids=[row[0] for row in NOT_TARGETS])
def test_invalid_targets_raise(which, y, message):
    loss, k = which
    with pytest.raises(ValueError, match=message):
        targets(y, network(k, loss))


@pytest.mark.parametrize(
    "loss, output, y, metric",
    [
        ("softmax_cross_entropy", None, [0, 1], METRIC_ARGMAX),
        ("binary_cross_entropy", None, [[0, 1], [1, 0]], METRIC_ARGMAX),
        ("binary_cross_entropy", None, [[1, 1], [1, 0]], METRIC_THRESHOLD),
        ("binary_cross_entropy", None, [[0.5, 1], [1, 0]], METRIC_NONE),
        ("squared_error", "tanh", [[-1, 1], [1, -1]], METRIC_ARGMAX),
        ("squared_error", "tanh", [[0, 1], [1, 0]], METRIC_NONE),
        ("squared_error", "identity", [[0, 1], [1, 0]], METRIC_NONE),
        ("poisson", None, [[0, 1], [1, 0]], METRIC_NONE),
    ],
)
def test_metric_follows_from_loss_output_and_targets(loss, output, y, metric):
    net = network(2, loss, output)
    assert metric_of(targets(y, net, 2), net) == metric


def test_metric_of_one_output_is_a_threshold():
    net = network(1, "binary_cross_entropy")
    assert metric_of(targets([0, 1], net, 2), net) == METRIC_THRESHOLD
