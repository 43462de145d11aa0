"""Derivatives of outputs by inputs, compared with central differences in float64."""

import numpy as np
import pytest

import fastmlp
from fastmlp import MLP, Population
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.network.spec import HIDDEN

STEP = 1e-6


def central(net, X):
    """(n_samples, n_outputs, n_features), of a population (n_nets, ...)."""
    columns = []
    for k in range(X.shape[-1]):
        shift = STEP * (np.arange(X.shape[-1]) == k)
        columns.append((net.predict(X + shift) - net.predict(X - shift)) / (2 * STEP))
    return np.stack(columns, axis=-1)


CASES = [
    (hidden, row.name, output)
    for hidden, row, output in [(name, LOSSES[0], "identity") for name in HIDDEN]
    + [("tanh", row, output) for row in LOSSES for output in row.outputs or ("identity", "tanh", "fahlman_sigmoid")]
]


@pytest.mark.parametrize("hidden, loss, output", CASES)
@pytest.mark.quick
def test_derivatives_equal_central_differences(hidden, loss, output, rng):
    settings = {"hidden_activation": hidden, "loss": loss, "output_activation": output, "dtype": "float64"}
    settings |= {"init": fastmlp.Uniform(-1.0, 1.0), "random_state": 0}
    X = rng.normal(size=(30, 3))
    net, nets = MLP((3, 5, 4, 2), **settings), Population((3, 5, 4, 2), 5, **settings)
    for each, samples in ((net, X), (nets, X), (nets, rng.normal(size=(5, 30, 3)))):
        found = each.jacobian(samples)
        np.testing.assert_allclose(found, central(each, samples), rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(each.input_gradient(samples, 1), found[..., 1, :])
        np.testing.assert_array_equal(each.input_gradient(samples), found[..., 0, :])


def test_many_samples_are_taken_piece_by_piece(monkeypatch, rng):
    X, net = rng.normal(size=(101, 3)), MLP((3, 5, 2), dropout=0.5, random_state=0)
    whole = net.jacobian(X)
    monkeypatch.setattr("fastmlp.nets.sensitivity.PIECE", 50)
    np.testing.assert_array_equal(net.jacobian(X), whole)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("output", (-1, 2, 0.5, True, "a"))
def test_an_output_that_is_not_there(output):
    with pytest.raises(ValueError, match="output must be the number of an output, from 0 to 1"):
        MLP((3, 2)).input_gradient(np.zeros((2, 3)), output)


def test_bad_inputs():
    with pytest.raises(ValueError, match="X has 2 features, but the net has 3 inputs"):
        MLP((3, 2)).jacobian(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="X must be finite"):
        Population((3, 2), 4).jacobian(np.full((2, 3), np.nan))
