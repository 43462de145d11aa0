"""Nets of any kind as models under test: outputs are those of their library, losses and gradients of a reference."""

import numpy as np
import pytest
from reference_net import ReferenceMLP
from required_libraries import library
from tolerances import TOLERANCES

from fastmlp import MLP, diagnose
from fastmlp.diagnosis.adapters import activation_row, from_arrays, from_function, model_of, own_activation
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES

HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]


def read(net, X, activations=None, loss=None, y=None):
    return model_of(net, X, X[:, 0] if y is None else y, activations, loss)


def outputs(model, X):
    return model.forward(X)[1][-1][0]


@pytest.fixture
def X(rng):
    return rng.normal(size=(60, 3))


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_loss_gradient_and_outputs_equal_the_reference(rng, activation, loss):
    net = MLP((3, 5, 4, 2), hidden_activation=activation, loss=loss, dtype="float64", random_state=1, l2=0.1)
    X, Y = rng.normal(size=(7, 3)), rng.random((7, 2))
    Y = Y / Y.sum(axis=1, keepdims=True) if loss == "softmax_cross_entropy" else Y
    names = [ACTIVATIONS[code].name for code in net.network.activation_codes]
    reference = ReferenceMLP((3, 5, 4, 2), names, loss, net.params, l2=0.1)
    model = read(net, X)
    expected, gradient = reference.loss_and_gradient(X, Y)
    np.testing.assert_allclose(model.objective(X, Y, model.params), [expected], rtol=TOLERANCES["gradient", "float64"])
    np.testing.assert_allclose(outputs(model, X), reference.predict(X), rtol=1e-11, atol=1e-14)
    if activation != "fahlman_sigmoid" and names[-1] != "fahlman_sigmoid":  # whose rule is steeper than its slope
        np.testing.assert_allclose(model.gradient(X, Y)[0], gradient, rtol=1e-9, atol=1e-13)


def test_loss_includes_label_smoothing(rng):
    net = MLP((2, 4, 3), loss="softmax_cross_entropy", label_smoothing=0.2, dtype="float64", random_state=0)
    X, y = rng.normal(size=(9, 2)), np.arange(9) % 3
    model, (loss, gradient) = read(net, X), net.loss_and_gradient(X, y)
    np.testing.assert_allclose(model.objective(X, np.eye(3)[y], model.params), [loss], rtol=1e-12)
    np.testing.assert_allclose(model.gradient(X, np.eye(3)[y])[0], gradient, atol=1e-13)


# ---- other libraries


def test_scikit_learn_outputs_are_reproduced(X):
    neural_network = pytest.importorskip("sklearn.neural_network")
    y = (X[:, 0] > 0).astype(int)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 300, "random_state": 0, "learning_rate_init": 0.05}
    binary = neural_network.MLPClassifier(**settings).fit(X, np.where(y, "yes", "no"))
    np.testing.assert_allclose(outputs(read(binary, X), X)[:, 0], binary.predict_proba(X)[:, 1], atol=1e-12)
    assert diagnose(binary, X, np.where(y, "yes", "no")).is_healthy
    several = neural_network.MLPClassifier(activation="tanh", **settings).fit(X, np.argmax(X, axis=1))
    np.testing.assert_allclose(outputs(read(several, X), X), several.predict_proba(X), atol=1e-12)
    numbers = neural_network.MLPRegressor(activation="logistic", **settings).fit(X, X[:, 1])
    np.testing.assert_allclose(outputs(read(numbers, X), X)[:, 0], numbers.predict(X))
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
    of_module = read(net, X, loss="squared_error")
    assert of_module.dropped.tolist() == [[pytest.approx(0.1)]]
    for model in (of_module, read(net.state_dict(), X, ["relu", "tanh"]), read(net, X, ["relu", "tanh"])):
        np.testing.assert_allclose(outputs(model, X), expected, atol=1e-6)
    square = nn.Linear(3, 3)  # whose W does not show by its shape that it is transposed
    state = read(square.state_dict(), X, ["identity"], "squared_error")
    np.testing.assert_allclose(outputs(state, X), square(torch.tensor(X).float()).detach().numpy(), atol=1e-5)
    logits, labels = nn.Sequential(nn.Linear(3, 1)), (X[:, 0] > 0).astype(int)
    assert 0 < outputs(read(logits, X, loss="binary_cross_entropy"), X).min() < 1
    with pytest.raises(ValueError, match="so its loss must be named: loss='binary_cross_entropy'"):
        diagnose(logits, X, labels)
    assert diagnose(logits, X, labels, loss="binary_cross_entropy").evidence


