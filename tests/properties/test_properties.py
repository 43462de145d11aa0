"""Properties that nets of any shape must have, tested on random nets."""

import kernel_families
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net_cases import HIDDEN, PAIRS, assert_same_gradient, reference_of

from fastmlp import MLP, SGD

some = settings(
    deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def tasks(draw):
    """Draw (net, reference, X, y) in float64: up to three hidden layers of up to 40 units, up to 40 samples."""
    loss, output = draw(st.sampled_from(PAIRS))
    widths = st.integers(1, 40)
    sizes = (draw(widths), *draw(st.lists(widths, max_size=3)), draw(st.integers(2 if output == "softmax" else 1, 20)))
    hidden = [draw(st.sampled_from(HIDDEN)) for _ in sizes[1:-1]]
    n, rng = draw(st.integers(1, 40)), np.random.default_rng(draw(st.integers(0, 1000)))
    net = MLP(
        sizes,
        hidden_activation=hidden,
        output_activation=output,
        loss=loss,
        dtype="float64",
        l2=draw(st.sampled_from([0.0, 0.1])),
        random_state=draw(st.integers(0, 100)),
    )
    y = rng.random((n, sizes[-1]))
    if output == "softmax":
        y /= y.sum(axis=1, keepdims=True)
    return net, reference_of(net), rng.normal(size=(n, sizes[0])), y


@pytest.fixture(params=kernel_families.FAMILIES)
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@some
@given(task=tasks(), data=st.data())
def test_gradient_and_one_epoch_match_the_reference(family, task, data):
    """The batch size may be any: one that does not divide the number of samples, or exceeds it."""
    net, reference, X, y = task
    assert_same_gradient(net, reference, X, y, "float64")
    size = data.draw(st.integers(1, len(X) + 3))
    net.fit(X, y, epochs=1, batch_size=size, optimizer=SGD(1e-3), shuffle=False, verbose=0)
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        reference.params -= 1e-3 * reference.loss_and_gradient(X[rows], y[rows])[1]
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-9, atol=1e-9)


@some
@given(task=tasks(), data=st.data())
def test_permuting_hidden_units_keeps_the_outputs(family, task, data):
    net, _, X, _ = task
    before = net.predict(X)
    if len(net.weights) > 1:
        k = data.draw(st.integers(0, len(net.weights) - 2))
        order = data.draw(st.permutations(range(net.weights[k].shape[1])))
        net.weights[k][:], net.biases[k][:] = net.weights[k][:, order], net.biases[k][order]
        net.weights[k + 1][:] = net.weights[k + 1][order]
    np.testing.assert_allclose(net.predict(X), before, rtol=1e-9, atol=1e-12)
