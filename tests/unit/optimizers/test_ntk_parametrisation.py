"""The neural tangent parametrisation by learning_rate_factors, as docs/guide/training.md has it, beside its definition:
training of V, where a layer of n inputs computes V x / sqrt(n) + b.
"""

from itertools import pairwise

import numpy as np
import pytest
import reference_optimizers
from reference_net import ReferenceMLP

from fastmlp import MLP, SGD, Adagrad, Adam, RMSprop

SIZES, STEPS = (5, 8, 6, 2), 12


def trained_v(net, X, y, step, rate, **settings):
    """Return the parameters W and b after steps of V and b, in float64."""
    scales = [np.repeat((n**-0.5, 1.0), (n * n_outputs, n_outputs)) for n, n_outputs in pairwise(SIZES)]
    scale = np.concatenate(scales)
    reference = ReferenceMLP(SIZES, ("tanh", "tanh", "identity"), "squared_error", net.params)
    p, state = net.params / scale, {}
    for _ in range(STEPS):
        reference.params = scale * p
        loss, gradient = reference.loss_and_gradient(X, y)
        p = step(p, scale * gradient, state, loss, rate, **settings)
    return scale * p


@pytest.mark.parametrize(
    "kind, power, settings",
    [
        (SGD, -1.0, {"momentum": 0.8}),
        (SGD, -1.0, {"momentum": 0.8, "nesterov": True}),
        (Adam, -0.5, {"epsilon": 1e-30}),
        (RMSprop, -0.5, {"epsilon": 1e-30}),
        (Adagrad, -0.5, {"epsilon": 1e-30}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_factors_train_w_as_v_is_trained(kind, power, settings, rng):
    X, y = rng.normal(size=(30, SIZES[0])), rng.normal(size=(30, SIZES[-1]))
    net = MLP(SIZES, hidden_activation="tanh", init="lecun_normal", dtype="float64", device="cpu", random_state=0)
    step = getattr(reference_optimizers, kind.__name__.lower())
    expected = trained_v(net, X, y, step, 0.05, **settings)
    factors = {(k, "weights"): n**power for k, n in enumerate(SIZES[:-1])}
    start = net.params.copy()
    net.fit(X, y, epochs=STEPS, optimizer=kind(0.05, learning_rate_factors=factors, **settings), verbose=0)
    np.testing.assert_allclose(net.params, expected, rtol=1e-9, atol=1e-11)
    assert np.abs(net.params - start).max() > 0.01


def test_v_begins_as_standard_normal():
    net = MLP((400, 300, 1), init="lecun_normal", random_state=0)
    V = net.weights[0] * np.sqrt(400)
    assert V.mean() == pytest.approx(0.0, abs=0.01)
    assert V.std() == pytest.approx(1.0, abs=0.01)
