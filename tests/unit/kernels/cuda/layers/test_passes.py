"""Passes through the layers, of one net and of several: outputs, losses and gradients as in float64 NumPy."""

import numpy as np
import pytest
from reference_net import ReferenceMLP

from fastmlp import MLP
from fastmlp.execution.net_description import describe_net
from fastmlp.kernels.structs import METRIC_NONE, NO_UPDATE

SIZES, MAX_ROWS = (5, 70, 3), 100
ACTIVATIONS = ("gelu", "identity")  # the derivative of the first needs z


@pytest.fixture(params=[1, 3], ids=["one net", "three nets"])
def nets(request):
    names = {"hidden_activation": ACTIVATIONS[0], "dtype": "float64"}
    return [MLP(SIZES, device="cpu", random_state=seed, **names) for seed in range(request.param)]


@pytest.fixture
def grads(nets, cuda):
    return cuda.asarray(np.full((len(nets), len(nets[0].padded_params)), np.nan))


@pytest.fixture
def passes(nets, grads, cuda):
    """Passes with the parameters of the nets."""
    from fastmlp.kernels.cuda.layers.passes import Passes

    spec = describe_net(nets[0].network)
    found = Passes(spec, len(nets), MAX_ROWS, np.dtype(np.float64), "exact")
    found.bind(spec, cuda.asarray(np.stack([net.padded_params for net in nets])), grads)
    return found


@pytest.fixture
def module(nets, passes):
    from fastmlp.kernels.cuda.build.compiled_module import compiled, source
    from fastmlp.kernels.cuda.build.net_constants import Architecture
    from fastmlp.kernels.cuda.layers.passes import FILES, header_of

    spec = describe_net(nets[0].network)
    architecture = Architecture.of(spec, METRIC_NONE, np.dtype(np.float64))
    switches = {"ONE_NET": len(nets) == 1, "WEIGHTED": False, "LAYERED": False}
    return compiled(source(header_of(architecture, passes.operands, NO_UPDATE, spec.n_padded, **switches), *FILES))


def batches_of(n_nets, rows, rng):
    """Return inputs and targets of each net."""
    return rng.normal(size=(n_nets, rows, SIZES[0])), rng.normal(size=(n_nets, rows, SIZES[-1]))


def on_device(X, Y, cuda):
    from fastmlp.kernels.cuda.layers.passes import Batch

    return Batch(cuda.asarray(X), cuda.asarray(Y), Y[0].size, None, 0)


def reference_of(net):
    return ReferenceMLP(SIZES, ACTIVATIONS, "squared_error", net.params)


@pytest.mark.parametrize("rows", [1, 33, MAX_ROWS])
def test_gradient_of_weights_matches_the_reference(nets, passes, grads, module, cuda, rows, rng):
    X, Y = batches_of(len(nets), rows, rng)
    passes.clock.set(n_batches=1)
    passes.gradient(module, on_device(X, Y, cuda), 0.0)
    for k, net in enumerate(nets):
        loss, gradient = reference_of(net).loss_and_gradient(X[k], Y[k])
        assert float(passes.sums[k, :, 0].sum()) / rows == pytest.approx(loss, rel=1e-12)
        found = cuda.asnumpy(grads[k])
        for (expected, _), weights in zip(reference_of(net).layers(gradient), net.weights, strict=True):
            start = (weights.ctypes.data - net.padded_params.ctypes.data) // weights.itemsize
            np.testing.assert_allclose(
                found[start : start + weights.size].reshape(expected.shape), expected, rtol=1e-10
            )


def test_sums_of_an_evaluation_go_on_from_batch_to_batch(nets, passes, module, cuda, rng):
    X, Y = batches_of(len(nets), 60, rng)
    for first, rows in ((0, 40), (40, 20)):
        part = slice(first, first + rows)
        passes.evaluate(module, on_device(X[:, part], np.ascontiguousarray(Y[:, part]), cuda), 0.0, first == 0)
        for k, net in enumerate(nets):
            expected = reference_of(net).predict(X[k, part])
            np.testing.assert_allclose(cuda.asnumpy(passes.a[passes.top][k, :rows]), expected, rtol=1e-11)
    for k, net in enumerate(nets):
        loss, _ = reference_of(net).loss_and_gradient(X[k], Y[k])
        assert float(passes.sums[k, :, 0].sum()) / 60 == pytest.approx(loss, rel=1e-12)
