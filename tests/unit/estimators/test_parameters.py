"""Parameters under scikit-learn's names: their translation to fastmlp's, and errors for invalid values."""

import re
from inspect import signature

import numpy as np
import pytest

from fastmlp import SGD, Adam, AdamW, MLPClassifier, MLPRegressor, RMSprop, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.estimators.parameters import Scale, batch_size_of, dtype_of, optimizer_of

CHOSEN = AdamW(0.3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    (
        ({}, Adam(0.001, epsilon=0.5e-8)),
        ({"solver": "sgd"}, SGD(0.002, momentum=0.9, nesterov=True)),
        ({"solver": "sgd", "momentum": 0.0}, SGD(0.002)),
        ({"solver": "rmsprop", "learning_rate_init": 0.1}, RMSprop(0.1)),
        ({"solver": CHOSEN}, CHOSEN),
        ({"beta_1": 0.0, "beta_2": 0.0}, Adam(0.001, beta1=1e-300, beta2=1e-300, epsilon=0.5e-8)),  # valid there
    ),
    ids=str,
)
def test_learning_rates_are_rescaled_to_fastmlps_loss(settings, expected):
    assert optimizer_of(MLPClassifier(**settings), Scale(objective=2.0, reported=1.0)) == expected


def test_batch_size_and_dtype_follow_the_solver():
    sizes = [batch_size_of(MLPClassifier(solver=solver), 1000) for solver in ("adam", "rprop", "lbfgs")]
    assert sizes == [200, 1000, 1000]
    assert [dtype_of(MLPClassifier(solver=solver)) for solver in ("adam", "lbfgs")] == [np.float32, np.float64]
    assert dtype_of(MLPClassifier(solver="lbfgs", dtype="float32")) == np.float32


# scikit-learn's own tests have the others of its constraints.
BAD = [
    ("batch_size", "all", "must be a str among {'auto'} or an int in the range [1, inf). Got 'all' instead"),
    ("hidden_layer_sizes", "64,64", "must be an array-like or an int in the range [1, inf). Got '64,64' instead"),
    ("solver", "adm", "'adam'"),
    ("solver", 3, "'lbfgs'"),
    ("activation", "softmax", "'logistic'"),
    ("momentum", 1.5, "a float in the range [0.0, 1.0). Got 1.5 instead"),
    ("loss", "log", "'poisson'"),
    ("hidden_layer_sizes", (4, 0), "hidden_layer_sizes[1] must be a whole number"),
    ("dropout", 1.0, "dropout must be a number"),
    ("device", "gpu", "Unknown device 'gpu'"),
    ("dtype", "float16", "dtype must be 'float32' or 'float64'"),
]


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_invalid_settings_raise_with_what_is_expected(cls):
    data = [[0.0], [1.0], [2.0]], [0, 1, 1]
    for name, value, expected in BAD:
        if name in signature(cls).parameters:
            with pytest.raises(ValueError, match=rf"{name}.*{re.escape(expected)}|^{re.escape(expected)}"):
                cls(**{name: value}).fit(*data)


UNKNOWN = [
    (TabularMLPRegressor, {"epochs": 3}, "TabularMLPRegressor.. got an .* 'epochs'. Did you mean 'max_iter'"),
    (TabularMLPClassifier, {"seed": 1}, "Did you mean 'random_state'"),
    (MLPClassifier, {"optimizer": "adam"}, "Did you mean 'solver'"),
    (MLPRegressor, {"weight_decay": 0.1}, "Did you mean 'alpha'"),
    (MLPRegressor, {"xyz": 0.1}, "MLPRegressor.. got an unexpected keyword argument 'xyz'.$"),
]


def test_unknown_parameters_raise_with_the_name_that_is_meant():
    for cls, settings, message in UNKNOWN:
        with pytest.raises(TypeError, match=message):
            cls(**settings)


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor))
def test_unknown_arguments_of_methods_raise_with_the_name_that_is_meant(cls):
    name = cls.__name__
    for given, message in (
        ({"verbose": 5}, rf"{name}.fit\(\) got an .* 'verbose'. It is a .* write {name}\(verbose="),
        ({"sample_weights": [1, 1]}, "Did you mean 'sample_weight'"),
        ({"epochs": 3}, rf"Did you mean the parameter 'max_iter' .* Write {name}\(max_iter="),
    ):
        with pytest.raises(TypeError, match=message):
            cls().fit([[0.0], [1.0]], [0, 1], **given)
    assert "args" not in str(signature(cls)) + str(signature(cls.fit)), "scikit-learn reads the signatures"
