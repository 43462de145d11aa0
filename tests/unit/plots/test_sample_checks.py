"""Samples of plots: classes, probabilities, and nets within estimators."""

import numpy as np
import pytest
from image_comparison import xor_net
from toy_data import XOR_X, XOR_Y

import fastmlp
from fastmlp import plots
from fastmlp.plots.sample_checks import probabilities, unwrap


@pytest.mark.parametrize("settings", [{"loss": "binary_cross_entropy"}, {"output_activation": "tanh"}, {}])
def test_probabilities_agree_with_predict_classes(settings, rng):
    net = fastmlp.MLP((2, 8, 1), random_state=1, **settings)
    X = 3 * rng.normal(size=(200, 2))
    shares = probabilities(net.network, net.predict(X))
    assert shares.shape == (200, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(shares.argmax(axis=1), net.predict_classes(X))


class FakeClassifier:
    """A fake fitted classifier in scikit-learn's form, with a net and class names."""

    def __init__(self):
        self.net_, self.classes_ = xor_net(), np.array(["no", "yes"])

    def predict(self, X):
        return self.classes_[self.net_.predict_classes(X)]

    def predict_proba(self, X):
        return probabilities(self.net_.network, self.net_.predict(X))


def test_unwrap_returns_net_and_encoded_targets():
    answers = np.array(["no", "yes", "yes", "no"])
    net, _, y, labels = unwrap(FakeClassifier(), XOR_X, answers)
    assert net.predict_classes(XOR_X).tolist() == y.tolist() == XOR_Y.tolist()
    assert list(labels) == ["no", "yes"]
    assert list(unwrap(FakeClassifier(), XOR_X, answers, ["0", "1"])[3]) == ["0", "1"]
    assert unwrap(net, XOR_X, XOR_Y) == (net, XOR_X, XOR_Y, None)
    with pytest.raises(ValueError, match=r"y holds 'maybe', but the classes are no, yes\."):
        unwrap(FakeClassifier(), XOR_X, ["no", "maybe", "no", "no"])


def test_plots_accept_estimators():
    answers = ["no", "yes", "yes", "no"]
    for draw in (plots.confusion, plots.calibration):
        draw(FakeClassifier(), XOR_X, answers)
    ax = plots.boundary(FakeClassifier(), XOR_X, answers, resolution=5)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no", "yes"]
