"""Kernel family layerwise_data_parallel: equal bits for any number of threads, and no false sharing between them."""

import itertools

import numpy as np
import pytest

import fastmlp
import fastmlp.execution.dispatch
import fastmlp.execution.plan
import fastmlp.execution.thresholds
import fastmlp.fit.hooks.tuned_calls
import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu import allocation, backend
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam

SMALL, LARGE, WIDE = (64, 96, 64, 3), (64, 256, 200, 3), (40, 400, 500, 3)
PAGE = 4096


@pytest.fixture
def train(monkeypatch):
    """train(sizes, rows, threads, far) -> (parameters, losses, {(kernel, number of copies of weights)})"""
    ran = []

    def run_each(team, kernel, kind, arguments):
        ran.append((kernel.split(".")[-2], arguments[0][4].copies))
        return real(team, kernel, kind, arguments)

    real = ThreadTeam.run_each
    monkeypatch.setattr(ThreadTeam, "run_each", run_each)
    # no trial of one thread, which would be due on a busy machine
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "TRIAL_AFTER", (np.inf, np.inf))
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_TRIAL", np.inf)

    def run(sizes, rows, threads, far=False, **options):
        monkeypatch.setattr(fastmlp.execution.dispatch, "choose_threads", lambda *_: threads)
        monkeypatch.setattr(ThreadTeam, "share_no_cache", lambda team: far)
        ran.clear()
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(2 * rows + 9, sizes[0])), rng.integers(0, sizes[-1], 2 * rows + 9)
        net = fastmlp.MLP(sizes, loss="softmax_cross_entropy", hidden_activation="tanh", random_state=1, device="cpu")
        history = net.fit(X, y, epochs=4, batch_size=rows, optimizer=fastmlp.Adam(0.01, **options), verbose=0)
        return net.params, history.loss, set(ran)

    return run


@pytest.mark.parametrize("options", ({}, {"clip_norm": 0.1}), ids=["", "clipped"])
def test_threads_with_and_without_a_shared_cache_give_the_same_bits(train, options):
    params, losses, _ = train(LARGE, 50, 1, **options)
    assert params.size > fastmlp.execution.thresholds.DATA_PARALLEL_PARAMS
    for threads, far, kernel in ((2, False, "layerwise"), (2, True, "layerwise_data_parallel"), (3, True, "layerwise")):
        found, found_losses, ran = train(LARGE, 50, threads, far, **options)
        np.testing.assert_array_equal(found, params)
        np.testing.assert_allclose(found_losses, losses, rtol=1e-6)
        assert ran == {(kernel, 2 if far and threads == 2 else 1)}


@pytest.mark.parametrize("rows", (17, 150))
def test_packed_weights_are_copied_per_thread_without_a_shared_cache(train, monkeypatch, rows):
    """Weights are copied for nets too large for an all-reduce, but small enough for the cache."""
    params, losses, _ = train(WIDE, rows, 1)
    assert params.size > fastmlp.execution.thresholds.CACHED_BATCH_PARAMS
    many = 10**6
    for threads, far, most, copies in ((2, False, many, 1), (2, True, many, 2), (2, True, 100, 1), (3, True, many, 1)):
        fastmlp.execution.buffer_cache.buffers.released.clear()  # buffers for another number of copies
        monkeypatch.setattr("fastmlp.execution.dispatch.LARGE_NET_PARAMS", most)
        found, found_losses, ran = train(WIDE, rows, threads, far)
        np.testing.assert_array_equal(found, params)
        np.testing.assert_allclose(found_losses, losses, rtol=1e-6)
        assert ran == {("layerwise", copies)}


def test_small_nets_train_data_parallel_with_and_without_a_shared_cache(train):
    expected, _, _ = train(SMALL, 50, 1)
    for far in (False, True):
        params, _, ran = train(SMALL, 50, 2, far)
        np.testing.assert_array_equal(params, expected)
        assert ran == {("layerwise_data_parallel", 2)}


@pytest.mark.parametrize(
    "sizes, kernel", [(SMALL, "layerwise_data_parallel"), (LARGE, "layerwise")], ids=["small", "large"]
)
def test_batches_larger_than_the_cache_give_the_same_bits(train, sizes, kernel):
    rows = fastmlp.execution.thresholds.L2_DELTAS // sum(sizes[1:]) + 100
    expected, _, _ = train(sizes, rows, 1)
    params, _, ran = train(sizes, rows, 2, True)
    np.testing.assert_array_equal(params, expected)
    assert ran == {(kernel, 2)}


@pytest.mark.parametrize("family", ("layerwise_data_parallel", "batch_simd_data_parallel"))
def test_buffers_of_threads_are_a_page_apart(family):
    network = fastmlp.MLP(
        SMALL, loss="softmax_cross_entropy", dropout=0.1 * (family == "layerwise_data_parallel")
    ).network
    net = fastmlp.execution.plan.describe_net(network)
    choice = fastmlp.execution.dispatch.choose_shape(network, family, 2, 300)
    work = backend.make_workspace(choice, net, 1000, True, np.dtype(np.float32), "exact")
    optimizer_state = np.zeros(2 * net.n_padded, np.float32)
    plan = fastmlp.execution.plan.Plan(network, None, backend, np.dtype(np.float32), choice, net, work)
    train_state = plan.make_state(np.zeros(net.n_padded, np.float32), optimizer_state, 1)
    owned = allocation.thread_copy(train_state, work, 1)
    first, second = (
        {name: array for part in parts for name, array in part._asdict().items() if isinstance(array, np.ndarray)}
        for parts in ((train_state, work), owned)
    )
    written = ("params", "grads", "state", *allocation.thread_arrays(work))
    for mine, theirs in itertools.product(written, written):
        (a, a_end), (b, b_end) = (
            np.lib.array_utils.byte_bounds(first[mine]),
            np.lib.array_utils.byte_bounds(second[theirs]),
        )
        assert a_end + PAGE <= b or b_end + PAGE <= a, (mine, theirs)


@pytest.mark.parametrize("limit, far", [(0, True), (2**62, False)])
def test_team_compares_barrier_cycles_with_the_limit(limit, far, monkeypatch):
    monkeypatch.setattr(team_module, "FAR_CYCLES", limit)
    with ThreadTeam(2) as team:
        assert team.share_no_cache() == far
