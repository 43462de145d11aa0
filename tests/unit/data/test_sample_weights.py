"""Sample weights: sample_weight and class_weight become one array with mean 1, or an error."""

import numpy as np
import pytest
from checked_data import N, network, targets

from fastmlp.data.checked_samples import validated_samples
from fastmlp.data.population_data import validated_population_samples
from fastmlp.data.sample_weights import as_weights
from fastmlp.data.targets import metric_of


def weights(sample_weight=None, class_weight=None, y=(0, 1, 2, 0, 0, 0), loss="softmax_cross_entropy", k=3):
    net = network(k, loss)
    coded = targets(np.array(y), net)
    metric = metric_of(coded, net)
    return as_weights(sample_weight, class_weight, coded, net, metric, np.dtype(np.float64))


def test_equal_weights_are_dropped():
    assert weights().size == 0
    assert weights([2.0] * N).size == 0


def test_sample_weight_is_scaled_to_mean_one():
    np.testing.assert_allclose(weights([1, 2, 3, 0, 0, 0]), [1, 2, 3, 0, 0, 0])
    np.testing.assert_allclose(weights([10, 20, 30, 0, 0, 0]), [1, 2, 3, 0, 0, 0])


def test_balanced_and_given_class_weights_are_scaled_to_mean_one():
    """Balanced is n / (classes present * count): 6/(3*4) = 0.5 for class 0, 2 for the others; the mean is 1."""
    np.testing.assert_allclose(weights(class_weight="balanced"), [0.5, 2, 2, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(weights(class_weight={0: 1, 1: 5, 2: 1}), np.array([1, 5, 1, 1, 1, 1]) * 6 / 10)
    np.testing.assert_allclose(weights(class_weight={1: 5}), weights(class_weight={0: 1, 1: 5, 2: 1}))


def test_balanced_class_weight_of_one_output():
    found = weights(class_weight="balanced", y=(0, 1, 0, 0, 0, 1), loss="binary_cross_entropy", k=1)
    np.testing.assert_allclose(found, [0.75, 1.5, 0.75, 0.75, 0.75, 1.5])


def test_balanced_class_weight_ignores_absent_classes():
    found = weights(class_weight="balanced", y=(0, 1, 0, 0, 0, 0))
    np.testing.assert_allclose(found, [0.6, 3, 0.6, 0.6, 0.6, 0.6])


def test_zero_weight_of_the_only_class_raises():
    """One output and every target 1: the weight of class 1 counts, not that of class 0."""
    with pytest.raises(ValueError, match="Every sample has weight 0"):
        weights(class_weight={1: 0.0}, y=(1,) * N, loss="binary_cross_entropy", k=1)


def test_sample_and_class_weights_multiply():
    found = weights([2, 1, 1, 1, 1, 0], {0: 1, 1: 3, 2: 0})
    np.testing.assert_allclose(found, np.array([2, 3, 0, 1, 1, 0]) * 6 / 7)


NOT_WEIGHTS = [
    ({"sample_weight": [1.0] * 5}, r"sample_weight must have shape \(6,\), but it has shape \(5,\)"),
    ({"sample_weight": np.ones((6, 1))}, r"sample_weight must have shape \(6,\)"),
    ({"sample_weight": [1, 1, 1, 1, 1, -1]}, "sample_weight must be at least 0"),
    ({"sample_weight": [0.0] * 6}, "above 0 for some sample"),
    ({"sample_weight": [1, np.nan, 1, 1, 1, 1]}, "sample_weight must be finite"),
    ({"sample_weight": list("abcdef")}, "sample_weight must hold numbers"),
    ({"class_weight": "balancd"}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": [1, 2, 3]}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": np.array([1.0, 2.0, 3.0])}, "class_weight must be 'balanced' or a dictionary"),
    ({"class_weight": {3: 1.0}}, r"class_weight names \[3\], but the classes are 0 to 2"),
    ({"class_weight": {"a": 1.0}}, r"class_weight names \['a'\]"),
    ({"class_weight": {1: -1.0}}, r"class_weight\[1\] must be a number"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, "Every sample has weight 0"),
    ({"class_weight": "balanced", "loss": "squared_error", "k": 1}, "class_weight needs a task with exclusive classes"),
]


@pytest.mark.parametrize("settings, message", NOT_WEIGHTS, ids=[str(row[0])[:40] for row in NOT_WEIGHTS])
def test_invalid_weights_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        weights(**settings)


@pytest.mark.parametrize("many", (False, True))
def test_weights_with_an_overflowing_sum_are_scaled(many):
    weight = np.array([1e308, 1e308, 5e307, 0.0])
    x, y, f8 = np.zeros((4, 3)), np.array([0, 1, 0, 1]), np.dtype("float64")
    if many:
        found = validated_population_samples(x, y, network(), f8, 3, np.tile(weight, (3, 1)))[0].weight.reshape(3, 4)[1]
    else:
        found = validated_samples(x, y, network(), f8, weight).weight
    np.testing.assert_allclose(found, np.array([1.0, 1.0, 0.5, 0.0]) * 4 / 2.5)
