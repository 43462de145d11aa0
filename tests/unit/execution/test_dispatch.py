"""Dispatch: the choice of kernel family and number of threads for a fit or prediction."""

import numpy as np
import pytest

import fastmlp.execution.dispatch
import fastmlp.execution.gpu_costs
import fastmlp.execution.thresholds
from fastmlp import MLP
from fastmlp.devices import Device
from fastmlp.execution.dispatch import (
    choose_evaluation_family,
    choose_evaluation_threads,
    choose_family,
    choose_nets_family,
    choose_threads,
    choose_training,
    products,
)
from fastmlp.execution.gpu_costs import ESTIMATED_COSTS, using
from fastmlp.kernels.cpu import backend

XOR, LARGE = (2, 2, 1), (784, 512, 10)


def network(sizes, **settings):
    return MLP(sizes, **settings).network


@pytest.mark.parametrize(
    "sizes, rows", [(XOR, 1), (XOR, 4), (XOR, 5), (XOR, 10_000), (LARGE, 1), (LARGE, 1024), ((1, 1), 1)]
)
def test_chosen_family_exists(sizes, rows):
    assert choose_family(network(sizes), rows) in backend.FAMILIES


def test_family_follows_net_and_batch_size():
    assert choose_family(network(XOR), 4) == "batch_simd_4"
    assert choose_family(network(XOR), 32) == "batch_simd_16"
    assert choose_family(network((784, 200, 10)), 128) == "layerwise_data_parallel"
    assert choose_family(network((784, 200, 10)), 2048) == "layerwise"
    assert choose_family(network(LARGE), 128) == "layerwise"


def test_family_of_few_outputs_and_batches_of_one_sample():
    assert choose_family(network((784, 1)), 1) == "layerwise_data_parallel"
    assert choose_family(network((784, 1)), 2) == choose_family(network((8, 16, 1)), 1) == "batch_simd_4"


@pytest.mark.slow
def test_deep_narrow_nets_train_data_parallel_for_any_batch_size():
    for rows in (16, 128, 1024):
        assert choose_family(network((64, *64 * (64,), 10)), rows) == "layerwise_data_parallel"
        assert choose_family(network((64, *16 * (128,), 10)), rows) == "layerwise_data_parallel"
        assert choose_family(network((64, *8 * (256,), 10)), rows) == "layerwise"
    assert choose_family(network((64, *400 * (64,), 10)), 128) == "layerwise"


def test_family_of_small_and_medium_steps():
    assert choose_family(network((16, 32, 1)), 64) == "batch_simd_16"
    assert choose_family(network((16, 32, 1)), 1024) == "batch_simd_data_parallel"
    assert (
        choose_family(network((30, 40, 40, 2)), 16)
        == choose_family(network((30, 60, 60, 2)), 64)
        == "layerwise_data_parallel"
    )
    assert choose_family(network((30, 40, 40, 2)), 64) == "batch_simd_data_parallel"


def test_family_of_many_inputs_and_few_outputs():
    """A product with one column wastes most of its registers, so that nets of one output do not train layerwise."""
    assert choose_family(network((1000, 1)), 100) == "batch_simd_16"
    assert choose_family(network((1000, 8)), 32) == "layerwise_data_parallel"
    assert choose_family(network((1000, 3)), 8) == "layerwise_data_parallel"


def test_family_of_layers_that_fill_few_panels():
    for sizes in ((1000, 8), (64, 100, 10), (64, *40 * (50,), 10)):
        assert choose_family(network(sizes), 200) == "batch_simd_data_parallel"
        assert choose_family(network(sizes), 32) == "layerwise_data_parallel"
    for sizes in ((1000, 8), (64, 100, 10)):
        assert choose_family(network(sizes), 10_000) == "layerwise_data_parallel", (
            "there is work for more than the eight threads of batch_simd_data_parallel"
        )
    for sizes in ((64, 64, 32, 10), (64, 128, 10), (64, 200, 10), (64, 100, 96, 10), (784, 100, 10)):
        assert choose_family(network(sizes), 200) == "layerwise_data_parallel"


