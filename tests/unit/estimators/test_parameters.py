"""Parameters under scikit-learn's names: their translation to fastmlp's, and errors for invalid values."""

import re
from inspect import signature

import numpy as np
import pytest

from fastmlp import SGD, Adam, AdamW, MLPClassifier, MLPRegressor, RMSprop, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.estimators.parameters import batch_size_of, dtype_of, hidden_sizes, optimizer_of
from fastmlp.estimators.sklearn_conventions import Scale

SCALE = Scale(objective=2.0, reported=1.0)


def test_learning_rates_are_rescaled_to_fastmlps_loss():
    assert optimizer_of(MLPClassifier(), SCALE) == Adam(0.001, epsilon=0.5e-8)
    assert optimizer_of(MLPClassifier(solver="sgd"), SCALE) == SGD(0.002, momentum=0.9, nesterov=True)
    assert optimizer_of(MLPClassifier(solver="sgd", momentum=0.0), SCALE) == SGD(0.002)
    assert optimizer_of(MLPClassifier(solver="rmsprop", learning_rate_init=0.1), SCALE) == RMSprop(0.1)
    chosen = AdamW(0.3)
    assert optimizer_of(MLPClassifier(solver=chosen), SCALE) is chosen


def test_beta_of_zero_is_allowed():
    """A beta of 0 is valid in scikit-learn: the first moment is then the gradient itself."""
    made = optimizer_of(MLPClassifier(beta_1=0.0, beta_2=0.0), SCALE)
    assert np.float32(made.beta1) == np.float32(made.beta2) == 0.0


def test_batch_size_follows_solver_and_samples():
    assert batch_size_of(MLPClassifier(), 1000) == 200
    assert batch_size_of(MLPClassifier(), 50) == 50
    assert batch_size_of(MLPClassifier(solver="rprop"), 1000) == 1000
    assert batch_size_of(MLPClassifier(solver="lbfgs", batch_size=10), 1000) == 1000
    with pytest.warns(UserWarning, match="batch_size is 60, but X has only 50 samples"):
        assert batch_size_of(MLPClassifier(batch_size=60), 50) == 50


def test_dtype_follows_the_solver():
    assert dtype_of(MLPClassifier()) == np.float32
    assert dtype_of(MLPClassifier(solver="lbfgs")) == np.float64
    assert dtype_of(MLPClassifier(solver="lbfgs", dtype="float32")) == np.float32


def test_hidden_layer_sizes_may_be_int_list_or_array():
    assert hidden_sizes(MLPClassifier(7)) == (7,)
    assert hidden_sizes(MLPClassifier([3, 2])) == (3, 2)
    assert hidden_sizes(MLPClassifier(np.array([3, 2]))) == (3, 2)
    assert hidden_sizes(MLPClassifier(())) == ()


FROM_0, ABOVE_0 = "a float in the range [0.0, inf)", "a float in the range (0.0, inf)"
BELOW_1, COUNT = "a float in the range [0.0, 1.0)", "an int in the range [1, inf)"
BAD = [
    ("alpha", -1.0, FROM_0),
    ("batch_size", 0, f"a str among {{'auto'}} or {COUNT}"),
    ("batch_size", "all", f"a str among {{'auto'}} or {COUNT}"),
    ("learning_rate", "adaptiv", "'adaptive'"),
    ("learning_rate_init", 0.0, ABOVE_0),
    ("solver", "adm", "'adam'"),
    ("solver", 3, "'lbfgs'"),
    ("activation", "softmax", "'logistic'"),
    ("max_iter", 0, COUNT),
    ("max_fun", 1.5, COUNT),
    ("tol", -1e-3, FROM_0),
    ("momentum", 1.5, BELOW_1),
    ("beta_1", 1.0, BELOW_1),
    ("epsilon", 0.0, ABOVE_0),
    ("n_iter_no_change", 0, f"{COUNT} or a float among {{inf}}"),
    ("validation_fraction", 1.0, BELOW_1),
    ("n_nets", 0, COUNT),
    ("time_limit", 0, f"None or {ABOVE_0}"),
]


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_invalid_settings_raise_with_what_is_expected(cls):
    for name, value, expected in [*BAD, *([("loss", "log", "'poisson'")] if cls is MLPRegressor else [])]:
        said = rf"The '{name}' parameter of {cls.__name__} must be .*{re.escape(expected)}.*\. Got {value!r} instead"
        with pytest.raises(ValueError, match=said):
            cls(**{name: value}).fit([[0.0], [1.0], [2.0]], [0, 1, 1])


SENTENCES = [
    ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes.1. must be a whole number"),
    ({"hidden_layer_sizes": "64,64"}, "'hidden_layer_sizes' .* must be an array-like or an int .* Got '64,64' instead"),
    ({"dropout": 1.0}, "dropout must be a number"),
    ({"device": "gpu"}, "Unknown device 'gpu'"),
    ({"dtype": "float16"}, "dtype must be 'float32' or 'float64'"),
    ({"schedule": "cosine", "learning_rate": "invscaling"}, "Give a schedule or learning_rate='invscaling', not both"),
    ({"n_nets": 3, "solver": "lbfgs"}, "n_nets above 1 trains nets together"),
]


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_invalid_settings_of_nets_raise(cls):
    for settings, message in SENTENCES:
        with pytest.raises(ValueError, match=message):
            cls(**settings).fit([[0.0], [1.0], [2.0]], [0, 1, 1])


UNKNOWN = [
    (TabularMLPRegressor, {"epochs": 3}, "TabularMLPRegressor.. got an .* 'epochs'. Did you mean 'max_iter'"),
    (TabularMLPClassifier, {"learning_rate": 0.1}, "'learning_rate'. Did you mean 'learning_rate_init'"),
    (TabularMLPClassifier, {"seed": 1}, "Did you mean 'random_state'"),
    (MLPClassifier, {"optimizer": "adam"}, "Did you mean 'solver'"),
    (MLPRegressor, {"weight_decay": 0.1}, "Did you mean 'alpha'"),
    (MLPRegressor, {"xyz": 0.1}, "MLPRegressor.. got an unexpected keyword argument 'xyz'.$"),
]


@pytest.mark.parametrize("cls, settings, message", UNKNOWN)
def test_unknown_parameters_raise_with_the_name_that_is_meant(cls, settings, message):
    with pytest.raises(TypeError, match=message):
        cls(**settings)


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor))
def test_unknown_arguments_of_methods_raise_with_the_name_that_is_meant(cls):
    model, data, name = cls(), ([[0.0], [1.0]], [0, 1]), cls.__name__
    with pytest.raises(
        TypeError, match=rf"{name}.fit\(\) got an .* 'time_limit'. It is a .* write {name}\(time_limit="
    ):
        model.fit(*data, time_limit=5)
    with pytest.raises(TypeError, match="Did you mean 'sample_weight'"):
        model.fit(*data, sample_weights=[1, 1])
    with pytest.raises(TypeError, match=rf"Did you mean the parameter 'max_iter' .* Write {name}\(max_iter="):
        model.fit(*data, epochs=3)
    assert "args" not in str(signature(cls)) + str(signature(cls.fit)), "scikit-learn reads the signatures"


def test_the_message_on_text_names_the_classifier():
    for cls, name in ((MLPRegressor, "MLPClassifier"), (TabularMLPRegressor, "TabularMLPClassifier")):
        with pytest.raises(ValueError, match=f"for classes use {name}.$"):
            cls().fit([[0.0], [1.0]], ["a", "b"])
