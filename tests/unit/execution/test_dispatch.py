"""Dispatch: the choice of kernel family, number of threads and variant for a fit or prediction."""

from functools import cache

import numpy as np
import pytest

import fastmlp.execution.dispatch
from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution.dispatch import (
    NetsFit,
    choose_evaluation_family,
    choose_evaluation_threads,
    choose_family,
    choose_gpu_nets_variant,
    choose_nets_family,
    choose_nets_variant,
    choose_own_copies,
    choose_threads,
    choose_training,
)
from fastmlp.execution.thresholds import DATA_PARALLEL_PARAMS
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.structs import LARGE_NET_PARAMS, UNROLLED_ALWAYS, UNROLLED_NEVER, KernelVariant
from fastmlp.network.spec import Network

XOR, LARGE = (2, 2, 1), (784, 512, 10)
HOST, GPU = Device("cpu", "a test"), Device("cuda:0", "a test")
FLOAT32 = np.dtype("float32")


@cache
def network(sizes, dropout=0.0):
    return Network.build(sizes, {"dropout": dropout})


FEW, MANY, SHARDS = "batch_simd_4", "batch_simd_16", "batch_simd_data_parallel"
LAYERS, COPIES = "layerwise", "layerwise_data_parallel"
FAMILIES = {  # of a family on the CPU: layer sizes, and samples of a batch
    FEW: [(XOR, 1), (XOR, 4), ((784, 1), 2), ((8, 16, 1), 1)],
    # a product with one column wastes most of its registers, so that nets of one output do not train layerwise
    MANY: [(XOR, 5), (XOR, 32), ((16, 32, 1), 64), ((1000, 1), 100)],
    SHARDS: [
        ((16, 32, 1), 1024),
        ((30, 40, 40, 2), 64),
        *((sizes, 200) for sizes in ((1000, 8), (64, 100, 10), (64, *40 * (50,), 10))),  # they fill few panels
    ],
    LAYERS: [((784, 200, 10), 2048), (LARGE, 128), ((64, *8 * (256,), 10), 16), ((64, *400 * (64,), 10), 128)],
    COPIES: [
        ((784, 200, 10), 128),
        ((784, 1), 1),
        ((30, 40, 40, 2), 16),
        ((30, 60, 60, 2), 64),
        ((1000, 3), 8),
        *((sizes, 32) for sizes in ((1000, 8), (64, 100, 10), (64, *40 * (50,), 10))),
        # there is work for more than the eight threads of shards
        *((sizes, 10_000) for sizes in ((1000, 8), (64, 100, 10))),
        *((sizes, 200) for sizes in ((64, 64, 32, 10), (64, 128, 10), (64, 100, 96, 10), (784, 100, 10))),
        # deep narrow nets, whatever the batch
        *((sizes, rows) for sizes in ((64, *64 * (64,), 10), (64, *16 * (128,), 10)) for rows in (16, 1024)),
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family_follows_net_and_batch_size(family):
    assert family in backend.FAMILIES
    for sizes, rows in FAMILIES[family]:
        assert choose_family(network(sizes), rows) == family, (sizes, rows)


def test_evaluation_family_follows_net_and_rows():
    wanted = {FEW: (XOR, 4), MANY: (XOR, 1000), LAYERS: ((16, 32, 1), 4)}
    for family, (sizes, rows) in wanted.items():
        assert choose_evaluation_family(network(sizes), rows) == family
    assert choose_evaluation_family(network(XOR, dropout=0.5), 1000) == MANY, "an evaluation draws no masks"


@pytest.mark.parametrize("dropout", (0.5, (0.0, 0.1), (0.1, 0.0)))
def test_nets_with_dropout_train_in_families_that_draw_masks(dropout):
    """Families with samples in lanes draw no masks: nets would train without dropout, silently."""
    assert choose_family(network((2, 3, 3, 1), dropout=dropout), 4) == COPIES
    assert choose_family(network((2, 3, 3, 1), dropout=(0.0, 0.0)), 4) == FEW


@pytest.mark.parametrize(
    "sizes, n_nets, rows, wanted",
    [
        (XOR, 1, 4, "population_simd"),
        ((64, 64, 32, 10), 100, 32, "population_simd"),
        ((64, 128, 64, 10), 1000, 32, "batched_gemm"),
        (LARGE, 2, 128, "batched_gemm"),
        (LARGE, 1, 128, "one_by_one"),
        ((64, 128, 64, 10), 2, 1, "one_by_one"),  # each by a block: no launches
        ((64, 128, 64, 10), 10, 1, "batched_gemm"),
        ((64, 100, 10), 5, 32, "population_simd"),
        ((64, 100, 10), 5, 5000, "batched_gemm"),  # five blocks would leave the rest of the GPU idle
        ((64, 100, 10), 1, 5000, "one_by_one"),
    ],
)
def test_family_of_a_population_on_a_gpu(sizes, n_nets, rows, wanted):
    """Nets that fit a block's memory train in blocks, unless these take longer than all nets batched; the others
    batched, or one by one if each alone has a faster family and they are few.
    """
    choose = lambda *more, dtype="float32": choose_nets_family(
        network(sizes), n_nets, rows, GPU, np.dtype(dtype), *more
    )
    assert choose() == wanted
    assert choose(True) == "one_by_one", "inputs stream"
    if sizes == (64, 64, 32, 10):
        assert choose(dtype="float64") == "batched_gemm", "twice the memory"


@pytest.mark.parametrize(
    "sizes, rows, settings, wanted",
    [
        ((64, 64, 64, 64, 64, 16), 64, {}, "layerwise"),  # beyond a block's shared memory
        ((64, 64, 16), 64, {}, "small_net"),
        ((64, 100, 10), 200, {}, "layerwise"),  # scikit-learn's default net
        ((4, 129, 3), 32, {}, "small_net"),
        ((4, 32, 3), 32, {"dropout": 0.5}, "small_net"),
        ((128, 128, 128, 3), 32, {"dropout": (0.0, 0.1)}, "layerwise"),
        ((19_999, 1), 1, {}, "small_net"),  # 20,000 parameters
        ((20_000, 1), 1, {}, "layerwise"),
        ((4, 32, 3), 2000, {}, "small_net"),
        ((4, 32, 3), 7353, {}, "layerwise"),
    ],
)
def test_family_of_a_net_on_a_gpu(sizes, rows, settings, wanted):
    """small_net up to 20,000 parameters, where the cost model has its step as the fastest."""
    net = network(sizes, **settings)
    for precision in ("exact", "tf32", "bfloat16"):
        for dtype in ("float32", "float64"):
            assert choose_training(net, GPU, np.dtype(dtype), rows, precision).family == wanted, (precision, dtype)


@pytest.mark.parametrize("available", (1, 2, 64))
def test_threads_grow_with_rows_and_work(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    small, large, rows = network((64, 64, 32, 10)), network(LARGE), (1, 8, 16, 64, 256, 4096, 100_000)
    counts = [choose_threads(large, LAYERS, n) for n in rows]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, available)
    assert all(count * 8 <= n for count, n in zip(counts[1:], rows[1:], strict=True))
    assert choose_threads(network(XOR), LAYERS, 8) == choose_threads(network(XOR), COPIES, 8) == 1
    assert choose_threads(small, LAYERS, 64) == 1
    assert choose_threads(small, COPIES, 64) == min(2, available), "data-parallel threads synchronise less"
    assert choose_threads(small, COPIES, 10_000) == available
    of_shards = [choose_threads(network((16, 32, 1)), SHARDS, n) for n in (512, 100_000)]
    assert of_shards == [min(2, available), min(8, available)]
    assert choose_threads(large, FEW, 100_000) == choose_threads(large, MANY, 100_000) == 1
    evaluations = [choose_evaluation_threads(small, n) for n in (1, 100, 1000, 1797, 100_000)]
    assert evaluations == [1, 1, 1, min(2, available), available]
    assert choose_evaluation_threads(large, 8) == 1, "a thread takes eight rows at a time"
    of_one_row = [choose_evaluation_threads(network(sizes), 1) for sizes in ((4096, 4096, 10), (100_000, 32, 2))]
    assert of_one_row == [min(11, available), 1], "too few outputs to divide"


@pytest.mark.parametrize("sizes", ((2, 2, 1), (4, 100, 3), (20, 20, 4), (64, 64, 10), (70, 300, 520, 3)))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_prediction_is_independent_of_the_other_rows(sizes, dtype):
    """A sample gets the same bits from every kernel and in any number of rows."""
    net = MLP(sizes, dtype=dtype, random_state=0, hidden_activation="tanh")
    X = np.random.default_rng(0).normal(size=(600, sizes[0]))
    whole = net.predict(X)
    for n in (1, 3, 4, 5, 16, 17, 200, 256, 257, 512):
        np.testing.assert_array_equal(net.predict(X[:n]), whole[:n])


# ---- variants


@pytest.mark.parametrize("itemsize, max_numbers", [(4, 180), (8, 75)])
def test_tiny_nets_of_a_population_have_a_thread_of_a_gpu_each(itemsize, max_numbers):
    """If there are enough to fill a block of threads, no dropout masks to draw, and registers for parameters,
    gradients and state; a number in float64 takes two registers.
    """
    fit = NetsFit(itemsize, n_state=2, n_samples=4, batch_size=4)
    variant = lambda sizes=XOR, n_nets=128, fit=fit, **settings: choose_gpu_nets_variant(
        network(sizes, **settings), n_nets, fit
    )
    assert variant().net_per_thread
    assert variant(n_nets=127) == variant(dropout=0.1) == KernelVariant()
    for n_state, width in np.ndindex(4, 40):
        found = variant((2, width + 1, 1), fit=fit._replace(n_state=n_state))
        assert found.net_per_thread == ((4 * width + 5) * (2 + n_state) <= max_numbers)
    # loops over few samples are unrolled if every batch holds all of them
    for rows, n_samples, unrolled in ((3, 4, False), (4, 4, True), (17, 17, True), (18, 18, False)):
        found = variant(fit=fit._replace(n_samples=n_samples, batch_size=rows)).unrolled
        assert found == (UNROLLED_ALWAYS if unrolled else UNROLLED_NEVER)


class Team:
    """A thread team whose threads' distance is known, and how often it was measured."""

    def __init__(self, share_no_cache):
        self.answer, self.measured = share_no_cache, 0

    def share_no_cache(self):
        self.measured += 1
        return self.answer


@pytest.mark.parametrize("far", (False, True))
@pytest.mark.parametrize("family", (LAYERS, COPIES))
def test_two_threads_have_copies_of_their_own_where_they_share_no_cache(family, far):
    """Small nets whatever the distance, which is not measured then; nets that no cache holds never."""
    for n_params, wanted, measured in (
        (DATA_PARALLEL_PARAMS, True, 0),
        (DATA_PARALLEL_PARAMS + 1, far, 1),
        (LARGE_NET_PARAMS, far, 1),
        (LARGE_NET_PARAMS + 1, False, 0),
    ):
        team = Team(far)
        assert choose_own_copies(family, n_params, team, 2) == wanted
        assert team.measured == measured
        others = (family, 1), (family, 3), ("layerwise_batch1", 2)
        assert not any(choose_own_copies(name, n_params, team, n_threads) for name, n_threads in others)


def test_blocks_have_other_numbers_of_lanes_only_where_unrolled_code_does_all_of_the_training():
    narrow = max(8, backend.VECTOR_BYTES // 4)
    lanes = lambda net, device=HOST, validates=False: choose_nets_variant(net, device, 10_000, validates, 10**9).lanes
    assert [lanes(network(XOR)), lanes(network((2, 9, 1)))] == [2 * narrow, narrow]
    others = network((3, 8, 1)), network(XOR, dropout=0.5)
    assert [lanes(net) for net in others] == [lanes(network(XOR), validates=True), lanes(network(XOR), GPU)] == [16, 16]