def test_a_pytorch_module_with_a_forward_of_its_own_needs_the_activations(X):
    torch = library("torch", extras="bench")

    class OfItsOwn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(3, 6), torch.nn.Linear(6, 1)

        def forward(self, x):
            return self.second(torch.nn.functional.relu(self.first(x)))

    net = OfItsOwn()
    expected = net(torch.tensor(X).float()).detach().numpy()
    np.testing.assert_allclose(outputs(read(net, X, ["relu", "identity"]), X), expected, atol=1e-5)
    for module in (net, torch.nn.Sequential(torch.nn.Conv1d(1, 1, 1))):
        with pytest.raises(ValueError, match=r"Or give diagnose activations=\[...\], a name or a function for each"):
            read(module, X)


class KerasModel:
    """A fake model with the method that Keras's models have, since importing Keras takes long."""

    def __init__(self, arrays):
        self.get_weights = lambda: arrays

    def __call__(self, X):
        raise AssertionError("its weights are read")


# ---- arrays and functions


def test_weights_may_be_lists_dictionaries_or_transposed(X):
    net = MLP((3, 4, 1), hidden_activation="tanh", random_state=0, dtype="float64")
    arrays = [array for pair in zip(net.weights, net.biases, strict=True) for array in pair]
    transposed, columns = [array.T for array in arrays], [array.reshape(len(array), -1) for array in arrays]
    pairs = list(zip(net.weights, net.biases, strict=True))
    forms = arrays, transposed, columns, tuple(arrays), dict(enumerate(transposed)), pairs, KerasModel(arrays)
    for given in forms:
        np.testing.assert_allclose(outputs(read(given, X, ["tanh", "identity"]), X), net.predict(X))
    only_weights = read(net.weights, X, ["tanh", "identity"])
    np.testing.assert_allclose(outputs(only_weights, X), net.predict(X), atol=1e-12)  # biases start at 0


W, B = [np.ones((2, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda X: read([np.ones((3, 1)), np.ones(1)], X), "Weights alone do not determine the outputs"),
        (lambda X: read([np.ones((3, 1, 1))], X, ["tanh"]), "in the order of the layers, but they have shapes"),
        (lambda X: read(3, X), "or a forward function, but it is int"),
        (lambda X: read("net.safetensors", X), "load it first, by fastmlp.load"),
        (lambda X: from_arrays(W, B, ["tanh"]), r"a name or a function per layer.* names 1 where the layers are 2"),
        (lambda X: from_arrays([W[0], np.ones((4, 1))], B, ["tanh", "tanh"]), "Layer 2 should have W of shape"),
        (lambda X: from_arrays(W, B, ["tahn", "sigmoid"]), r"Unknown activation 'tahn'. Did you mean 'tanh'\?"),
        (
            lambda X: from_arrays(W, B, ["tanh", "sigmoid"], "softmax_cross_entropy"),
            "does not go with the output activation 'sigmoid', but with 'softmax'",
        ),
        (lambda X: from_arrays(W, B, ["tanh", "softmax"], "squared_error"), "belong together"),
        (lambda X: from_function(lambda x: x.T, X), r"one row of outputs per sample, shape \(60, n_outputs\)"),
    ],
)
def test_unreadable_nets_raise(X, make, message):
    with pytest.raises(ValueError, match=message):
        make(X)


def test_an_identity_output_of_a_probability_loss_is_its_logits():
    last = lambda *arguments: from_arrays(W, B, *arguments).activations[-1].name
    assert last(["tanh", "identity"], "binary_cross_entropy") == "sigmoid"
    assert last(["tanh", "identity"], "poisson") == "exponential"
    assert last(["tanh", lambda z: 1 / (1 + np.exp(-z))], "binary_cross_entropy") == "lambda"


@pytest.mark.parametrize(
    "given, name",
    [("linear", "identity"), ("logistic", "sigmoid"), ("ReLU", "relu"), ("LeakyReLU", "leaky_relu"), ("swish", "silu")],
)
def test_activation_names_of_other_libraries_are_understood(given, name):
    assert activation_row(given, hidden=True).name == name


def test_activations_may_compute_in_place():
    def relu(z):
        z[z < 0] = 0
        return z

    row, z = own_activation(relu), np.array([-1.0, 2.0])
    np.testing.assert_allclose(row.derivative(z), [0.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(z, [-1.0, 2.0])
    assert (own_activation(np.tanh).low, row.low) == (-1.0, 0.0)
