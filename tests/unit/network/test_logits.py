"""Logits of a net, and logarithms of probabilities that no output could hold."""

import numpy as np

from fastmlp import MLP, Population
from fastmlp.network.logits import MAX_LOGIT, log_sigmoid, log_softmax, with_logits


def test_logarithms_of_small_probabilities_are_exact():
    z = np.array([-745.0, -40.0, 0.0, 40.0])
    np.testing.assert_allclose(log_sigmoid(z), [-745.0, -40.0, -np.log(2.0), -np.exp(-40.0)])
    np.testing.assert_allclose(log_softmax(np.array([[0.0, 900.0]])), [[-900.0, 0.0]])


def test_logits_that_have_overflowed_are_clipped():
    found = log_softmax(np.array([[np.inf, 0.0], [-np.inf, 0.0], [np.nan, 0.0]]))
    np.testing.assert_array_equal(found[:2], [[0.0, -MAX_LOGIT], [-MAX_LOGIT, 0.0]])
    assert np.isnan(found[2]).all()


def test_the_view_shares_parameters():
    for net in (MLP((2, 3, 1), loss="binary_cross_entropy"), Population((2, 3, 1), 2, loss="binary_cross_entropy")):
        X = np.array([[0.5, -1.0]])
        view, before = with_logits(net), net.predict(X)
        np.testing.assert_allclose(1.0 / (1.0 + np.exp(-view.predict(X))), before, rtol=1e-6)
        net.params[:] = 0.0
        assert (view.predict(X) == 0.0).all()
