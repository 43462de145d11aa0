"""The model that a diagnosis computes with: compared with the reference, and built from users' arrays or functions."""

import numpy as np
import pytest
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP
from fastmlp.diagnosis.model_under_test import (
    activation_row,
    from_arrays,
    from_function,
    model_of_fastmlp,
    own_activation,
)
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES

HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]


def targets(loss, rng, n, k):
    Y = rng.random((n, k))
    return Y / Y.sum(axis=1, keepdims=True) if loss == "softmax_cross_entropy" else Y


@pytest.mark.parametrize("activation", HIDDEN)
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
def test_loss_gradient_and_outputs_equal_the_reference(rng, activation, loss):
    net = MLP((3, 5, 4, 2), hidden_activation=activation, loss=loss, dtype="float64", random_state=1, l2=0.1)
    X = rng.normal(size=(7, 3))
    Y = targets(loss, rng, 7, 2)
    names = [ACTIVATIONS[code].name for code in net.network.activation_codes]
    reference = ReferenceMLP((3, 5, 4, 2), names, loss, net.params, l2=0.1)
    subject = model_of_fastmlp(net.network, net.params[None], 0.1)
    expected, gradient = reference.loss_and_gradient(X, Y)
    found = subject.objective(X, Y, subject.params)
    np.testing.assert_allclose(found, [expected], rtol=TOLERANCES["gradient", "float64"])
    np.testing.assert_allclose(subject.forward(X)[1][-1][0], reference.predict(X), rtol=1e-11, atol=1e-14)
    if activation != "fahlman_sigmoid" and names[-1] != "fahlman_sigmoid":  # whose rule is steeper than its slope
        np.testing.assert_allclose(subject.gradient(X, Y)[0], gradient, rtol=1e-9, atol=1e-13)


def test_loss_includes_label_smoothing(rng):
    net = MLP((2, 4, 3), loss="softmax_cross_entropy", label_smoothing=0.2, dtype="float64", random_state=0)
    X, y = rng.normal(size=(9, 2)), np.arange(9) % 3
    subject = model_of_fastmlp(net.network, net.params[None], 0.0)
    loss, gradient = net.loss_and_gradient(X, y)
    np.testing.assert_allclose(subject.objective(X, np.eye(3)[y], subject.params), [loss], rtol=1e-12)
    np.testing.assert_allclose(subject.gradient(X, np.eye(3)[y])[0], gradient, atol=1e-13)


@pytest.mark.parametrize(
    "given, name",
    [("linear", "identity"), ("logistic", "sigmoid"), ("ReLU", "relu"), ("LeakyReLU", "leaky_relu"), ("swish", "silu")],
)
def test_activation_names_of_other_libraries_are_understood(given, name):
    assert activation_row(given, hidden=True).name == name


def test_invalid_weight_arrays_raise():
    W, b = [np.ones((2, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)]
    assert from_arrays(W, b, ["tanh", "sigmoid"]).layout.layer_sizes == (2, 3, 1)
    with pytest.raises(ValueError, match=r"a name or a function per layer.* names 1 where the layers are 2"):
        from_arrays(W, b, ["tanh"])
    with pytest.raises(ValueError, match="Layer 2 should have W of shape"):
        from_arrays([W[0], np.ones((4, 1))], b, ["tanh", "sigmoid"])
    with pytest.raises(ValueError, match=r"Unknown activation 'tahn'. Did you mean 'tanh'\?"):
        from_arrays(W, b, ["tahn", "sigmoid"])
    with pytest.raises(ValueError, match="does not go with the output activation 'sigmoid', but with 'softmax'"):
        from_arrays(W, b, ["tanh", "sigmoid"], "softmax_cross_entropy")
    with pytest.raises(ValueError, match="belong together"):
        from_arrays(W, b, ["tanh", "softmax"], "squared_error")


def test_functions_must_return_a_row_per_sample():
    X = np.ones((4, 2))
    assert from_function(lambda x: x.sum(axis=1), X).n_outputs == 1
    with pytest.raises(ValueError, match=r"one row of outputs per sample, shape \(4, n_outputs\)"):
        from_function(lambda x: x.T, X)


def test_an_identity_output_of_a_probability_loss_is_its_logits():
    W, b = [np.ones((2, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)]
    assert from_arrays(W, b, ["tanh", "identity"], "binary_cross_entropy").activations[-1].name == "sigmoid"
    assert from_arrays(W, b, ["tanh", "identity"], "poisson").activations[-1].name == "exponential"
    with pytest.raises(ValueError, match="loss 'binary_cross_entropy' does not go with the output activation 'tanh'"):
        from_arrays(W, b, ["tanh", "tanh"], "binary_cross_entropy")
    assert from_arrays(W, b, ["tanh", lambda z: 1 / (1 + np.exp(-z))], "binary_cross_entropy").n_outputs == 1


def test_activations_may_compute_in_place():
    def relu(z):
        z[z < 0] = 0
        return z

    row = own_activation(relu)
    z = np.array([-1.0, 2.0])
    np.testing.assert_allclose(row.derivative(z), [0.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(z, [-1.0, 2.0])
    assert (own_activation(np.tanh).low, row.low) == (-1.0, 0.0)
