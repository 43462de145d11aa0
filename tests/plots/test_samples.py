"""What pictures take for classes and probabilities."""

import numpy as np
import pytest
from images import TARGETS, XOR, xor_net

import fastmlp
from fastmlp.plots.samples import as_samples, copy_of, has_classes, probabilities


def test_classes_follow_the_targets():
    net = xor_net()
    assert as_samples(net, XOR, TARGETS).classes.tolist() == TARGETS.tolist()
    fractions = as_samples(net, XOR, [0.1, 0.9, 0.9, 0.1])
    assert fractions.classes is None
    assert not has_classes(net.network, fractions)
    assert has_classes(net.network, as_samples(net, XOR))
    assert not has_classes(fastmlp.MLP((2, 1)).network, as_samples(net, XOR))


@pytest.mark.parametrize("settings", [{"loss": "binary_cross_entropy"}, {"output_activation": "tanh"}, {}])
def test_probabilities_agree_with_predict_classes(settings, rng):
    net = fastmlp.MLP((2, 8, 1), random_state=1, **settings)
    X = 3 * rng.normal(size=(200, 2))
    shares = probabilities(net.network, net.predict(X))
    assert shares.shape == (200, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(shares.argmax(axis=1), net.predict_classes(X))


def test_a_copy_has_its_own_parameters():
    net = fastmlp.MLP((2, 3, 1), init=fastmlp.Normal(0.5), dropout=0.2, dtype="float64", random_state=0)
    copy = copy_of(net)
    np.testing.assert_array_equal(copy.predict(XOR), net.predict(XOR))
    copy.params[:] = 0.0
    assert np.any(net.params)
