"""Invalid arguments of MLP and its methods: each raises a ValueError that names the argument at fault."""

import numpy as np
import pytest

from fastmlp import MLP

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.random.default_rng(1).normal(size=(12, 2))
LABELS = np.arange(12) % 3


def regressor():
    return MLP((3, 5, 2), hidden_activation="tanh", random_state=0)


BAD_NETS = [  # tests/unit/network/test_spec.py has those of the architecture
    ({"layer_sizes": (3, 0, 2)}, r"layer_sizes\[1\]"),
    ({"hidden_activation": "tnh"}, "hidden_activation 'tnh'. Did you mean 'tanh'"),
    ({"init": "he_unifrm"}, "init 'he_unifrm'. Did you mean 'he_uniform'"),
    ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', but it is 'float16'"),
    ({"device": "gpu"}, "device 'gpu'.*Choose from: auto, cpu, cuda"),
    ({"random_state": -1}, "random_state"),
    ({"random_state": "seed"}, "random_state"),
]


@pytest.mark.parametrize("settings, message", BAD_NETS, ids=[str(row[0]) for row in BAD_NETS])
def test_invalid_net_settings_raise(settings, message):
    settings = {"layer_sizes": (3, 5, 2)} | settings
    with pytest.raises(ValueError, match=message):
        MLP(settings.pop("layer_sizes"), **settings)


BAD_FITS = [
    ({"epochs": 0}, "epochs must be a whole number of at least 1, but it is 0"),
    ({"epochs": 2.5}, "epochs"),
    ({"epochs": "10"}, "epochs"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, but it is 0"),
    ({"batch_size": 3.0}, "batch_size"),
    ({"optimizer": "sdg"}, "optimizer 'sdg'. Did you mean 'sgd'"),
    ({"optimizer": None}, "optimizer None"),
    ({"schedule": "cosin"}, "schedule 'cosin'. Did you mean 'cosine'"),
    ({"schedule": lambda steps, n_steps: np.nan}, "schedule must give a finite factor"),
    ({"sample_weight": np.ones(5)}, "sample_weight"),
    ({"class_weight": "balanced"}, "class_weight needs a task with exclusive classes"),
    ({"validation_fraction": 1.0}, "validation_fraction"),
    ({"validation_data": X}, r"validation_data must be \(X, y\)"),
    ({"validation_data": (X[:, :2], Y)}, "2 features, but the net has 3 inputs"),
    ({"validation_data": (X, Y[:5])}, "5 samples"),
    ({"validation_data": (X, Y), "validation_fraction": 0.5}, "validation_data or validation_fraction, not both"),
    ({"early_stopping": 0}, "early_stopping"),
    ({"early_stopping": "yes"}, "early_stopping"),
]


@pytest.mark.parametrize("settings, message", BAD_FITS, ids=[str(list(row[0])) + row[1] for row in BAD_FITS])
def test_invalid_fit_arguments_raise(settings, message):
    """An invalid fit raises its error before the parameters change."""
    net = regressor()
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, Y, **{"epochs": 2, "verbose": 0} | settings)
    np.testing.assert_array_equal(net.params, before)


BAD_DATA = [  # tests/unit/data has more
    (np.empty((0, 3)), np.empty((0, 2)), "X must have at least one sample"),
    (X[:, :2], Y, "X has 2 features, but the net has 3 inputs"),
    (np.where(X > 1, np.nan, X), Y, "X must be finite"),
    (None, Y, "X must be an array of numbers, but it is None"),
    (X, None, "y must be an array of numbers, but it is None"),
    (X, np.where(Y > 1, -np.inf, Y), "y must be finite"),
    (X, Y[:11], "y has 11 samples, but X has 12"),
    (X, LABELS, "class numbers from 0 to 1 .* but it holds 0 to 2"),
]


@pytest.mark.parametrize("bad_X, bad_y, message", BAD_DATA, ids=[row[2] for row in BAD_DATA])
def test_invalid_data_raise(bad_X, bad_y, message):
    net = regressor()
    for method in (net.fit, net.evaluate, net.loss_and_gradient):
        with pytest.raises(ValueError, match=message):
            method(bad_X, bad_y)
    if message.startswith("X"):
        for method in (net.predict, net.predict_classes):
            with pytest.raises(ValueError, match=message):
                method(bad_X)


@pytest.mark.parametrize(
    "values, message", [(np.zeros(5), "params must have shape"), (["a"], "params must hold numbers")]
)
def test_invalid_params_raise(values, message):
    with pytest.raises(ValueError, match=message):
        regressor().params = values
