"""Nets and their float64 references for every loss and output activation, and the comparison of their gradients."""

import numpy as np
import pytest
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.losses import LOSSES
from fastmlp.network.spec import ELEMENTWISE

PAIRS = [(loss.name, output) for loss in LOSSES for output in (loss.outputs or ELEMENTWISE)]
HIDDEN = [row.name for row in ACTIVATIONS if row.hidden]


def targets_for(loss, output, n, k, rng):
    if loss == "softmax_cross_entropy":
        return np.eye(k)[rng.integers(0, k, n)]
    if loss == "binary_cross_entropy":
        return rng.integers(0, 2, (n, k)).astype(float)
    if loss == "poisson":
        return rng.poisson(1.5, (n, k)).astype(float)
    if loss == "atanh_error":
        return rng.random((n, k)) - (output != "sigmoid") * 0.5
    return rng.normal(size=(n, k)) * 0.4


def reference_of(net):
    """Return the float64 reference of a net, with a copy of its parameters."""
    names, network = [ACTIVATIONS[code].name for code in net.network.activation_codes], net.network
    return ReferenceMLP(
        network.layer_sizes, names, network.loss_row.name, net.params, network.l2, network.loss_constant
    )


def net_and_reference(sizes, hidden, loss, output, dtype, **settings):
    net = MLP(
        sizes, hidden_activation=hidden, loss=loss, output_activation=output, dtype=dtype, random_state=3, **settings
    )
    net.params[:] = np.random.default_rng(7).normal(size=net.params.shape) * 0.5
    return net, reference_of(net)


def assert_same_gradient(net, reference, X, y, dtype, case="", **weights):
    """Compare loss, gradient and outputs with the reference; `case` names the net in the message of a difference."""
    loss, gradient = net.loss_and_gradient(X, y, **weights)
    if "sample_weight" in weights:
        weights = {"weight": weights["sample_weight"] / weights["sample_weight"].mean()}
    expected_loss, expected = reference.loss_and_gradient(X, y, **weights)
    tolerance, outputs = TOLERANCES["gradient", dtype], reference.predict(X)
    assert loss == pytest.approx(expected_loss, rel=tolerance, abs=tolerance), case
    for found, true in ((gradient, expected), (net.predict(X), outputs)):
        near = {"rtol": tolerance, "atol": tolerance * max(1.0, np.abs(true).max())}
        np.testing.assert_allclose(found, true, **near, err_msg=str(case))
