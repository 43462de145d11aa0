"""Adapters of the diagnosis for nets of other libraries: outputs equal those of the library."""

import functools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from required_libraries import library

import fastmlp
from fastmlp import MLP, diagnose
from fastmlp.diagnosis.adapters import model_of_other_library


def outputs(subject, X):
    return subject.forward(X)[1][-1][0]


@pytest.fixture
def X(rng):
    return rng.normal(size=(60, 3))


def test_scikit_learn_outputs_are_reproduced(X):
    neural_network = pytest.importorskip("sklearn.neural_network")
    y = (X[:, 0] > 0).astype(int)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 300, "random_state": 0, "learning_rate_init": 0.05}
    binary = neural_network.MLPClassifier(**settings).fit(X, np.where(y, "yes", "no"))
    np.testing.assert_allclose(
        outputs(model_of_other_library(binary, X, None, None), X)[:, 0], binary.predict_proba(X)[:, 1], atol=1e-12
    )
    found = diagnose(binary, X, np.where(y, "yes", "no"))
    assert found.is_healthy
    several = neural_network.MLPClassifier(activation="tanh", **settings).fit(X, np.argmax(X, axis=1))
    np.testing.assert_allclose(
        outputs(model_of_other_library(several, X, None, None), X), several.predict_proba(X), atol=1e-12
    )
    numbers = neural_network.MLPRegressor(activation="logistic", **settings).fit(X, X[:, 1])
    np.testing.assert_allclose(outputs(model_of_other_library(numbers, X, None, None), X)[:, 0], numbers.predict(X))
    assert diagnose(numbers, X, X[:, 1]).is_healthy
    with pytest.raises(ValueError, match="The estimator has no weights before fit"):
        diagnose(neural_network.MLPRegressor(), X, X[:, 1])
    with pytest.raises(ValueError, match="y holds the label 'maybe', which the classifier does not know"):
        diagnose(binary, X, np.where(y, "yes", "maybe"))


def test_pytorch_outputs_are_reproduced(X):
    torch = library("torch", extras="bench")
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.1), nn.Sequential(nn.Linear(6, 2), nn.Tanh())).eval()
    expected = net(torch.tensor(X, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(outputs(model_of_other_library(net, X, None, "squared_error"), X), expected, atol=1e-6)
    state = model_of_other_library(net.state_dict(), X, ["relu", "tanh"], "squared_error")
    np.testing.assert_allclose(outputs(state, X), expected, atol=1e-6)
    logits = nn.Sequential(nn.Linear(3, 1))
    probability = outputs(model_of_other_library(logits, X, None, "binary_cross_entropy"), X)
    assert probability.min() > 0
    assert probability.max() < 1
    with pytest.raises(ValueError, match="so its loss must be named: loss='binary_cross_entropy'"):
        diagnose(logits, X, (X[:, 0] > 0).astype(int))
    assert diagnose(logits, X, (X[:, 0] > 0).astype(int), loss="binary_cross_entropy").evidence
    with pytest.raises(ValueError, match="this one has a layer Conv1d"):
        model_of_other_library(nn.Sequential(nn.Conv1d(1, 1, 1)), X, None, None)


def test_pytorch_modules_whose_layers_are_not_all_are_refused(X):
    torch = library("torch", extras="bench")
    torch.manual_seed(0)
    nn, read = torch.nn, lambda net: model_of_other_library(net, X, None, "squared_error")
    shared = nn.ReLU()
    for net in (
        nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Identity(), nn.Linear(6, 1)),
        nn.Sequential(nn.Linear(3, 6), shared, nn.Linear(6, 6), shared, nn.Linear(6, 1)),
    ):
        net.train()
        expected = net(torch.tensor(X, dtype=torch.float32)).detach().numpy()
        np.testing.assert_allclose(outputs(read(net), X), expected, atol=1e-5)
        assert net.training
        assert net[0].training
    square = nn.Linear(3, 3)
    state = model_of_other_library(square.state_dict(), X, ["identity"], "squared_error")
    np.testing.assert_allclose(outputs(state, X), square(torch.tensor(X).float()).detach().numpy(), atol=1e-5)

    class OfItsOwn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 1)

        def forward(self, x):
            return self.second(torch.nn.functional.relu(self.first(x)))

    for net in (OfItsOwn(), nn.Sequential(nn.Linear(3, 6), nn.LeakyReLU(0.5), nn.Linear(6, 1))):
        with pytest.raises(ValueError, match="are not those of its layers one after another"):
            read(net)
    named = model_of_other_library(OfItsOwn(), X, ["relu", "identity"], "squared_error")
    assert [row.name for row in named.activations] == ["relu", "identity"]
    with pytest.raises(ValueError, match="has a layer softplus after tanh"):
        read(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Softplus(), nn.Linear(6, 1)))


