"""Micro-batches: a batch processed in parts has the gradient of the whole, in the memory of one part."""

import kernel_families
import numpy as np
import pytest
from reference_net import ReferenceMLP

from fastmlp import MLP, Adam, DivergenceWarning, Rprop
from fastmlp.devices import resolve
from fastmlp.execution import dispatch, thresholds
from fastmlp.execution.buffer_cache import buffers
from fastmlp.execution.cpu_families import n_shards
from fastmlp.execution.plan import Plan
from fastmlp.kernels.formulas.activations import ACTIVATIONS

SIZES = (20, 30, 17, 3)
# Rows of a micro-batch and of a batch: shards of one block of a product or of two; a last micro-batch that is short, so
# short that it has no second shard, and of one row.
MICRO_BATCHES = ((96, 250), (96, 195), (1200, 1501), (1200, 2401))


@pytest.fixture(params=["batch_simd_data_parallel", "layerwise", "layerwise_data_parallel"])
def family(request, monkeypatch):
    kernel_families.use(request.param, monkeypatch)
    return request.param


@pytest.fixture
def use_micro_batches(family, monkeypatch):
    """use_micro_batches(rows, threads=1): micro-batches of `rows` rows on at most `threads` threads from then on."""

    def choose(rows, threads=1):
        buffers.released.clear()
        monkeypatch.setattr(thresholds, "MICRO_BATCH_ROWS", rows)
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


@pytest.mark.thinned(3)
@pytest.mark.parametrize("rows, n", MICRO_BATCHES)
@pytest.mark.parametrize("threads", (1, 2, 3))
def test_gradient_equals_that_of_the_whole_batch(family, use_micro_batches, rows, n, threads, rng):
    use_micro_batches(rows, threads)
    X, y, weight = samples(n, rng)
    net = make(l2=0.01)
    names = [ACTIVATIONS[code].name for code in net.network.activation_codes]
    reference = ReferenceMLP(SIZES, names, "softmax_cross_entropy", net.params, l2=0.01)
    loss, gradient = net.loss_and_gradient(X, y, sample_weight=weight)
    expected_loss, expected = reference.loss_and_gradient(X, np.eye(3)[y], weight=weight / weight.mean())
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("rows, n", MICRO_BATCHES)
@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("shuffle", (False, True))
def test_any_number_of_threads_gives_the_same_bits(family, use_micro_batches, rows, n, dtype, shuffle, rng):
    X, y, _ = samples(n + rows // 2, rng)  # the second batch of an epoch is smaller, and a stage by itself
    found = []
    for threads in (1, 2, 3):
        use_micro_batches(rows, threads)
        net = make(dtype, l2=0.001)
        net.fit(X, y, epochs=3, batch_size=n, shuffle=shuffle, optimizer=Adam(0.01, clip_norm=0.5), verbose=0)
        found.append(net.params)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("optimizer", (Adam(0.01, weight_decay=0.1), Adam(0.01, clip_norm=0.1), Rprop()))
def test_training_equals_that_without_micro_batches(family, use_micro_batches, optimizer, rng):
    """Equal losses, accuracy, optimiser state and dropout masks."""
    X, y, weight = samples(700, rng)
    dropout = 0.0 if family == "batch_simd_data_parallel" else 0.3
    found = []
    for rows in (700, 96):
        use_micro_batches(rows, 2)
        net = make(l2=0.01, dropout=dropout)
        history = net.fit(X, y, epochs=4, batch_size=500, optimizer=optimizer, sample_weight=weight, verbose=0)
        found.append((net.params, history.loss, history.accuracy, net.evaluate(X, y)["loss"]))
    for whole, in_parts in zip(*found, strict=True):
        np.testing.assert_allclose(in_parts, whole, rtol=1e-9, atol=1e-13)


def test_overflow_in_a_later_micro_batch_ends_the_fit(family, use_micro_batches, rng):
    use_micro_batches(96)
    X, y, _ = samples(300, rng)
    X[-1] = 1e308
    net = make(hidden="relu")
    start = net.params.copy()
    with pytest.warns(DivergenceWarning):
        history = net.fit(X, y, epochs=3, batch_size=300, shuffle=False, verbose=0)
    assert history.stopped_by == "divergence"
    np.testing.assert_array_equal(net.params, start)


@pytest.mark.parametrize("sizes", ((64, 64, 32, 10), (2, 16, 16, 2), (100, 400, 400, 10)))
def test_memory_is_independent_of_the_batch_size(sizes):
    def n_bytes(rows):
        buffers.released.clear()
        plan = Plan.for_training(network, resolve("cpu"), np.dtype(np.float32), 10**8, rows, False, 2)
        return sum(x.nbytes for x in plan.work if isinstance(x, np.ndarray))

    network = MLP(sizes, loss="softmax_cross_entropy").network
    assert n_bytes(10**8) == n_bytes(thresholds.MICRO_BATCH_ROWS)


def test_smallest_nets_on_one_thread_have_no_micro_batches():
    network = MLP((2, 1), loss="binary_cross_entropy").network
    rows = thresholds.MICRO_BATCH_ROWS + 1000
    assert dispatch.choose_family(network, rows) == "batch_simd_16"
    assert Plan.for_training(network, resolve("cpu"), np.dtype(np.float32), rows, rows, False).work.rows == rows
    rows_of_layerwise = dispatch.choose_shape(network, "layerwise", 1, rows).rows
    assert rows_of_layerwise < rows, "no family has micro-batches of this size"
