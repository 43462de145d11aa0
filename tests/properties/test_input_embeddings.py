"""Nets with input embeddings on both devices: gradients and training equal the float64 reference, and weights outside
of the blocks stay exactly 0.
"""

import cuda_cases
import numpy as np
import pytest
import reference_optimizers
from cuda_cases import FURTHER_OPTIMIZERS, assert_trains_as_the_reference, follow, follow_sgd, reference_of
from scipy.optimize import minimize
from tolerances import TOLERANCES

from fastmlp import (
    MLP,
    SGD,
    Adam,
    CategoryEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    Population,
    check_gradients,
)

DTYPES = ("float32", "float64")
EMBEDDINGS = {  # of five inputs
    "periodic": PeriodicEmbedding(5, 3),
    "categories": [1, CategoryEmbedding(3, 2), 1],
    "bins": [1, PiecewiseLinearEmbedding(4, 3)],
    "both": [PeriodicEmbedding(7, 3, sigma=0.3, n_inputs=2), CategoryEmbedding(3, 18)],
}
KINDS = tuple(EMBEDDINGS)


def make(kind="periodic", sizes=(5, 6, 2), **settings):
    settings = {"hidden_activation": "tanh", "device": "cpu", "random_state": 1} | settings
    return MLP(sizes, input_embedding=EMBEDDINGS[kind], **settings)


def samples(rng, n, sizes=(5, 6, 2)):
    X = rng.normal(size=(n, sizes[0]))
    X[:, 1:4] = np.eye(3)[rng.integers(0, 3, n)]
    X = X[:, [0, 4, 1, 2, 3]] if sizes == (5, 6, 2) else X
    return X, np.sin(3 * X[:, :1]) + 0.1 * rng.normal(size=(n, sizes[-1]))


def assert_zero_outside(net):
    outside = net.params[..., net.network.outside_blocks]
    assert outside.size
    np.testing.assert_array_equal(outside, 0.0)


# ---- gradients


@pytest.mark.thinned(6)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_matches_the_reference(kind, dtype, device, rng):
    net, (X, y) = make(kind, dtype=dtype, device=device, l2=0.1), samples(rng, 37)
    reference = reference_of(net.network, net.params)
    loss, gradient = net.loss_and_gradient(X, y)
    expected_loss, expected = reference.loss_and_gradient(X, y)
    tolerance = TOLERANCES["gradient", dtype]
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(gradient[net.network.outside_blocks], 0.0)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_equals_central_differences(kind, rng):
    net, (X, y) = make(kind, dtype="float64", l2=0.05), samples(rng, 11)
    check = check_gradients(net.objective(X, y), net.params, layer_sizes=net.network.layer_sizes, tolerance=1e-5)
    assert check, str(check)
    assert_zero_outside(net)


def test_objective_ignores_weights_outside_of_the_blocks(rng):
    net, (X, y) = make(dtype="float64"), samples(rng, 11)
    objective, params = net.objective(X, y), net.params.copy()
    loss, _ = objective(params)
    params[net.network.outside_blocks] = 3.0
    assert objective(params)[0] == loss
    assert_zero_outside(net)


@pytest.mark.thinned(2)
def test_gradients_that_overflow_outside_of_the_blocks_are_cleared(device):
    """The huge first input times the deltas of the second one's units; its own units have the slope -sin(0)."""
    net = MLP((2, 1), input_embedding=PeriodicEmbedding(2, 1), device=device, random_state=0)
    net.weights[0][:], net.biases[0][:] = 0.0, (0.0, 0.0, 1.5, 1.5)
    net.weights[1][:], net.weights[2][:] = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], 1.0
    X, y = np.array([[3e38, 1.0]] * 4), np.full(4, -100.0)
    _, gradient = net.loss_and_gradient(X, y)
    assert np.isfinite(gradient).all()
    assert net.network.layout.biases(gradient)[0][2:].all()
    net.fit(X, y, epochs=1, optimizer=Adam(0.01), verbose=0)
    assert_zero_outside(net)
    assert np.isfinite(net.params).all()


def test_solver_of_scipy_keeps_the_zeros(rng):
    net, (X, y) = make("both", dtype="float64"), samples(rng, 40)
    result = minimize(net.objective(X, y), net.params, jac=True, method="L-BFGS-B", options={"maxiter": 20})
    net.params = result.x
    assert_zero_outside(net)
    assert net.evaluate(X, y)["loss"] < 0.9 * make("both", dtype="float64").evaluate(X, y)["loss"]


# ---- training


