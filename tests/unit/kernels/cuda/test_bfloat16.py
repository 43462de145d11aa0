"""precision="bfloat16" in the families layerwise and batched_gemm, against a reference that rounds operands, too.

Now and then a number near the middle between two numbers of bfloat16 is rounded to one of them in float32 and to the
other in float64: results are not always as close as float32 is.
"""

from functools import partial
from unittest import mock

import numpy as np
import pytest
from cuda_cases import OPTIMIZERS, assert_follows, follow, own, reference_of
from cuda_fits import CASES
from reference_bfloat16 import RoundedMLP, rounded
from reference_net import ReferenceMLP

from fastmlp import MLP, SGD, Population
from fastmlp.execution.gpu_costs import BY_LAYERS, ESTIMATED_COSTS, IN_BLOCKS
from fastmlp.kernels.formulas.counter_rng import fit_seed
from fastmlp.schedules import Cosine

CLOSE, FAR = 6e-4, 6e-4  # to the rounded reference, and to one that rounds nothing, relative to a gradient or a fit
using_costs = partial(mock.patch, "fastmlp.execution.gpu_costs.ESTIMATED_COSTS")
SIZES = (5, 131, 33, 3)  # of which no layer but the first begins on 16 bytes in the parameters
LARGE = (5, 257, 35, 3)  # a net of a population that a block cannot evaluate
N_NETS = (1, 2)


@pytest.fixture(autouse=True)
def layers(cuda):
    """All nets train layer by layer, or batched."""
    with using_costs(BY_LAYERS):
        yield


def make(n_nets=1, sizes=SIZES, **settings):
    arguments = {"hidden_activation": "tanh", "device": "cuda", "random_state": 0, "precision": "bfloat16"} | settings
    return MLP(sizes, **arguments) if n_nets == 1 else Population(sizes, n_nets, **arguments)


def samples(rng, n, sizes=SIZES):
    return rng.normal(size=(n, sizes[0])), rng.normal(size=(n, sizes[-1]))


def assert_rounded(found, close, exact, start=0.0):
    """Assert that found is close to the rounded reference, and not to the exact one."""
    way = np.linalg.norm(exact - start)
    assert np.linalg.norm(found - close) / way < CLOSE
    assert np.linalg.norm(found - exact) / way > FAR, "nothing is rounded"


def references_of(net, params):
    """Return the rounded reference and the exact one."""
    return [reference_of(net.network, params, kind=kind) for kind in (RoundedMLP, ReferenceMLP)]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "dtype" not in case.settings])
def test_gradients_of_every_kind_match_the_rounded_reference(name):
    """Every loss, and every hidden activation: f' needs rounded outputs, or rounded pre-activations."""
    case = CASES[name]
    net = case.net(SIZES, precision="bfloat16", dropout=0.0)
    X, y, fit = case.arguments(SIZES, rows=70)
    weight = fit.get("sample_weight")
    found, gradient = net.loss_and_gradient(X, y, sample_weight=weight)
    shares = None if weight is None else weight / weight.mean()
    loss, close = references_of(net, net.params)[0].loss_and_gradient(X, y, shares)
    assert found == pytest.approx(loss, rel=CLOSE)
    assert np.linalg.norm(gradient - close) / np.linalg.norm(close) < CLOSE


@pytest.mark.parametrize("sizes", [(3, 2), (1, 1, 1), (129, 7, 257, 10), (16, 256, 8), (7, 129, 129, 129, 2)])
def test_odd_and_wide_layers_match_the_rounded_reference(sizes, rng):
    net, (X, y) = make(sizes=sizes), samples(rng, 33, sizes)
    _, gradient = net.loss_and_gradient(X, y)
    close, exact = (reference.loss_and_gradient(X, y)[1] for reference in references_of(net, net.params))
    assert np.linalg.norm(gradient - close) / np.linalg.norm(exact) < CLOSE


@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize("hidden", ["tanh", "gelu"])
@pytest.mark.parametrize("n_nets", N_NETS)
def test_training_matches_the_rounded_reference(n_nets, hidden, rate, rng):
    """Shuffled batches, the last one short; dropout stores what f' needs apart."""
    nets, (X, y) = make(n_nets, hidden_activation=hidden, dropout=rate), samples(rng, 50)
    assert_follows(nets, X, y, kind=RoundedMLP, tolerance=CLOSE, epochs=2, batch_size=20, optimizer=SGD(0.02))


def test_full_batches_and_inputs_of_each_net_match_the_rounded_reference(rng):
    X, y, fit = rng.normal(size=(2, 30, 5)), rng.normal(size=(2, 30, 3)), {"epochs": 3, "optimizer": SGD(0.02)}
    for given in ((X, y), (X[0], y[0])):
        assert_follows(make(2, (5, 40, 3)), *given, kind=RoundedMLP, tolerance=CLOSE, **fit)


