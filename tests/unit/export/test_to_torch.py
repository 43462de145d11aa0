"""Nets as modules of PyTorch: same outputs, same parameters to the bit, and back."""

import numpy as np
import pytest
from required_libraries import library

from fastmlp import MLP, from_torch
from fastmlp.diagnosis.adapters import model_of
from fastmlp.kernels.formulas.operands import FUNCTIONS
from fastmlp.network.spec import HIDDEN

torch = library("torch", extras="bench")
nn = torch.nn

OUTPUTS = {
    "softmax_cross_entropy": "softmax",
    "binary_cross_entropy": "sigmoid",
    "poisson": "exponential",
    "squared_error": "identity",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_outputs_and_parameters(activation, dtype, rng):
    X = rng.normal(size=(30, 4)).astype(dtype) * 3
    net = MLP((4, 8, 7, 3), hidden_activation=activation, dtype=dtype, dropout=[0.0, 0.25], random_state=1)
    net.biases[0][:] = np.linspace(-1, 1, 8)
    module = net.to_torch()
    assert isinstance(module, nn.Sequential)
    assert not module.training
    expected = net.predict(X)
    with torch.no_grad():
        found = module(torch.from_numpy(X)).numpy()
    assert found.dtype == dtype
    tolerance = (1e-5 if dtype == "float32" else 1e-8) * np.abs(expected).max()  # softplus is linear from 20 on
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    same = from_torch(module)
    assert same.params.tobytes() == net.params.tobytes()
    assert same.network == net.network


@pytest.mark.parametrize("loss", OUTPUTS)
def test_module_returns_predictions_or_logits(loss, rng):
    X = rng.normal(size=(9, 4)).astype(np.float32)
    net = MLP((4, 5, 3), loss=loss, random_state=1)
    module, logits = net.to_torch(), net.to_torch(logits=True)
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(X)).numpy(), net.predict(X), rtol=1e-5, atol=1e-6)
        z = logits(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(
        z, np.maximum(X @ net.weights[0] + net.biases[0], 0) @ net.weights[1] + net.biases[1], rtol=1e-4, atol=1e-5
    )
    assert from_torch(module).network == net.network
    assert from_torch(logits, loss=loss).network == net.network


def test_parameters_are_copies():
    net = MLP((4, 5, 3), random_state=1)
    module, before = net.to_torch(), net.params.copy()
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(net.params, before)
    same = from_torch(module)
    same.params[:] = 1.0
    assert float(module[0].weight.detach().sum()) == 0.0


def test_gradients_flow_through_activations_of_fastmlp():
    net = MLP((4, 5, 1), hidden_activation="symmetric_sigmoid", random_state=1)
    module, X = net.to_torch(), np.eye(4, dtype=np.float32)
    loss = (module(torch.from_numpy(X)) ** 2).mean()
    loss.backward()
    _, gradient = net.loss_and_gradient(X, np.zeros((4, 1)))
    np.testing.assert_allclose(module[0].weight.grad.numpy().T.ravel(), gradient[:20], atol=1e-6)
    assert "symmetric_sigmoid" in repr(module)


def test_pytorch_has_all_functions_of_formulas():
    from fastmlp.export.to_torch import FUNCTIONS as TORCH_FUNCTIONS
    from fastmlp.kernels.formulas import numpy_math

    assert set(TORCH_FUNCTIONS) == set(FUNCTIONS)
    z = np.array([0.1, 0.5, 0.9])
    for name, function in TORCH_FUNCTIONS.items():
        count = {"where": 3, "ratio": 2, "multiply_add": 3}.get(name, 1)
        operands = [z > 0.3, z, -z] if name == "where" else [z] * count
        found = function(*map(torch.from_numpy, operands)).numpy()
        np.testing.assert_allclose(found, getattr(numpy_math, name)(*operands), rtol=1e-12)


def test_diagnosis_of_own_modules(rng):
    X = rng.normal(size=(30, 4)).astype(np.float32)
    net = MLP((4, 6, 1), hidden_activation="symmetric_sigmoid", random_state=1)
    model = model_of(net.to_torch(), X, X[:, 0], None, None)
    np.testing.assert_allclose(model.forward(X)[1][-1][0], net.predict(X), rtol=1e-4, atol=1e-5)
