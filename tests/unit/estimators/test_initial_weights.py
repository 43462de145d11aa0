"""Initial weights equal scikit-learn's."""

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from fastmlp.estimators.initial_weights import sklearn_initial_params
from fastmlp.network.parameter_layout import Layout


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
