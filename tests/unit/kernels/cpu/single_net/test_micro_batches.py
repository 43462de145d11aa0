"""Batches that go through a net in stages: the gradient of all rows, whoever computes it, in the memory of a stage."""

import kernel_families
import numpy as np
import pytest
from reference import ReferenceMLP

import fastmlp
from fastmlp import MLP, Adam, DivergenceWarning, Rprop
from fastmlp.devices import resolve
from fastmlp.execution import dispatch
from fastmlp.execution.buffer_cache import buffers
from fastmlp.execution.plan import Plan
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.structs import n_shards

SIZES = (20, 30, 17, 3)
# Rows of a stage and of a batch: halves that are one block of a product or two; a last stage that is short, so short
# that it has no second half, and of one row.
STAGES = ((96, 250), (96, 195), (1200, 1501), (1200, 2401))


@pytest.fixture(params=["batch_simd_data_parallel", "layerwise", "layerwise_data_parallel"])
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.fixture
def stages_of(family, monkeypatch):
    """stages_of(rows, threads=1): what follows trains in stages of so many rows, on so many threads at the most."""

    def choose(rows, threads=1):
        buffers.released.clear()
        monkeypatch.setattr(dispatch, "MICRO_BATCH_ROWS", rows)
        most = n_shards(rows) if family == "batch_simd_data_parallel" else threads
        monkeypatch.setattr(dispatch, "choose_threads", lambda *_: min(threads, most))

    return choose


def samples(n, rng):
    X, y = rng.normal(size=(n, SIZES[0])), rng.integers(0, SIZES[-1], n)
    return X, y, rng.integers(0, 3, n).astype(float)


def make(dtype="float64", hidden="tanh", **settings):
    return MLP(
        SIZES,
        hidden_activation=hidden,
        loss="softmax_cross_entropy",
        dtype=dtype,
        random_state=1,
        device="cpu",
        **settings,
    )


@pytest.mark.parametrize("rows, n", STAGES)
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_the_gradient_is_that_of_the_whole_batch(family, stages_of, rows, n, threads, rng):
    stages_of(rows, threads)
    X, y, weight = samples(n, rng)
    net = make(l2=0.01)
    names = [ACTIVATIONS[code].name for code in net.network.activation_codes]
    reference = ReferenceMLP(SIZES, names, "softmax_cross_entropy", net.params, l2=0.01)
    loss, gradient = net.loss_and_gradient(X, y, sample_weight=weight)
    expected_loss, expected = reference.loss_and_gradient(X, np.eye(3)[y], weight=weight / weight.mean())
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("rows, n", STAGES)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("shuffle", (False, True))
def test_the_same_bits_for_any_number_of_threads(family, stages_of, rows, n, dtype, shuffle, rng):
    X, y, _ = samples(n + rows // 2, rng)  # the second batch of an epoch is smaller, and a stage by itself
    found = []
    for threads in (1, 2, 3):
        stages_of(rows, threads)
        net = make(dtype, l2=0.001)
        net.fit(X, y, epochs=3, batch_size=n, shuffle=shuffle, optimizer=Adam(0.01, clip_norm=0.5), verbose=0)
        found.append(net.params)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("optimizer", (Adam(0.01, weight_decay=0.1), Adam(0.01, clip_norm=0.1), Rprop()))
def test_training_is_that_of_batches_in_one_piece(family, stages_of, optimizer, rng):
    """Its losses, hits, optimiser's state and, layer by layer, masks of dropout."""
    X, y, weight = samples(700, rng)
    dropout = 0.0 if family == "batch_simd_data_parallel" else 0.3
    found = []
    for rows in (700, 96):
        stages_of(rows, 2)
        net = make(l2=0.01, dropout=dropout)
        history = net.fit(X, y, epochs=4, batch_size=500, optimizer=optimizer, sample_weight=weight, verbose=0)
        found.append((net.params, history.loss, history.accuracy, net.evaluate(X, y)["loss"]))
    for whole, staged in zip(*found, strict=True):
        np.testing.assert_allclose(staged, whole, rtol=1e-9, atol=1e-13)


def test_a_loss_that_is_no_number_in_a_later_stage_ends_it(family, stages_of, rng):
    stages_of(96)
    X, y, _ = samples(300, rng)
    X[-1] = 1e308
    net = make(hidden="relu")
    start = net.params.copy()
    with pytest.warns(DivergenceWarning):
        history = net.fit(X, y, epochs=3, batch_size=300, shuffle=False, verbose=0)
    assert history.stopped_by == "divergence"
    np.testing.assert_array_equal(net.params, start)


@pytest.mark.parametrize("sizes", ((64, 64, 32, 10), (2, 16, 16, 2), (100, 400, 400, 10)))
def test_memory_does_not_grow_with_a_batch(sizes):
    def n_bytes(rows):
        buffers.released.clear()
        plan = Plan.for_training(network, resolve("cpu"), np.dtype(np.float32), 10**8, rows, False, 2)
        return sum(x.nbytes for x in plan.work if isinstance(x, np.ndarray))

    network = MLP(sizes, loss="softmax_cross_entropy").network
    assert n_bytes(10**8) == n_bytes(dispatch.MICRO_BATCH_ROWS)


def test_one_thread_has_batches_of_the_smallest_nets_at_once():
    network = MLP((2, 1), loss="binary_cross_entropy").network
    rows = dispatch.MICRO_BATCH_ROWS + 1000
    assert dispatch.choose_family(network, rows) == "batch_simd_16"
    assert Plan.for_training(network, resolve("cpu"), np.dtype(np.float32), rows, rows, False).work.rows == rows
    with pytest.raises(AssertionError):  # or this test would show nothing
        assert fastmlp.execution.dispatch.micro_batch_rows(resolve("cpu"), "layerwise", rows) == rows