class Driven(RoundedMLP):
    """The reference's optimiser with gradients of the kernels, which other tests compare with the rounded reference."""

    def loss_and_gradient(self, X, y, weight=None, masks=None):
        self.net.params[:] = self.params
        loss, gradient = self.net.loss_and_gradient(X, y)
        return loss, gradient.astype(np.float64)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_update_rule_has_float32_state_and_weights(name, rng):
    """With clipping, a penalty and a schedule: only products round, and master weights keep small steps."""
    optimizer, sizes = own(OPTIMIZERS[name], clip_norm=0.4), (5, 20, 3)
    (net, other), (X, y) = (make(sizes=sizes, l2=0.05) for _ in range(2)), samples(rng, 70, sizes)
    start, fit = net.params.copy(), {"epochs": 5, "schedule": Cosine(0.1)}
    reference = reference_of(net.network, start, kind=Driven)
    reference.net = other
    losses = follow(reference, X, y, optimizer, **fit)
    history = net.fit(X, y, optimizer=optimizer, verbose=0, **fit)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-3)
    assert np.linalg.norm(net.params - reference.params) < 2e-3 * np.linalg.norm(reference.params - start)


def test_steps_smaller_than_a_bfloat16_are_not_lost(rng):
    """Each step is far below the last place of a weight in bfloat16."""
    net, (X, y) = make(sizes=(5, 20, 3)), samples(rng, 30, (5, 20, 3))
    start = net.params.copy()
    expected = -1e-3 * references_of(net, start)[0].loss_and_gradient(X, y)[1]
    net.fit(X, y, epochs=100, optimizer=SGD(1e-5), verbose=0)
    assert np.linalg.norm(net.params - start - expected) < 0.05 * np.linalg.norm(expected)
    weights = np.abs(start) > 0.1
    assert (rounded(net.params) == rounded(start))[weights].mean() > 0.8


@pytest.mark.parametrize("n_nets, sizes", [(1, SIZES), (2, LARGE)])
def test_predictions_and_losses_match_the_rounded_reference(n_nets, sizes, monkeypatch, rng):
    """In parts of rows, before and after a fit, whose updates write weights that a later prediction must not read."""
    monkeypatch.setattr("fastmlp.execution.thresholds.DEVICE_EVALUATION_ROWS", 100)
    (X, y), nets = samples(rng, 230), make(n_nets, sizes, hidden_activation="silu")
    for _ in range(2):
        outputs, losses = nets.predict(X).reshape(n_nets, -1, 3), np.atleast_1d(nets.evaluate(X, y)["loss"])
        for k, params in enumerate(np.atleast_2d(nets.params)):
            reference, exact = references_of(nets, params)
            assert_rounded(outputs[k], reference.predict(X), exact.predict(X))
            assert losses[k] == pytest.approx(reference.loss_and_gradient(X, y)[0], rel=CLOSE)
        nets.fit(X, y, epochs=1, batch_size=50, optimizer=SGD(0.05), verbose=0)


@pytest.mark.parametrize("n_nets", N_NETS)
def test_float64_is_not_rounded(n_nets, rng):
    X, y = samples(rng, 40)
    assert_follows(make(n_nets, dtype="float64"), X, y, epochs=2, optimizer=SGD(0.1))


@pytest.mark.parametrize("n_nets", N_NETS)
def test_gpus_without_bfloat16_are_refused(emulated_cuda, n_nets, rng):
    emulated_cuda.settings.compute_capability = "75"
    X, y = samples(rng, 20)
    with pytest.raises(ValueError, match=r"'bfloat16' needs a GPU of compute capability 8.0 or higher, .* has 7.5"):
        make(n_nets).fit(X, y, epochs=1, verbose=0)
    make(n_nets, precision="exact").fit(X, y, epochs=1, verbose=0)
    make(n_nets, dtype="float64").fit(X, y, epochs=1, verbose=0)


@pytest.mark.parametrize("n_nets", N_NETS)
def test_nets_in_blocks_train_in_float32(cuda, n_nets, rng):
    """They train in one launch, and operands in bfloat16 would not be faster."""
    (X, y), sizes = samples(rng, 20, (4, 16, 3)), (4, 16, 3)
    with using_costs(IN_BLOCKS):
        nets, exact = make(n_nets, sizes), make(n_nets, sizes, precision="exact")
        for each in (nets, exact):
            each.fit(X, y, epochs=2, batch_size=8, optimizer=SGD(0.1), verbose=0)
    np.testing.assert_array_equal(nets.params, exact.params)


@pytest.mark.parametrize("n_nets, sizes", [(1, (40, 129, 129, 3)), (2, (64, 128, 64, 10))])
def test_large_nets_train_in_bfloat16_by_themselves(cuda, n_nets, sizes, rng):
    """One after another on tensor cores, nets of a mid-sized population would leave most of a GPU idle."""
    X, y = samples(rng, 20, sizes)
    nets, fit = make(n_nets, sizes), {"epochs": 2, "batch_size": 8, "optimizer": SGD(0.02)}
    net, start = (nets.net(0), nets.params[0].copy()) if n_nets > 1 else (nets, nets.params.copy())
    exact = reference_of(net.network, start)
    follow(exact, X, y, seed=fit_seed(net.seed, 0), shuffle=True, **fit)
    with using_costs(ESTIMATED_COSTS):
        assert_follows(nets, X, y, kind=RoundedMLP, tolerance=1e-3, **fit)
    far = np.linalg.norm(np.atleast_2d(nets.params)[0] - exact.params)
    assert 2e-3 < far / np.linalg.norm(exact.params - start) < 5e-2
