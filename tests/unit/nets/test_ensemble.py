"""Losses of averaged outputs, and greedy selection by them, where outputs round to 0 and 1."""

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.nets.ensemble import losses_of_outputs

SIGMOID = MLP((1, 1), loss="binary_cross_entropy").network
SOFTMAX = MLP((1, 2), loss="softmax_cross_entropy").network


@pytest.mark.parametrize("logit", [0.5, 10.0, 17.0, 30.0])
def test_losses_of_float32_outputs_are_as_exact_as_the_outputs(logit):
    """Of an output near 1, by its rounding; those of small outputs lose nothing."""
    small = np.exp(-np.logaddexp(0.0, logit))
    below = losses_of_outputs(SIGMOID, np.array([[small]], np.float32), np.array([[1.0]]))
    np.testing.assert_allclose(below, [-np.log(small)], rtol=1e-6)
    above = losses_of_outputs(SIGMOID, np.array([[1.0 - small]], np.float32), np.array([[0.0]]))
    rounding = np.finfo(np.float32).eps / 4
    expected = [-np.log(max(small + rounding, rounding)), -np.log(max(small - rounding, rounding))]
    assert expected[0] - 1e-6 <= above[0] <= expected[1] + 1e-6
    assert above[0] < 17.4, "an output of 1 is no certainty"


def test_complements_take_the_place_of_outputs_near_1():
    found = losses_of_outputs(SIGMOID, np.ones((1, 1)), np.zeros((1, 1)), np.exp([[-100.0]]))
    np.testing.assert_allclose(found, [100.0])
    found = losses_of_outputs(SOFTMAX, np.exp([[-100.0, 0.0]]), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(found, [100.0])


@pytest.mark.parametrize(
    "sizes, loss, params",
    [
        ((1, 1), "binary_cross_entropy", [[30.0, 0.0], [18.0, 0.0]]),
        ((1, 2), "softmax_cross_entropy", [[0.0, 200.0, 0.0, 0.0], [0.0, 150.0, 0.0, 0.0]]),
    ],
)
def test_nets_whose_outputs_round_to_the_same_are_told_apart(sizes, loss, params):
    pop = Population(sizes, 2, loss=loss, random_state=0)
    pop.params = params
    X = np.array([[1.0]])
    assert pop.predict(X)[0].tolist() == pop.predict(X)[1].tolist()
    assert pop.greedy_weights(X, [0], rounds=3).tolist() == [0.0, 3.0]


def test_nets_without_a_finite_loss_are_not_picked():
    pop, X = Population((1, 1), 2, random_state=0), np.array([[1e10]])
    pop.params = [[1e38, 0.0], [1.0, 0.0]]
    assert pop.greedy_weights(X, [0.0], rounds=3).tolist() == [0.0, 3.0]
    pop.params = [[1e38, 0.0], [1e38, 0.0]]
    with pytest.raises(ValueError, match="No candidate has a finite loss"):
        pop.greedy_weights(X, [0.0])
