"""Conventions of scikit-learn's MLPs: factors of losses, the schedule "invscaling", and initial weights."""

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._base import poisson_loss

from fastmlp.estimators.sklearn_conventions import inverse_scaling, poisson_constant, scale_of, sklearn_initial_params
from fastmlp.network.parameter_layout import Layout


def test_loss_scales_follow_from_loss_and_outputs():
    assert scale_of("softmax_cross_entropy", 5) == (1.0, 1.0)
    assert scale_of("squared_error", 1) == (0.5, 0.5)
    assert scale_of("binary_cross_entropy", 4) == (4.0, 4.0)
    assert scale_of("absolute_error", 2) == (2.0, 1.0)


def test_poisson_constant_turns_the_likelihood_into_deviance(rng):
    """fastmlp's likelihood, summed over outputs, plus the constant equals the deviance."""
    y, z, w = rng.poisson(2.0, (50, 3)).astype(float), rng.normal(size=(50, 3)), rng.uniform(1, 2, 50)
    for weights in (None, w):
        ours = np.average(np.exp(z) - y * z, axis=0, weights=weights).sum()
        assert ours + poisson_constant(y, weights) == pytest.approx(poisson_loss(y, np.exp(z), weights))


def test_inverse_scaling_changes_once_per_epoch():
    fresh = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=0, continues=False)
    np.testing.assert_allclose(fresh(np.arange(6), 6), [1, 1, 1 / 3, 1 / 3, 17**-0.5, 17**-0.5])
    later = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=8, continues=True)
    np.testing.assert_allclose(later(np.arange(2), 2), [1 / 3, 1 / 3])
    warm = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=8, continues=False)
    np.testing.assert_allclose(warm(np.arange(4), 4), [1, 1, 17**-0.5, 17**-0.5])


@pytest.mark.parametrize("activation, ours", (("relu", "relu"), ("logistic", "sigmoid")))
def test_initial_parameters_equal_scikit_learns(activation, ours, rng):
    X, y = rng.normal(size=(4, 3)), rng.normal(size=4)
    theirs = MLPRegressor(
        "squared_error", (5, 4), activation=activation, learning_rate_init=1e-300, max_iter=1, random_state=7
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs.fit(X, y)  # the learning rate is too low to change a parameter
    layout = Layout((3, 5, 4, 1))
    params = sklearn_initial_params(np.random.RandomState(7), layout, ours)
    for drawn, fitted in ((layout.weights(params), theirs.coefs_), (layout.biases(params), theirs.intercepts_)):
        for a, b in zip(drawn, fitted, strict=True):
            np.testing.assert_array_equal(a, b)