@pytest.mark.thinned(28)
@pytest.mark.parametrize("n_threads", (1, 2))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FURTHER_OPTIMIZERS)
def test_training_matches_the_reference(name, dtype, n_threads, device, threads, rng):
    threads(n_threads)
    net, (X, y) = make("both", dtype=dtype, device=device, l2=0.01), samples(rng, 70)
    assert_trains_as_the_reference(net, X, y, name)
    assert_zero_outside(net)


def test_every_optimiser_is_tried():
    assert {optimizer.rule.name for optimizer in FURTHER_OPTIMIZERS.values()} >= set(reference_optimizers.EXAMPLES)


def test_training_with_dropout_matches_the_reference(device, rng):
    """The hidden layer has dropout, the layers of the embedding have none."""
    net, (X, y) = make(dtype="float64", device=device, dropout=0.4), samples(rng, 30)
    reference, seed = reference_of(net.network, net.params), cuda_cases.fit_seed(net.seed)
    net.fit(X, y, epochs=3, batch_size=8, optimizer=SGD(0.1), verbose=0)
    follow_sgd(reference, X, y, 0.1, epochs=3, batch_size=8, seed=seed, shuffle=True, rates=(0.0, 0.0, 0.4))
    assert_zero_outside(net)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-9, atol=1e-9)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("batch_size", (1, 7, 200, None))
def test_batches_of_any_size_match_the_reference(batch_size, device, rng, monkeypatch):
    """Batches of one sample, and batches of several micro-batches."""
    monkeypatch.setattr("fastmlp.execution.thresholds.MICRO_BATCH_ROWS", 64)
    net, (X, y) = make("both", dtype="float64", device=device), samples(rng, 21 if batch_size == 1 else 230)
    reference = reference_of(net.network, net.params)
    net.fit(X, y, epochs=2, batch_size=batch_size, optimizer=Adam(0.01), shuffle=False, verbose=0)
    follow(reference, X, y, Adam(0.01), epochs=2, batch_size=batch_size)
    assert_zero_outside(net)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("optimizer", (Adam(0.01), Adam(0.01, clip_norm=0.5)), ids=("adam", "clipped"))
def test_one_and_two_threads_give_the_same_bits(optimizer, threads, rng):
    """Wide layers, whose weights are several chunks, which threads take from each other."""
    sizes, embedding = (40, 30, 1), [PeriodicEmbedding(12, 5, n_inputs=30), CategoryEmbedding(10, 33)]
    X, y = rng.normal(size=(300, 40)), rng.normal(size=300)
    found = []
    for n_threads in (1, 2):
        threads(n_threads)
        net = MLP(sizes, input_embedding=embedding, device="cpu", random_state=0)
        net.fit(X, y, epochs=3, batch_size=128, optimizer=optimizer, verbose=0)
        assert_zero_outside(net)
        found.append(net.params.copy())
    np.testing.assert_array_equal(*found)
    assert not np.array_equal(net.params, MLP(sizes, input_embedding=embedding, random_state=0).params)


def test_early_stopping_and_interrupted_epochs_keep_the_zeros(rng):
    net, (X, y) = make(), samples(rng, 200)
    net.fit(X, y, epochs=60, batch_size=16, validation_fraction=0.3, early_stopping=3, verbose=0)
    assert_zero_outside(net)


def test_embedding_fits_a_wave_that_a_plain_net_does_not(rng):
    X = rng.uniform(-1, 1, (400, 1))
    y = np.sin(20 * X[:, 0])
    losses = []
    for embedding in (None, PeriodicEmbedding(16, 8, sigma=2.0)):
        net = MLP((1, 16, 1), input_embedding=embedding, device="cpu", random_state=0)
        losses.append(net.fit(X, y, epochs=60, batch_size=32, optimizer=Adam(0.01), verbose=0).loss[-1])
    assert losses[1] < 0.05 < 0.3 < losses[0]


# ---- populations


@pytest.mark.thinned(2)
def test_nets_of_a_population_equal_single_nets(device, rng):
    X, y = samples(rng, 40)
    settings = {"input_embedding": EMBEDDINGS["both"], "dropout": 0.2, "device": device}
    pop = Population((5, 6, 2), 3, random_state=0, **settings)
    starts = [pop.net(k) for k in range(3)]
    pop.fit(X, y, epochs=3, batch_size=16, verbose=0)
    assert_zero_outside(pop)
    for k, net in enumerate(starts):
        np.testing.assert_array_equal(net.params, MLP((5, 6, 2), random_state=int(pop.seeds[k]), **settings).params)
        net.fit(X, y, epochs=3, batch_size=16, verbose=0)
        np.testing.assert_allclose(pop.params[k], net.params, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pop.predict(X)[1], pop.net(1).predict(X), rtol=1e-5, atol=1e-6)