@pytest.mark.parametrize("loss", ["huber", "squared_error"])
def test_estimators_of_fastmlp_have_the_loss_and_dropout_of_their_net(X, loss):
    model = fastmlp.MLPRegressor(hidden_layer_sizes=(4,), loss=loss, dropout=0.25, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the number of epochs
        model.fit(X, X[:, 0])
    subject = model_of_other_library(model, X, None, None)
    assert (subject.loss.name, float(np.max(subject.dropout))) == (loss, 0.25)
    np.testing.assert_allclose(outputs(subject, X)[:, 0], model.predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # Keras, of NumPy 2
def test_keras_models_are_compared_with_their_outputs(X, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = library("keras", extras="bench")

    def model(*layers):
        return keras.Sequential([keras.layers.Input((3,)), *layers, keras.layers.Dense(2)])

    for layer in (
        keras.layers.Dense(4, activation="tanh"),
        keras.layers.Dense(4, activation="gelu"),
        keras.layers.Dense(4, activation=keras.layers.ReLU()),
    ):
        net = model(layer)
        found = model_of_other_library(net, X, None, None)
        np.testing.assert_allclose(outputs(found, X), np.asarray(net.predict_on_batch(X)), rtol=1e-3, atol=1e-4)
    for activation in ("leaky_relu", keras.layers.LeakyReLU()):  # with other slopes than here
        layer = keras.layers.Dense(4, activation=activation)
        with pytest.raises(ValueError, match="The outputs of the Keras model are not those of its layers"):
            model_of_other_library(model(layer), 9.0 * X, None, None)
    partial = functools.partial(keras.activations.gelu, approximate=True)
    with pytest.raises(ValueError, match="has a layer with the activation partial"):
        model_of_other_library(model(keras.layers.Dense(4, activation=partial)), X, None, None)


class Dense(SimpleNamespace):
    """A fake layer with the attributes of a layer of Keras, since importing Keras takes long."""

    def get_weights(self):
        return self.weights


class Dropout(Dense):
    """A fake layer without weights."""


def test_keras_outputs_are_reproduced(X, rng):
    first = [rng.normal(size=(3, 4)), rng.normal(size=4)]
    second = [rng.normal(size=(4, 2)), rng.normal(size=2)]
    swish, softmax = (SimpleNamespace(__name__=name) for name in ("swish", "softmax"))  # fake functions
    hidden, output = Dense(units=4, weights=first, activation=swish), Dense(units=2, weights=second, activation=softmax)
    model = Dense(layers=[hidden, Dropout(weights=[]), output])
    subject = model_of_other_library(model, X, None, None)
    assert [row.name for row in subject.activations] == ["silu", "softmax"]
    assert subject.loss.name == "softmax_cross_entropy"
    z = X @ first[0] + first[1]
    z = z / (1 + np.exp(-z)) @ second[0] + second[1]
    np.testing.assert_allclose(outputs(subject, X), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), atol=1e-12)


def test_weights_may_be_lists_dictionaries_or_transposed(X):
    net = MLP((3, 4, 1), hidden_activation="tanh", random_state=0, dtype="float64")
    arrays = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    transposed = [array.T for array in arrays]
    pairs = list(zip(net.weights, net.biases, strict=True))
    for given in (arrays, transposed, tuple(arrays), dict(enumerate(transposed)), pairs, tuple(map(list, pairs))):
        np.testing.assert_allclose(
            outputs(model_of_other_library(given, X, ["tanh", "identity"], None), X), net.predict(X)
        )
    only_weights = model_of_other_library(net.weights, X, ["tanh", "identity"], None)
    np.testing.assert_allclose(outputs(only_weights, X), net.predict(X), atol=1e-12)  # biases start at 0


def test_unreadable_models_raise(X):
    with pytest.raises(ValueError, match="Weights alone do not determine the outputs"):
        model_of_other_library([np.ones((3, 1)), np.ones(1)], X, None, None)
    with pytest.raises(ValueError, match="in the order of the layers, but they have shapes"):
        model_of_other_library([np.ones((3, 1, 1))], X, ["tanh"], None)
    with pytest.raises(ValueError, match="or a forward function, but it is int"):
        model_of_other_library(3, X, None, None)
