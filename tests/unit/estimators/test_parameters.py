"""Parameters under scikit-learn's names: their translation to fastmlp's, and errors for invalid values."""

from inspect import signature

import numpy as np
import pytest

from fastmlp import SGD, Adam, AdamW, MLPClassifier, MLPRegressor, RMSprop, TabularMLPClassifier, TabularMLPRegressor
from fastmlp.estimators.parameters import batch_size_of, dtype_of, hidden_sizes, optimizer_of, solver_name
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
    assert solver_name(AdamW()) == "adamw"
    assert hidden_sizes(MLPClassifier(7)) == (7,)
    assert hidden_sizes(MLPClassifier([3, 2])) == (3, 2)
    assert hidden_sizes(MLPClassifier(np.array([3, 2]))) == (3, 2)
    assert hidden_sizes(MLPClassifier(())) == ()


BAD = [
    ({"alpha": -1.0}, "alpha must be a number"),
    ({"batch_size": 0}, "batch_size must be a whole number"),
    ({"batch_size": "all"}, "batch_size must be a whole number"),
    ({"learning_rate": "adaptiv"}, "Unknown learning_rate 'adaptiv'. Did you mean 'adaptive'"),
    ({"learning_rate_init": 0.0}, "learning_rate_init must be a number"),
    ({"solver": "adm"}, "Unknown solver 'adm'. Did you mean 'adam'"),
    ({"activation": "softmax"}, "Unknown activation 'softmax'"),
    ({"activation": "logisitc"}, "Unknown activation 'logisitc'. Did you mean 'logistic'. Choose from: logistic, "),
    ({"max_iter": 0}, "max_iter must be a whole number"),
    ({"max_fun": 1.5}, "max_fun must be a whole number"),
    ({"tol": -1e-3}, "tol must be a number"),
    ({"momentum": 1.5, "solver": "sgd"}, "momentum must be a number"),
    ({"beta_1": 1.0}, "beta_1 must be a number"),
    ({"epsilon": 0.0}, "epsilon must be a number"),
    ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number"),
    ({"validation_fraction": 1.0}, "validation_fraction must be a number"),
    ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes.1. must be a whole number"),
    ({"hidden_layer_sizes": "64,64"}, r"hidden_layer_sizes must be .* such as \(64, 64\), but it is the text '64,64'"),
    ({"dropout": 1.0}, "dropout must be a number"),
    ({"loss": "log"}, "Unknown loss 'log'"),
    ({"device": "gpu"}, "Unknown device 'gpu'"),
    ({"dtype": "float16"}, "dtype must be 'float32' or 'float64'"),
    ({"schedule": "cosine", "learning_rate": "invscaling"}, "Give a schedule or learning_rate='invscaling', not both"),
    ({"n_nets": 0}, "n_nets must be a whole number"),
    ({"n_nets": 3, "solver": "lbfgs"}, "n_nets above 1 trains nets together"),
]


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
@pytest.mark.parametrize("settings, message", BAD, ids=[str(settings) for settings, _ in BAD])
def test_invalid_settings_raise(cls, settings, message):
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