def test_evaluation_family_follows_net_and_rows():
    assert choose_evaluation_family(network(XOR), 4) == "batch_simd_4"
    assert choose_evaluation_family(network(XOR), 1000) == "batch_simd_16"
    assert choose_evaluation_family(network(XOR, dropout=0.5), 1000) == "batch_simd_16", "an evaluation draws no masks"
    assert choose_evaluation_family(network((16, 32, 1)), 4) == "layerwise"


@pytest.mark.parametrize("dropout", (0.5, (0.0, 0.1), (0.1, 0.0)))
def test_nets_with_dropout_train_in_families_that_draw_masks(dropout):
    """Families with samples in lanes draw no masks: nets would train without dropout, silently."""
    assert choose_family(network((2, 3, 3, 1), dropout=dropout), 4) == "layerwise_data_parallel"
    assert choose_family(network((2, 3, 3, 1), dropout=(0.0, 0.0)), 4) == "batch_simd_4"


@pytest.mark.parametrize(
    "sizes, n_nets, rows, wanted",
    [
        (XOR, 1, 4, "population_simd"),
        ((64, 64, 32, 10), 100, 32, "population_simd"),
        ((64, 128, 64, 10), 1000, 32, "batched_gemm"),
        (LARGE, 2, 128, "batched_gemm"),
        (LARGE, 1, 128, "one_by_one"),
        (LARGE, 2, 2048, "batched_gemm"),
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
        network(sizes), n_nets, rows, Device("cuda:0", "a test"), np.dtype(dtype), *more
    )
    assert choose() == wanted
    assert choose(True) == "one_by_one", "inputs stream"
    if sizes == (64, 64, 32, 10):
        assert choose(dtype="float64") == "batched_gemm", "twice the memory"


def test_bfloat16_takes_nets_out_of_their_blocks_earlier():
    """Batched products in bfloat16 win where those in float32 do not yet; nets in blocks stay in float32."""
    choose = lambda precision, dtype: choose_nets_family(
        network((64, 80, 40, 10)), 200, 1024, Device("cuda:0", "a test"), np.dtype(dtype), precision=precision
    )
    assert choose("exact", "float32") == choose("tf32", "float32") == "population_simd"
    assert choose("bfloat16", "float32") == "batched_gemm"
    with using(ESTIMATED_COSTS._replace(bfloat16_rate=ESTIMATED_COSTS.product_rate, bandwidth=1e12)):
        assert choose("bfloat16", "float32") == "population_simd"


PRECISIONS = ("exact", "tf32", "bfloat16")


def family_on_a_gpu(net, rows, precision, dtype):
    return choose_training(net, Device("cuda:0", "a test"), np.dtype(dtype), rows, precision).family


@pytest.mark.parametrize(
    "sizes, rows, settings, wanted",
    [
        ((4, 32, 3), 32, {}, "small_net"),
        ((64, 64, 64, 64, 64, 16), 64, {}, "layerwise"),  # beyond a block's shared memory
        ((64, 64, 16), 64, {}, "small_net"),
        ((64, 80, 10), 32, {}, "small_net"),
        ((64, 100, 10), 200, {}, "layerwise"),  # scikit-learn's default net
        ((64, 100, 10), 65_536, {}, "layerwise"),
        ((128, 128, 128, 3), 32, {}, "layerwise"),
        ((4, 129, 3), 32, {}, "small_net"),
        ((4, 32, 129), 32, {}, "small_net"),
        ((4, 32, 3), 32, {"dropout": 0.5}, "small_net"),
        ((128, 128, 128, 3), 32, {"dropout": (0.0, 0.1)}, "layerwise"),
        ((19_999, 1), 1, {}, "small_net"),
        ((20_000, 1), 1, {}, "layerwise"),
        ((4, 32, 3), 2000, {}, "small_net"),
        ((4, 32, 3), 7353, {}, "layerwise"),
    ],
)
def test_family_of_a_net_on_a_gpu(sizes, rows, settings, wanted):
    """small_net up to 20,000 parameters, where the cost model has its step as the fastest."""
    net = network(sizes, **settings)
    for precision in PRECISIONS:
        for dtype in ("float32", "float64"):
            assert family_on_a_gpu(net, rows, precision, dtype) == wanted, (precision, dtype)


def test_dispatch_table_covers_both_sides_of_the_block_limit():
    assert [network((n, 1)).layout.n_params for n in (19_999, 20_000)] == [20_000, 20_001]


@pytest.mark.parametrize("n_nets, wanted", [(2, "one_by_one"), (32, "population_simd"), (1000, "population_simd")])
def test_family_of_a_population_on_a_cpu(n_nets, wanted):
    """Nets of some thousands of parameters train in lanes only if there are enough nets to fill them."""
    device, f4 = Device("cpu", "a test"), np.dtype("float32")
    assert choose_nets_family(network((20, 64, 32, 2)), n_nets, 16, device, f4) == wanted
    assert choose_nets_family(network(LARGE), n_nets, 32, device, f4) == "one_by_one"


@pytest.mark.parametrize("available", (1, 2, 64))
def test_training_threads_grow_with_rows_and_work(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    large = network(LARGE)
    counts = [choose_threads(large, "layerwise", rows) for rows in (1, 8, 16, 64, 256, 4096, 100_000)]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, available)
    assert all(count * 8 <= rows for count, rows in zip(counts[1:], (8, 16, 64, 256, 4096, 100_000), strict=True))
    assert (
        choose_threads(network(XOR), "layerwise", 8) == choose_threads(network(XOR), "layerwise_data_parallel", 8) == 1
    )
    small = network((64, 64, 32, 10))
    assert choose_threads(small, "layerwise", 64) == 1
    assert choose_threads(small, "layerwise_data_parallel", 64) == min(2, available), (
        "data-parallel threads synchronise less"
    )
    assert choose_threads(small, "layerwise_data_parallel", 10_000) == available
    assert choose_threads(network((16, 32, 1)), "batch_simd_data_parallel", 512) == min(2, available)
    assert choose_threads(network((16, 32, 1)), "batch_simd_data_parallel", 100_000) == min(8, available)
    for family in ("batch_simd_4", "batch_simd_16"):
        assert choose_threads(large, family, 100_000) == 1


@pytest.mark.parametrize("available", (1, 2, 64))
def test_evaluation_threads_grow_with_rows_and_work(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    small, large = network((64, 64, 32, 10)), network(LARGE)
    counts = [choose_evaluation_threads(small, rows) for rows in (1, 100, 1000, 1797, 100_000)]
    assert counts == [1, 1, 1, min(2, available), available]
    assert choose_evaluation_threads(large, 8) == 1, "a thread takes eight rows at a time"
    assert choose_evaluation_threads(large, 100) == min(9, available)


@pytest.mark.thinned(3)
@pytest.mark.parametrize("available", (1, 2, 64))
@pytest.mark.slow
def test_threads_of_one_row_grow_with_the_weights(available, monkeypatch):
    monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda: available)
    sizes = ((64, 64, 32, 10), LARGE, (64, 2048, 2048, 10))
    assert [choose_evaluation_threads(network(size), 1) for size in sizes] == [1, 1, min(2, available)]
    for narrow in ((100_000, 32, 2), (20_000, 255, 1)):
        assert choose_evaluation_threads(network(narrow), 1) == 1, "too few outputs to divide"
    assert choose_evaluation_threads(network((12_000, 300, 2)), 1) == min(2, available)


def test_number_of_multiply_adds_worked_by_hand():
    """Forward, weight gradient and input gradient, except for the first layer: 10 (3 (4*3 + 3*2) - 4*3) = 420."""
    assert products(network((4, 3, 2)), 10) == 420


@pytest.mark.parametrize("sizes", ((2, 2, 1), (4, 100, 3), (20, 20, 4), (64, 64, 10), (70, 300, 520, 3)))
@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_prediction_is_independent_of_the_other_rows(sizes, dtype):
    """A sample gets the same bits from every kernel and in any number of rows."""
    net = MLP(sizes, dtype=dtype, random_state=0, hidden_activation="tanh")
    X = np.random.default_rng(0).normal(size=(600, sizes[0]))
    whole = net.predict(X)
    for n in (1, 3, 4, 5, 16, 17, 200, 256, 257, 512):
        np.testing.assert_array_equal(net.predict(X[:n]), whole[:n])
