"""Nets with more outputs than a warp has threads: a warp takes each row, and the biases of 64, 128 or 256 outputs are
summed at a time. In layerwise and batched_gemm, with operands as they are and in bfloat16.
"""

import numpy as np
import pytest
from cuda_cases import follow_sgd, reference_of
from net_cases import targets_for
from reference_bfloat16 import RoundedMLP
from reference_net import ReferenceMLP
from tolerances import TOLERANCES

from fastmlp import MLP, SGD, Population
from fastmlp.execution.gpu_costs import BY_LAYERS, using

OUTPUTS = {35: "softmax_cross_entropy", 70: "binary_cross_entropy", 130: "softmax_cross_entropy"}  # and the loss
# Errors of a gradient, and of a fit, relative to their lengths, to a reference that rounds where kernels do.
PRECISIONS = {"exact": (ReferenceMLP, TOLERANCES["gradient", "float32"]), "bfloat16": (RoundedMLP, 4e-4)}
SETTINGS = {"hidden_activation": "tanh", "device": "cuda", "random_state": 0}


@pytest.fixture(autouse=True)
def by_layers(cuda):
    with using(BY_LAYERS):
        yield


def assert_close(found, expected, tolerance):
    """Weights and biases apart, of which there are few; the biases of the outputs are the last ones."""
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < tolerance


@pytest.mark.thinned(6)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n", OUTPUTS)
def test_net_matches_the_reference(n, precision, rng):
    """Three chunks of rows, the last one short."""
    net = MLP((5, 9, n), loss=OUTPUTS[n], precision=precision, **SETTINGS)
    assert "layerwise" in net.explain(70)
    X, y, weight = rng.normal(size=(70, 5)), targets_for(OUTPUTS[n], None, 70, n, rng), rng.random(70) + 0.1
    kind, tolerance = PRECISIONS[precision]
    reference, shares = reference_of(net.network, net.params, kind=kind), weight / weight.mean()
    loss, gradient = net.loss_and_gradient(X, y, sample_weight=weight)
    expected_loss, expected = reference.loss_and_gradient(X, y, shares)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert_close(gradient, expected, tolerance)
    assert_close(gradient[-n:], expected[-n:], tolerance)
    outputs, scores = reference.predict(X), net.evaluate(X, y, sample_weight=weight)
    np.testing.assert_allclose(net.predict(X), outputs, rtol=10 * tolerance, atol=tolerance)
    if OUTPUTS[n] == "softmax_cross_entropy":
        correct = outputs.argmax(axis=1) == y.argmax(axis=1)
    else:
        correct = ((outputs > 0.5) == (y > 0.5)).mean(axis=1)
    assert scores["accuracy"] == pytest.approx(np.mean(shares * correct), abs=0.02 if precision == "bfloat16" else 1e-6)


@pytest.mark.thinned(2)
@pytest.mark.parametrize("n, precision", [(35, "bfloat16"), (70, "exact"), (130, "bfloat16")])
def test_nets_of_a_population_match_the_reference(n, precision, rng):
    """In batches of two chunks of rows, the last batch shorter."""
    nets = Population((5, 9, n), 2, loss=OUTPUTS[n], precision=precision, **SETTINGS)
    X, y = rng.normal(size=(70, 5)), targets_for(OUTPUTS[n], None, 70, n, rng)
    assert "batched_gemm" in nets.explain(X, batch_size=40)
    start, (kind, tolerance) = nets.params.copy(), PRECISIONS[precision]
    result = nets.fit(X, y, epochs=2, batch_size=40, optimizer=SGD(0.2), shuffle=False, verbose=0)
    for k in range(2):
        reference = reference_of(nets.network, start[k], kind=kind)
        losses = follow_sgd(reference, X, y, 0.2, epochs=2, batch_size=40)
        assert result.loss[k] == pytest.approx(losses[-1], rel=tolerance)
        for part in (slice(None), slice(-n, None)):
            assert_close((nets.params[k] - start[k])[part], (reference.params - start[k])[part], 2 * tolerance)
